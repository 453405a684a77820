# SPDX-License-Identifier: Apache-2.0
"""Exact search against loops over all slots. Blocks are small here, so that memories of 100 slots have several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import memory as mm
from memjax import search
from memjax.search import _exact
from tests import reference

N, Q, K, D, W, S = 83, 3, 5, 8, 30, 4


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(_exact, "_BLOCK", 32)
    monkeypatch.setattr(_exact, "_GROUP", 4)
    monkeypatch.setattr(_exact, "_SHORT_LISTS", 2)


def memory_of(keys, times=None):
    count = jax.tree.leaves(keys)[0].shape[0]
    memory = mm.empty(count, jax.tree.map(lambda leaf: leaf[0], keys), jnp.int32(0))
    memory = mm.write_many(memory, keys, jnp.arange(count, dtype=jnp.int32))
    return memory if times is None else memory.replace(times=jnp.asarray(times))


def find(queries, memory, *where, k=K, **options):
    return jax.jit(search.exact(k, **options))(queries, memory, *where)


def small_integers(rng, *shape):
    """Vectors whose products float32 holds exactly, with many equal scores."""
    return jnp.asarray(rng.integers(-2, 3, shape), jnp.float32)


def with_holes(rng, keys):
    memory = memory_of(keys)
    return mm.forget(memory, jnp.asarray(rng.choice(N, 20, replace=False)))


@pytest.mark.parametrize("count", [1, Q])
@pytest.mark.parametrize("kind", ["vectors", "words"])
@pytest.mark.parametrize("mask", [None, "slots", "queries"])
def test_equals_a_loop_over_slots_ties_included(kind, count, mask):
    rng = np.random.default_rng(0)
    if kind == "vectors":
        keys, vector = small_integers(rng, N, D), small_integers(rng, count, D)
        dense = np.asarray(keys)
    else:
        keys, vector = jnp.asarray(rng.integers(0, W + 4, (N, S)), jnp.int32), small_integers(rng, count, W)
        dense = np.stack([reference.bag([t for t in row if t < W + 2], W) for row in np.asarray(keys).tolist()])
    memory = with_holes(rng, keys)
    where = {"slots": rng.random(N) < 0.7, "queries": rng.random((count, N)) < 0.7}.get(mask)
    hits = jax.jit(search.exact(K))(search.Queries(vector), memory, None if where is None else jnp.asarray(where))
    allowed = np.broadcast_to(np.asarray(memory.times >= 0) & (True if where is None else where), (count, N))
    for row in range(count):
        scores, slots = reference.best_slots(np.asarray(vector[row]), dense, allowed[row], K)
        assert hits.slots[row].tolist() == slots
        np.testing.assert_array_equal(hits.scores[row], scores)
    assert hits.candidates.tolist() == allowed.sum(axis=1).tolist() and not hits.lost.any()


@pytest.mark.parametrize("count", [1, Q])
def test_nan_and_infinity_are_never_found_and_hide_nothing(count):
    rng = np.random.default_rng(1)
    keys, vector = np.array(small_integers(rng, N, D)), small_integers(rng, count, D)
    spoiled = rng.choice(N, 40, replace=False)
    keys[spoiled, 0] = np.nan
    for built in (jnp.asarray(keys), jax.vmap(search.quantize)(jnp.asarray(keys))):
        hits = find(search.Queries(vector), memory_of(built))
        for row in range(count):
            allowed = ~np.isin(np.arange(N), spoiled)
            expected = reference.best_slots(np.asarray(vector[row]), np.nan_to_num(keys), allowed, K)[0]
            np.testing.assert_array_equal(hits.scores[row], expected)
    nothing = find(search.Queries(vector.at[:, 1].set(jnp.nan)), memory_of(jnp.asarray(keys)))
    assert not nothing.valid.any() and (nothing.slots == -1).all() and np.isneginf(nothing.scores).all()


def test_too_few_slots_give_invalid_hits():
    memory = memory_of(jnp.ones((N, 2)), times=np.where(np.arange(N) == 70, 3, -1).astype(np.int32))
    hits = find(search.Queries(jnp.ones((2, 2))), memory, k=3)
    assert hits.slots.tolist() == [[70, -1, -1]] * 2
    assert hits.valid.tolist() == [[True, False, False]] * 2 and hits.candidates.tolist() == [1, 1]
    empty = find(search.Queries(jnp.ones((2, 2))), mm.empty(N, jnp.zeros(2), jnp.int32(0)), k=3)
    assert not empty.valid.any()


@pytest.mark.thorough
def test_codes_find_what_vectors_find():
    rng = np.random.default_rng(2)
    keys = jnp.asarray(rng.standard_normal((N, 32)) * rng.lognormal(size=(N, 1)), jnp.float32)
    plain, coded = memory_of(keys), mm.map_keys(memory_of(keys), search.quantize)
    for count in (1, 3, 6):
        vector = jnp.asarray(rng.standard_normal((count, 32)), jnp.float32)
        found = find(search.Queries(vector), plain)
        np.testing.assert_array_equal(found.slots, find(search.Queries(vector), coded).slots)
    assert not search.quantize(jnp.zeros(3)).codes.any()


@pytest.mark.thorough
def test_scores_of_codes_are_near_those_of_vectors():
    from memjax.search import _keys

    rng = np.random.default_rng(3)
    keys, vector = (jnp.asarray(rng.standard_normal((count, 64)), jnp.float32) for count in (50, 6))
    coded = jax.vmap(search.quantize)(keys)
    exact = np.asarray(keys @ vector.T)
    few, many = _keys.coarse_scores(coded, vector[:2]), _keys.coarse_scores(coded, vector)
    assert np.abs(few - exact[:, :2]).max() < 0.25 and np.abs(many - exact).max() < 0.35
    assert np.abs(few - exact[:, :2]).mean() < np.abs(many - exact).mean()


@pytest.mark.thorough
def test_queries_of_a_vmap_are_searched_together():
    rng = np.random.default_rng(4)
    memory = memory_of(small_integers(rng, N, D))
    vectors, where = small_integers(rng, 4, 2, D), jnp.asarray(rng.random((4, N)) < 0.7)
    run = jax.jit(search.exact(K))
    one = lambda vector, where: run(search.Queries(vector), memory, where)  # noqa: E731
    looped = [one(*each) for each in zip(vectors, where, strict=True)]
    together = jax.jit(jax.vmap(one))(vectors, where)
    jax.tree.map(np.testing.assert_array_equal, together, jax.tree.map(lambda *rows: jnp.stack(rows), *looped))
    memories = jax.vmap(memory_of)(small_integers(rng, 3, N, D))
    each = jax.vmap(lambda memory: run(search.Queries(vectors[0]), memory))(memories)
    for row in range(3):
        single = run(search.Queries(vectors[0]), jax.tree.map(lambda leaf, row=row: leaf[row], memories))
        np.testing.assert_array_equal(each.slots[row], single.slots)


def test_no_array_has_queries_and_slots():
    count, num_slots = 12, 4096
    memory = mm.empty(num_slots, jax.ShapeDtypeStruct((2,), jnp.float32), jnp.int32(0))
    search_one = jax.vmap(lambda vector: find(search.Queries(vector[None]), memory).slots)
    compiled = jax.jit(search_one).lower(jnp.ones((count, 2))).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * count * num_slots


@pytest.mark.parametrize("quantized", [False, True])
def test_gradients_are_those_of_the_scores(quantized):
    rng = np.random.default_rng(5)
    keys, vector = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((N, D), (Q, D)))
    weights = jnp.asarray(rng.standard_normal((Q, K)), jnp.float32)

    def ours(vector, keys):
        memory = memory_of(keys)
        memory = mm.map_keys(memory, search.quantize) if quantized else memory
        return jnp.sum(weights * find(search.Queries(vector), memory).scores)

    def dense(vector, keys):
        return jnp.sum(weights * jax.lax.top_k(vector @ keys.T, K)[0])

    for got, expected in zip(
        jax.jit(jax.grad(ours, (0, 1)))(vector, keys), jax.grad(dense, (0, 1))(vector, keys), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_gradients_of_invalid_hits_are_zero():
    memory = mm.empty(N, jnp.zeros(2), jnp.int32(0))

    def value(vector):
        hits = search.exact(2)(search.Queries(vector), memory)
        return jnp.sum(jnp.where(hits.valid, hits.scores, 0))

    assert not jax.grad(value)(jnp.ones((2, 2))).any()


def test_approximate_search_on_a_cpu_is_exact():
    rng = np.random.default_rng(6)
    memory, queries = with_holes(rng, small_integers(rng, N, D)), search.Queries(small_integers(rng, Q, D))
    jax.tree.map(
        np.testing.assert_array_equal,
        find(queries, memory, recall=0.9).scores,
        find(queries, memory).scores,
    )


@pytest.mark.parametrize("kind", ["quantized", "bfloat16"])
def test_approximate_search_scores_what_is_rounded_again(kind):
    rng = np.random.default_rng(13)
    vectors, vector = jnp.asarray(rng.standard_normal((2, N, D)), jnp.float32)
    memory = memory_of(vectors.astype(jnp.bfloat16) if kind == "bfloat16" else jax.vmap(search.quantize)(vectors))
    hits, all_hits = (find(search.Queries(vector), memory, k=20, recall=recall) for recall in (0.9, None))
    assert (np.diff(hits.scores, axis=1) <= 0).all()
    np.testing.assert_array_equal(hits.slots, all_hits.slots)


@pytest.mark.thorough
def test_halves_and_doubles_keep_their_precision():
    rng = np.random.default_rng(7)
    keys, vector = small_integers(rng, N, D), small_integers(rng, Q, D)
    full = find(search.Queries(vector), memory_of(keys))
    half = find(search.Queries(vector), memory_of(keys.astype(jnp.bfloat16)))
    assert half.scores.dtype == jnp.float32
    np.testing.assert_array_equal(full.slots, half.slots)
    with jax.enable_x64(True):
        double = jnp.asarray(rng.standard_normal((N, D)))
        hits = find(search.Queries(double[:2]), memory_of(double))
        assert hits.scores.dtype == jnp.float64
        np.testing.assert_allclose(hits.scores[:, 0], np.sort(np.asarray(double[:2] @ double.T))[:, -1], rtol=1e-13)


def test_narrow_keys_are_found_with_a_query_that_is_not_rounded():
    rng = np.random.default_rng(8)
    keys = jnp.asarray(rng.standard_normal((20_000, 16)), jnp.bfloat16)  # more than a block
    vector = jnp.asarray(rng.standard_normal((50, 16)), jnp.float32)
    best = np.sort(np.asarray(vector, np.float64) @ np.asarray(keys, np.float64).T, axis=1)[:, :-6:-1]
    hits = search.exact(5)(search.Queries(vector), memory_of(keys))
    np.testing.assert_allclose(hits.scores, best, rtol=1e-5)


@pytest.mark.parametrize("size", [1e-9, 1e6])
def test_the_range_of_narrow_keys_does_not_bound_queries(size):
    rng = np.random.default_rng(9)
    memory = memory_of(jnp.asarray(rng.standard_normal((N, D)), jnp.float16))
    vector = jnp.asarray(rng.standard_normal((Q, D)), jnp.float32)
    np.testing.assert_array_equal(*(find(search.Queries(each), memory).slots for each in (vector, size * vector)))


def test_a_nan_that_is_not_found_reaches_no_gradient():
    keys = jnp.array([[1.0, 2.0], [3.0, 1.0], [jnp.nan, 4.0]])

    def value(keys, vector):
        hits = search.exact(3)(search.Queries(vector), memory_of(jnp.zeros((3, 2))).replace(keys=keys))
        return jnp.sum(jnp.where(hits.valid, hits.scores, 0))

    vector = jnp.array([[1.0, 0.0], [jnp.nan, 1.0]])
    of_keys, of_vector = jax.grad(value, (0, 1))(keys, vector)
    assert of_keys.tolist() == [[1, 0], [1, 0], [0, 0]] and of_vector.tolist() == [[4, 3], [0, 0]]


def test_bad_input_is_refused():
    memory, vector = memory_of(jnp.ones((4, 2))), jnp.ones((2, 2))
    run = search.exact(2)
    with pytest.raises(ValueError, match=r"queries.vector: expected at least one query, got shape \(0, 2\)"):
        run(search.Queries(vector[:0]), memory)
    with pytest.raises(ValueError, match=r"expected 2 axes \[Q, D\], got shape \(2,\); of a single item, make a batch"):
        run(search.Queries(vector[0]), memory)
    with pytest.raises(ValueError, match="k: expected an integer of at least 1, got 0"):
        search.exact(0)
    with pytest.raises(ValueError, match="k: expected at most 4, the slots of the memory, got 5; ask for fewer"):
        search.exact(5)(search.Queries(vector), memory)
    with pytest.raises(ValueError, match="recall: expected None or a number between 0 and 1, got 1.5"):
        search.exact(2, recall=1.5)
    with pytest.raises(ValueError, match="queries: expected memjax.search.Queries, got"):
        run(vector, memory)
    with pytest.raises(ValueError, match="queries.vector: expected 2 features, as memory.keys, got 3"):
        run(search.Queries(jnp.ones((2, 3))), memory)
    with pytest.raises(ValueError, match=r"queries.words: expected 2 rows, as queries.vector, got 1"):
        run(search.Queries(vector, jnp.ones((1, 3), jnp.int32)), memory)
    with pytest.raises(ValueError, match=r"where: expected shape \(4,\) or \(2, 4\)"):
        run(search.Queries(vector), memory, jnp.ones((2, 3), bool))
    with pytest.raises(ValueError, match="keys_fn"):
        run(search.Queries(vector), mm.map_keys(memory, lambda key: {"a": key}))
    named = mm.map_keys(memory, lambda key: {"a": key})
    assert search.exact(2, keys_fn=lambda keys: keys["a"])(search.Queries(vector), named).valid.all()
    with pytest.raises(ValueError, match="vector: expected floats"):
        search.quantize(jnp.ones(2, jnp.int32))


def test_one_compilation_for_all_values():
    traces = []

    def run(*args):
        traces.append(1)
        return search.exact(K)(*args)

    jitted = jax.jit(run)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        jitted(search.Queries(small_integers(rng, Q, D)), with_holes(rng, small_integers(rng, N, D)))
    assert len(traces) == 1


def test_more_are_asked_for_than_a_block_has(monkeypatch):
    monkeypatch.setattr("memjax.search._exact._BLOCK", 64)
    keys = jnp.asarray(np.random.default_rng(0).permutation(200)[:, None], jnp.float32)
    memory = mm.write_many(mm.empty(200, keys[0], jnp.int32(0)), keys, jnp.arange(200))
    hits = search.exact(100, recall=0.9)(search.Queries(jnp.ones((1, 1))), memory)
    assert hits.scores[0].tolist() == list(range(199, 99, -1))
