# SPDX-License-Identifier: Apache-2.0
"""The loss of an end-to-end Memory Network: what noise does to ages, sums, answers that have no word."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.memory import empty, write_many
from memjax.models import MemN2N
from memjax.training import (
    CountedStories,
    StoryBatch,
    answer_stories,
    insert_blanks,
    make_end_to_end_loss,
    measure_end_to_end,
)

BATCH = StoryBatch(
    sentences=jnp.array([[0, 0, 0], [2, 3, 0], [4, 5, 2], [6, 2, 0]]),
    slots=jnp.array([[1, 2, 3, -1], [3, -1, -1, -1], [-1, -1, -1, -1]]),
    questions=jnp.array([[2, 5, 0], [4, 0, 0], [2, 0, 0]]),
    supports=jnp.full((3, 1), -1),
    answers=jnp.array([[3], [6], [1]]),
)
MODEL = MemN2N(5, 4, scale=0.5, rngs=nnx.Rngs(0))
COUNTED = CountedStories.of(MODEL, BATCH)


@pytest.mark.thorough
def test_a_table_of_sentences_gives_what_a_memory_gives():
    found = answer_stories(MODEL, COUNTED)
    for row, slots in enumerate(BATCH.slots.tolist()):
        tokens = jnp.stack([BATCH.sentences[max(slot, 0)] for slot in slots])
        memory = empty(4, jax.eval_shape(MODEL.embed, tokens[0]), tokens[0])
        memory = write_many(memory, jax.vmap(MODEL.embed)(tokens), tokens, where=jnp.asarray(slots) >= 0)
        alone = MODEL(BATCH.questions[row], memory)
        np.testing.assert_allclose(found.scores[row], alone.scores, rtol=1e-5)
        np.testing.assert_allclose(found.hops.weights[row], alone.hops.weights, rtol=1e-5)


@pytest.mark.thorough
def test_the_loss_is_a_sum_and_an_answer_without_a_word_is_wrong_and_teaches_nothing():
    value, metrics = make_end_to_end_loss()(MODEL, COUNTED, jax.random.key(0))
    nats = -jax.nn.log_softmax(answer_stories(MODEL, COUNTED).scores)
    np.testing.assert_allclose(value, nats[0, 1] + nats[1, 4], rtol=1e-5)
    np.testing.assert_allclose(metrics["nats"], value / 3, rtol=1e-6)
    alone = COUNTED.take(jnp.array([2]))
    grads = nnx.grad(lambda model: make_end_to_end_loss()(model, alone, jax.random.key(0))[0])(MODEL)
    assert not any(leaf.any() for leaf in jax.tree.leaves(grads))
    assert make_end_to_end_loss()(MODEL, alone, jax.random.key(0))[1]["wrong"] == 1
    measured = measure_end_to_end(MODEL, COUNTED, batch_size=2)
    np.testing.assert_allclose(measured["wrong"], metrics["wrong"], rtol=1e-6)
    np.testing.assert_allclose(measured["nats"], metrics["nats"], rtol=1e-5)


@pytest.mark.thorough
def test_linear_hops_are_another_model():
    linear, plain = (make_end_to_end_loss(linear=flag)(MODEL, COUNTED, jax.random.key(0))[0] for flag in (True, False))
    traced = jax.jit(lambda flag: make_end_to_end_loss(linear=flag)(MODEL, COUNTED, jax.random.key(0))[0])
    assert abs(linear - plain) > 1e-4
    np.testing.assert_allclose([traced(True), traced(False)], [linear, plain], rtol=1e-5)


@pytest.mark.thorough
def test_blanks_make_statements_older_but_leave_their_order():
    ages = jnp.maximum(29 - jnp.arange(40), 0)  # 30 statements, and 10 empty slots
    jittered = jax.vmap(lambda key: insert_blanks(key, jnp.int32(30), ages, 0.1))(
        jax.random.split(jax.random.key(0), 500)
    )
    told = np.asarray(jittered)[:, :30]
    assert (np.diff(told, axis=1) < 0).all() and (told >= np.asarray(ages[:30])).all()
    added = told[:, 0] - 29  # of the oldest: blanks may also come before it, where they change nothing
    assert added.max() == 3 and added.min() == 0
    assert (told[:, -1] > 0).any() and (told[:, -1] == 0).any()
    drawn = jax.vmap(lambda key: insert_blanks(key, jnp.int32(10), ages, 0.1))(jax.random.split(jax.random.key(1), 99))
    assert (np.asarray(drawn) - np.asarray(ages)).max() == 1, "a tenth of ten, and no more"
    same = insert_blanks(jax.random.key(0), jnp.int32(30), ages, 0.0)
    assert same.tolist() == ages.tolist()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="noise: expected a number of at least 0, got -1"):
        make_end_to_end_loss(noise=-1)
    assert len(COUNTED) == 3 and len(dataclasses.replace(COUNTED).take(jnp.array([0, 1]))) == 2
