# SPDX-License-Identifier: Apache-2.0
"""The loss of answers read from keys and values: what is right, what is wrong, and what teaches nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.memory import empty, write_many
from memjax.models import KeyValueMemNN
from memjax.training import KeyValueBatch, answer_key_values, make_key_value_loss, read_questions, with_params
from tests import reference_end_to_end as reference

W, D, C = 12, 4, 6
KEYS = [[8, 2], [8, 2], [8, 3], [9, 2], [9, 3], [8, 2]]
VALUES = [0, 1, 2, 3, 4, 1]  # slots 1 and 5 hold the same pair
MODEL = KeyValueMemNN(W, 6, D, values="B", scale=0.6, code_scale=2.0, rngs=nnx.Rngs(0))
PARAMS = nnx.to_pure_dict(nnx.state(MODEL, nnx.Param))


def a_batch(slots, answers):
    keys, values = jnp.asarray(KEYS), jnp.asarray(VALUES)
    size = len(slots)
    return KeyValueBatch(
        memory=write_many(empty(7, keys[0], values[0]), keys, values),
        candidates=jnp.arange(8, 8 + C)[:, None],
        questions=jnp.tile(jnp.array([[4, 8, 0]]), (size, 1)),
        slots=jnp.asarray(slots),
        answers=jnp.asarray(answers),
    )


def losses_of(batch, keys=(0,), **options):
    """The loss and what it measures, with each of some random keys."""
    loss_fn = make_key_value_loss(**options)
    fn = jax.jit(lambda params, key: loss_fn(with_params(MODEL, params), batch, key))
    return [fn(PARAMS, jax.random.key(key)) for key in keys]


def scores_of(batch):
    hops, _ = jax.jit(lambda params: read_questions(with_params(MODEL, params), batch))(PARAMS)
    return np.asarray(hops.query) @ np.asarray(jax.jit(lambda rows: MODEL.embed("B", rows))(batch.candidates)).T


def test_the_loss_is_that_of_loops_over_all_candidates():
    batch = a_batch([[0, 1, 2, 5], [2, 3, 4, -1]], [[0, 1, -1], [4, -1, -1]])
    scores = scores_of(batch)
    expected = np.mean([reference.key_value_loss(scores[0], [0, 1]), reference.key_value_loss(scores[1], [4])])
    [(value, metrics)] = losses_of(batch, targets="any", negatives=0)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    best = scores.argmax(axis=1)
    assert metrics["wrong"] == np.mean([best[0] not in (0, 1), best[1] != 4])


@pytest.mark.thorough
def test_an_answer_is_drawn_among_those_that_can_be_read():
    batch = a_batch([[0, 1, 2, 5]], [[0, 1, 5]])  # candidate 5 is an answer, but not at hand
    [scores] = scores_of(batch)
    expected = [reference.key_value_loss(scores, [0, 1, 5], drawn) for drawn in (0, 1)]
    drawn = losses_of(batch, range(8), targets="drawn", negatives=0)
    found = {round(float(value), 4) for value, _ in drawn}
    assert found == {round(float(value), 4) for value in expected}


@pytest.mark.thorough
def test_values_at_hand_and_drawn_candidates_are_wrong_choices_once():
    batch = a_batch([[0, 1, 2, 5]], [[1, -1]])
    [scores] = scores_of(batch)
    at_hand = {0, 1, 2}
    for key, (value, _) in enumerate(losses_of(batch, range(4), targets="any", negatives=2)):
        pool = jax.random.randint(jax.random.split(jax.random.key(key))[0], (2,), 0, C).tolist()
        rows = [*at_hand, *(row for row in pool if row not in at_hand)]
        expected = reference.key_value_loss([scores[row] for row in rows], [1])
        np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"targets": "any", "negatives": 0}, marks=pytest.mark.thorough),
        {"targets": "drawn", "negatives": 3},
    ],
)
def test_a_question_whose_answer_is_not_at_hand_is_wrong_and_teaches_nothing(options):
    batch = a_batch([[0, 1], [-1, -1], [0, 1]], [[3], [0], [-1]])  # elsewhere; nothing found; no entity
    loss_fn = make_key_value_loss(**options)

    def value(params):
        return loss_fn(with_params(MODEL, params), batch, jax.random.key(0))

    (loss, metrics), grads = jax.jit(jax.value_and_grad(value, has_aux=True))(PARAMS)
    assert loss == 0 and metrics["wrong"] == 1
    assert not any(np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(grads))


@pytest.mark.thorough
def test_all_entities_are_answered_from_or_those_at_hand():
    batch = a_batch([[0, 1, 2, 5], [-1, -1, -1, -1]], [[0], [0]])
    found = jax.jit(lambda params: answer_key_values(with_params(MODEL, params), batch))(PARAMS)
    scores = scores_of(batch)
    assert found.best.tolist() == [scores[0].argmax(), -1]
    assert found.best_read.tolist() == [scores[0, :3].argmax(), -1]
    np.testing.assert_allclose(found.weights[0].sum(axis=1), 1, rtol=1e-5)
    assert not found.weights[1].any()


def test_switches_are_checked():
    with pytest.raises(ValueError, match="targets: expected one of"):
        make_key_value_loss(targets="all")
    with pytest.raises(ValueError, match="negatives: expected"):
        make_key_value_loss(negatives=-1)
