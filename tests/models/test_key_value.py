# SPDX-License-Identifier: Apache-2.0
"""The key-value Memory Network against plain loops and against MemN2N; empty slots, unseen names, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.encoding import random_codes
from memjax.memory import empty, gather, write_many
from memjax.models import KeyValueMemNN, MemN2N
from tests import reference_end_to_end as reference

W, T, D = 9, 5, 4
QUESTION = [2, 4, 9, 0]
PAIRS = [([9, 3, 0], [7]), ([9, 4, 0], [10]), ([2, 1, 3], [8]), ([9, 4, 4], [7])]
CANDIDATES = [[7], [8], [9], [10], [3]]


def model(**options) -> KeyValueMemNN:
    options = {"num_trained": T, "scale": 0.7, "code_scale": 1.5, **options}
    net = KeyValueMemNN(W, features=D, rngs=nnx.Rngs(0), **options)
    if net.between is not None:
        net.between[...] = net.between[...] + 0.3 * jax.random.normal(jax.random.key(1), net.between.shape)
    return net


def a_memory(pairs=PAIRS, num_slots=6):
    keys, values = (jnp.asarray(rows) for rows in zip(*pairs, strict=True))
    return write_many(empty(num_slots, keys[0], values[0]), keys, values)


def call(net, question, memory, candidates=CANDIDATES):
    graph, state = nnx.split(net)
    fn = jax.jit(lambda state, *args: nnx.merge(graph, state)(*args))
    return fn(state, jnp.asarray(question), memory, jnp.asarray(candidates))


def rows_of(net: KeyValueMemNN, matrix: int) -> np.ndarray:
    """A (0) or B (1) of all token ids: trained rows, then codes."""
    rows = np.zeros((W + 2, D))
    rows[2 : net.num_trained + 2] = net.words[matrix]
    if net.code_scales is not None:
        codes = float(net.code_scales[matrix]) * np.asarray(random_codes(jnp.arange(2 * W + 2), D))
    for token in range(net.num_trained + 2, W + 2):
        rows[token] = codes[token + (W if matrix and net.values == "B" else 0)]
    return rows


@pytest.mark.parametrize(
    "options",
    [
        {"values": "B"},
        pytest.param({}, marks=pytest.mark.thorough),
        pytest.param({"num_trained": W, "hops": 3}, marks=pytest.mark.thorough),
        pytest.param({"num_trained": W, "values": "B", "hop_matrices": False}, marks=pytest.mark.thorough),
    ],
)
def test_answers_are_those_of_the_equations(options):
    net = model(**options)
    found = call(net, QUESTION, a_memory())
    A, B = rows_of(net, 0), rows_of(net, 1)
    R = [np.eye(D)] * net.hops if net.between is None else np.asarray(net.between[...], np.float64)
    scores, weights = reference.key_value(A, B if net.values == "B" else A, B, R, QUESTION, PAIRS, CANDIDATES)
    np.testing.assert_allclose(found.scores, scores, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(found.hops.weights[:, :4], weights, rtol=2e-5, atol=1e-6)
    assert not found.hops.weights[:, 4:].any()


@pytest.mark.thorough
@pytest.mark.parametrize("hops", [1, 3])
def test_where_keys_are_values_it_is_a_memn2n(hops):
    sentences = [[2, 3, 4], [5, 6, 0], [2, 7, 8]]
    net = model(num_trained=W, hops=hops, hop_matrices=False)
    other = MemN2N(W, D, hops=hops, num_ages=0, position="none", tying="layerwise", rngs=nnx.Rngs(1))
    A, B = net.words[0], net.words[1]
    other.words[...] = jnp.stack([A, A, A, B])  # A, C, of the question, of the answer
    other.between[...] = jnp.eye(D)
    keys = jnp.asarray(sentences)

    @jax.jit
    def answer(keys):
        embedded = jax.vmap(other.embed)(keys)
        return other(jnp.asarray(QUESTION), write_many(empty(4, embedded[0], keys[0]), embedded, keys))

    expected = answer(keys)
    words = jnp.arange(2, W + 2)[:, None]
    found = call(net, QUESTION, a_memory(list(zip(sentences, sentences, strict=True)), 4), words)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.hops.weights, expected.hops.weights, rtol=1e-5)


@pytest.mark.thorough
def test_empty_slots_and_places_change_nothing_in_value_and_gradient():
    net, memory = model(values="B"), a_memory()
    moved = gather(memory, jnp.array([99, 2, 0, 99, 3, 1, 99]))

    def value(state, memory):
        return jnp.sum(nnx.merge(graph, state)(jnp.asarray(QUESTION), memory, jnp.asarray(CANDIDATES)).scores ** 2)

    graph, state = nnx.split(net)
    plain, other = (jax.jit(jax.value_and_grad(value))(state, each) for each in (memory, moved))
    for one, two in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
def test_of_an_empty_memory_the_question_alone_answers():
    net = model(hops=1)
    found = call(net, QUESTION, gather(a_memory(), jnp.full(3, -1)))
    assert not found.hops.weights.any()
    query = net.between[0] @ net.embed("A", jnp.asarray(QUESTION))
    np.testing.assert_allclose(found.hops.query, query, rtol=1e-5)
    nothing = call(net, [0, 0, 0, 0], gather(a_memory(), jnp.full(3, -1)))
    assert not nothing.scores.any()


@pytest.mark.thorough
def test_a_name_that_was_never_met_is_read_and_answered():
    net = KeyValueMemNN(3000, 10, 128, hops=1, values="B", code_scale=4.0, rngs=nnx.Rngs(0))
    names = jnp.arange(100, 3000)[:, None]
    for value in (100, 1234):
        memory = a_memory([([500, 2], [value])], 2)
        assert call(net, [3, 500], memory, names).scores.argmax() == value - 100


def test_bad_input_is_named():
    for options, message in [
        ({"hops": 0}, "hops: expected an integer of at least 1, got 0"),
        ({"values": "C"}, "values: expected one of"),
        ({"num_trained": 10}, "num_tokens: expected at least num_trained=10, got 9"),
    ]:
        with pytest.raises(ValueError, match=message):
            model(**options)
