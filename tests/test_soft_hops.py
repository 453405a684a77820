# SPDX-License-Identifier: Apache-2.0
"""Soft hops: weights, what is read, and what empty slots and masks do to both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import addressing, scoring
from memjax.memory import empty, gather, write_many

N, D = 5, 3


def a_memory(rng, told=4):
    keys, values = (jnp.asarray(rng.standard_normal((told, D)), jnp.float32) for _ in range(2))
    return write_many(empty(N, keys[0], values[0]), keys, values)


def read(query, memory, hops=2, **options):
    score = lambda query, key, hop: (1 + hop) * scoring.inner_product(query, key)  # noqa: E731
    follow = lambda query, read, hop: query + read  # noqa: E731
    return addressing.soft_hops(query, memory, hops=hops, score_fn=score, follow_fn=follow, **options)


def by_hand(query, keys, values, hops=2, nil=0.0):
    """Sukhbaatar et al. 2015, equations 1 and 2, in loops; `nil` slots of score 0 from which nothing is read."""
    weights = []
    for hop in range(hops):
        parts = [np.exp((1 + hop) * sum(q * k for q, k in zip(query, key, strict=True))) for key in keys]
        weights.append([part / (sum(parts) + nil) for part in parts])
        query = [q + sum(w * v[d] for w, v in zip(weights[-1], values, strict=True)) for d, q in enumerate(query)]
    return np.array(weights), np.array(query)


@pytest.mark.parametrize("nil", [0.0, 3.0])
def test_hops_are_those_of_the_equations(nil):
    rng = np.random.default_rng(0)
    memory, query = a_memory(rng), jnp.asarray(rng.standard_normal(D), jnp.float32)
    found = read(query, memory, weigh_fn=lambda scores, where: addressing.weigh_softmax(scores, where, nil))
    weights, last = by_hand(np.asarray(query), np.asarray(memory.keys[:4]), np.asarray(memory.values[:4]), nil=nil)
    np.testing.assert_allclose(found.weights[:, :4], weights, rtol=1e-5)
    np.testing.assert_allclose(found.query, last, rtol=1e-5)
    assert not found.weights[:, 4].any()


@pytest.mark.parametrize("where", [[True, True, True], [True, False, True]])
def test_weights_of_very_low_scores_sum_to_one(where):
    low = jnp.full(3, -200.0)

    def weigh(scores):
        return addressing.weigh_softmax(scores, jnp.array(where))

    np.testing.assert_allclose(weigh(low), np.array(where) / np.sum(where), rtol=1e-6)
    assert np.isfinite(jax.grad(lambda scores: weigh(scores)[0])(low)).all()


def slope(memory, query, where=None):
    return jax.grad(lambda *both: jnp.sum(read(both[1], both[0], where=where).query ** 2), (0, 1), allow_int=True)(
        memory, query
    )


@pytest.mark.thorough
def test_empty_slots_masked_slots_and_their_order_change_nothing():
    rng = np.random.default_rng(1)
    memory, query = a_memory(rng), jnp.asarray(rng.standard_normal(D), jnp.float32)
    order = jnp.array([9, 3, 1, 9, 0, 2])
    plain, moved = read(query, memory), read(query, gather(memory, order))
    np.testing.assert_allclose(plain.query, moved.query, rtol=1e-5)
    np.testing.assert_allclose(moved.weights[:, [1, 2, 4, 5]], plain.weights[:, [3, 1, 0, 2]], rtol=1e-5)
    where = jnp.array([True, False, True, True, True])
    without = gather(memory, jnp.array([0, 2, 3]))
    np.testing.assert_allclose(read(query, memory, where=where).query, read(query, without).query, rtol=1e-5)
    hidden = slope(memory, query, where)
    assert not hidden[0].keys[1].any() and not hidden[0].values[1].any() and hidden[0].keys[0].any()
    np.testing.assert_allclose(hidden[1], slope(without, query)[1], rtol=1e-5)


@pytest.mark.parametrize("weigh", [addressing.weigh_softmax, addressing.weigh_linear])
def test_of_an_empty_memory_zeros_are_read_with_zero_gradients(weigh):
    query = jnp.ones(D)
    memory = empty(N, jnp.zeros(D), jnp.zeros(D))
    found = read(query, memory, weigh_fn=weigh)
    assert not found.weights.any() and found.query.tolist() == query.tolist()
    grads = jax.grad(lambda memory: jnp.sum(read(query, memory, weigh_fn=weigh).query ** 2), allow_int=True)(memory)
    assert not grads.keys.any() and not grads.values.any()


def test_scores_of_any_size_give_no_nan():
    scores, where = jnp.array([1e30, -1e30, jnp.inf, 0.0]), jnp.array([True, True, False, True])
    value, grad = jax.value_and_grad(lambda scores: addressing.weigh_softmax(scores, where, 1.0)[0])(scores)
    assert value == 1 and np.isfinite(grad).all()


def test_bad_input_is_named():
    memory, query = a_memory(np.random.default_rng(2)), jnp.ones(D)
    with pytest.raises(ValueError, match="hops: expected an integer of at least 1, got 0"):
        read(query, memory, hops=0)
    with pytest.raises(ValueError, match=r"where: expected shape \(5,\), one for each slot, got \(2,\)"):
        read(query, memory, where=jnp.ones(2, bool))
    with pytest.raises(ValueError, match=r"where: expected shape \(3,\), one for each score, got \(2,\)"):
        addressing.weigh_softmax(jnp.ones(3), jnp.ones(2, bool))
    with pytest.raises(ValueError, match="memory.values: expected floats, got dtype int32; embed them"):
        read(query, memory.replace(values=jnp.zeros(N, jnp.int32)))


def test_what_many_slots_share_is_summed_in_float32():
    slot = {"row": jnp.int32(0), "age": jnp.int32(0)}
    slots = jax.tree.map(lambda one: jnp.zeros(2000, jnp.int32), slot)
    memory = write_many(empty(2000, slot, slot), slots, slots)
    ones = [jnp.ones((1, D), jnp.bfloat16)]
    hops = addressing.row_hops(
        jnp.zeros(D, jnp.bfloat16),
        memory,
        ones,
        ones,
        follow_fn=lambda query, read, hop: read,
        input_ages=ones,
        output_ages=ones,
    )
    assert hops.query.dtype == jnp.bfloat16
    np.testing.assert_allclose(hops.query.astype(jnp.float32), 2, rtol=0.01)
