# SPDX-License-Identifier: Apache-2.0
"""A step over some of the features gives what a step over all of them gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.data import Example, Vocabulary, encode, token_lists
from memjax.models import MemNN
from memjax.training import NarrowStories, StoryBatch, make_memnn_loss
from memjax.typing import NUM_SPECIAL

HERE = [
    Example(("Joe went home.", "Fred left."), "Where is Joe?", ("home",), (0,)),
    Example(("Joe left.", "Fred went home.", "Fred left."), "Who went home?", ("fred",), (1,)),
]
ELSEWHERE = [Example(("A box is big.",), "Is a box small?", ("no",), (0,))]


MORE = [{"adaptive": True}, {"exact_match": "features"}]


@pytest.mark.parametrize("settings", [{}, *(pytest.param(more, marks=pytest.mark.thorough) for more in MORE)])
def test_loss_and_gradient(settings):
    everything = Vocabulary.build(token_lists(HERE + ELSEWHERE), 2)
    own = Vocabulary(everything.words, Vocabulary.build(token_lists(HERE), 2).ngrams)
    assert 0 < len(own.ngrams) < len(everything.ngrams)
    features = jnp.asarray(everything.encode(own.words + own.ngrams)) - NUM_SPECIAL
    narrow = NarrowStories.of(StoryBatch.from_stories(encode(HERE, own)), features).take(jnp.array([1, 0]))
    whole = StoryBatch.from_stories(encode(HERE, everything)).take(jnp.array([1, 0]))
    assert len(narrow) == len(whole) == 2
    model = MemNN(everything.num_words, 4, num_ngrams=len(everything.ngrams), rngs=nnx.Rngs(0), **settings)
    loss = make_memnn_loss(loss="softmax", negatives="all")

    @jax.jit
    def both(model):
        grad = nnx.value_and_grad(lambda model, batch: loss(model, batch, jax.random.key(0))[0])
        return grad(model, narrow), grad(model, whole)

    (value, grads), (expected, expected_grads) = both(model)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), grads, expected_grads)
