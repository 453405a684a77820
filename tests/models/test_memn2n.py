# SPDX-License-Identifier: Apache-2.0
"""The end-to-end Memory Network against plain loops, and what it does with empty slots, ages and bad input."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.encoding import position_bags, position_line
from memjax.memory import empty, gather, oldest_slot, write
from memjax.models import MemN2N
from tests import reference_end_to_end as reference

W, D, AGES = 9, 4, 3
STORY = [[2, 3, 4, 0], [5, 6, 0, 0], [2, 1, 7, 8], [3, 3, 0, 0], [9, 10, 2, 0]]
QUESTION = [4, 5, 2, 0]


def model(**options) -> MemN2N:
    options = {"num_ages": AGES, "scale": 0.7, **options}
    return MemN2N(W, D, **options, rngs=nnx.Rngs(0))


def letters(net: MemN2N, linear: bool) -> reference.EndToEnd:
    """The model's matrices by the paper's letters."""
    words = np.asarray(net.words[...], np.float64)
    ages = None if net.ages is None else np.asarray(net.ages[...], np.float64)
    return reference.EndToEnd(
        A=[words[i] for i in net.inputs],
        C=[words[i] for i in net.outputs],
        T_A=None if ages is None else [ages[i] for i in net.inputs],
        T_C=None if ages is None else [ages[i] for i in net.outputs],
        B=words[net.question],
        W=words[net.answer],
        H=None if net.between is None else np.asarray(net.between[...], np.float64),
        position=net.position,
        longest=net.longest,
        activation=net.activation,
        nil_slots=net.nil_slots,
        linear=linear,
    )


def told(net: MemN2N, story, num_slots: int):
    memory = empty(num_slots, jax.eval_shape(net.embed, jnp.asarray(story[0])), jnp.asarray(story[0]))
    for statement in map(jnp.asarray, story):
        memory = write(memory, net.embed(statement), statement, oldest_slot)
    return memory


VARIANTS = [
    ({}, False),
    ({"hops": 1, "position": "none", "num_ages": 0}, False),
    ({"position": "released", "longest": 4, "nil_slots": 8}, False),
    ({"tying": "layerwise", "activation": "all", "hops": 2}, False),
    ({"tying": "layerwise", "activation": "half"}, True),
    ({"nil_slots": 8}, True),
    ({"nil_slots": 3}, False),
]


@pytest.mark.parametrize(("options", "linear"), VARIANTS)
def test_answers_are_those_of_the_equations(options, linear):
    net = model(**options)
    found = net(jnp.asarray(QUESTION), told(net, STORY, 7), linear)
    scores, weights = reference.answer(letters(net, linear), QUESTION, STORY, [4, 3, 2, 1, 0])
    np.testing.assert_allclose(found.scores, scores, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(found.hops.weights[:, :5], weights, rtol=2e-5, atol=1e-6)
    assert not found.hops.weights[:, 5:].any()


def test_adjacent_and_layerwise_tie_what_the_paper_ties():
    assert model().words.shape == (4, W, D) and model(tying="layerwise").words.shape == (4, W, D)
    assert model().inputs == (0, 1, 2) and model().outputs == (1, 2, 3) and (model().question, model().answer) == (0, 3)
    layered = model(tying="layerwise")
    assert (layered.inputs, layered.outputs, layered.question, layered.answer) == ((0,) * 3, (1,) * 3, 2, 3)


@pytest.mark.parametrize("form", ["printed", "released", "none"])
def test_positions_weigh_as_printed_and_as_released(form):
    for tokens in ([2], [3, 2, 3, 0, 0], [1, 4, 2]):
        bags = position_bags(jnp.asarray(tokens), 3, form, longest=5)
        made = bags[0][:, None] + bags[1][:, None] * position_line(D, form)[None]  # [W, d]
        expected = np.zeros((3, D))
        words = [token for token in tokens if token]
        for (j, token), k in itertools.product(enumerate(words, 1), range(1, D + 1)):
            if token >= 2:
                expected[token - 2, k - 1] += reference.position_weight(form, j, len(words), k, D, longest=5)
        np.testing.assert_allclose(made, expected, atol=1e-6)


@pytest.mark.thorough
def test_a_full_memory_is_a_ring_and_forgets_the_oldest():
    net = model()
    ring, latest = told(net, STORY, 3), told(net, STORY[-3:], 4)
    np.testing.assert_allclose(
        net(jnp.asarray(QUESTION), ring).scores, net(jnp.asarray(QUESTION), latest).scores, rtol=1e-5
    )


def test_a_write_that_was_dropped_changes_nothing():
    net, statement = model(), jnp.asarray(STORY[0])
    memory = told(net, STORY[:3], 3)
    after = write(memory, net.embed(statement), statement, lambda memory, key: jnp.int32(3))
    assert int(after.dropped) == 1
    np.testing.assert_array_equal(*(net(jnp.asarray(QUESTION), each).scores for each in (memory, after)))


@pytest.mark.thorough
def test_empty_slots_and_places_change_nothing_in_value_and_gradient():
    net, question = model(nil_slots=4), jnp.asarray(QUESTION)
    memory = told(net, STORY, 5)
    moved = gather(memory, jnp.array([9, 4, 2, 0, 9, 1, 3, 9]))

    def value(memory):
        return jnp.sum(net(question, memory).scores ** 2)

    np.testing.assert_allclose(value(memory), value(moved), rtol=1e-5)
    plain, other = (jax.grad(value, allow_int=True)(each).keys for each in (memory, moved))
    np.testing.assert_allclose(
        plain[jnp.array([4, 2, 0, 1, 3])], other[jnp.array([1, 2, 3, 5, 6])], rtol=1e-4, atol=1e-6
    )
    assert not other[jnp.array([0, 4, 7])].any()


@pytest.mark.thorough
def test_of_an_empty_memory_the_question_alone_answers():
    net = model()
    nothing = gather(told(net, STORY, 5), jnp.full(5, -1))
    found = net(jnp.asarray(QUESTION), dataclasses.replace(nothing, count=jnp.int32(0)))
    expected = np.asarray(net.words[3]) @ np.asarray(net.embed(jnp.asarray(QUESTION))[0])
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5)
    assert not found.hops.weights.any()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="hops: expected an integer of at least 1, got 0"):
        model(hops=0)
    with pytest.raises(ValueError, match="did you mean 'layerwise'"):
        model(tying="layerwize")
    with pytest.raises(ValueError, match="position: expected one of"):
        model(position="absolute")
    with pytest.raises(ValueError, match=r"tokens: expected"):
        position_bags(jnp.zeros((2, 2), jnp.int32), 3)
    with pytest.raises(ValueError, match="longest: expected an integer of at least 1, got 0"):
        position_bags(jnp.zeros(2, jnp.int32), 3, longest=0)
