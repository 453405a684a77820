# SPDX-License-Identifier: Apache-2.0
"""Sentences as answers: which are right, what the loss counts, and a network that learns to write them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.models import MemNN, SentenceMemNN, SentenceResponder
from memjax.training import (
    SpokenStories,
    StoryBatch,
    is_right,
    make_sentence_memnn_loss,
)
from memjax.training.sentences import reply_loss

RIVALS = jnp.array([False, False, True, True, True, False, False])


@pytest.mark.parametrize(
    ("sentence", "answers", "right"),
    [
        ([5, 2, 6, 0], [2, 0], True),
        ([2, 2, 0, 0], [2, 0], True),
        ([5, 2, 3, 0], [2, 0], False),  # a second answer
        ([5, 6, 0, 0], [2, 0], False),
        ([0, 0, 0, 0], [2, 0], False),
        ([3, 5, 2, 0], [2, 3], True),
        ([3, 5, 6, 0], [2, 3], False),  # half of the answer
        ([9, 2, 0, 0], [2, 0], True),  # ids beyond the vocabulary, as of a rounded number of words
        ([5, 2, 0, 0], [0, 0], False),
    ],
)
def test_a_right_sentence_holds_the_answer_and_no_other(sentence, answers, right):
    assert is_right(jnp.array(sentence), jnp.array(answers), RIVALS) == right


@pytest.mark.thorough
def test_the_loss_is_that_of_the_network_and_of_the_reply_given_the_right_memories():
    batch = StoryBatch(
        sentences=jnp.array([[0, 0, 0], [2, 3, 0], [4, 5, 2], [6, 0, 0]]),
        slots=jnp.array([[1, 2, -1], [3, 2, 1]]),
        questions=jnp.array([[2, 4, 0], [3, 0, 0]]),
        supports=jnp.array([[1, -1], [2, 0]]),
        answers=jnp.array([[3], [4]]),
    )
    spoken = SpokenStories(batch, jnp.array([[5, 3, 0], [4, 0, 0]]))
    writer = SentenceResponder(5, 4, 6, cell="rnn", rngs=nnx.Rngs(1))
    model = SentenceMemNN(MemNN(5, 4, rngs=nnx.Rngs(0)), writer)

    def network_loss(network, stories, key):
        return network.output.words.weights[...].sum() + stories.answers.sum(), {"hops": jnp.float32(1)}

    value, metrics = jax.jit(make_sentence_memnn_loss(network_loss))(model, spoken, jax.random.key(0))
    end = writer.end
    prompts = jnp.array([[2, 4, end, 4, 5, 2, end], [3, end, 2, 3, end, 6, end]])
    np.testing.assert_allclose(metrics["sentence"], jax.jit(reply_loss)(writer, prompts, spoken.replies), rtol=1e-5)
    np.testing.assert_allclose(value, network_loss(model.network, batch, None)[0] + metrics["sentence"], rtol=1e-5)
    assert set(metrics) == {"hops", "sentence"}
    taken = spoken.take(jnp.array([1]))
    assert len(taken) == 1 and taken.replies.tolist() == [[4, 0, 0]] and taken.stories.questions.tolist() == [[3, 0, 0]]
