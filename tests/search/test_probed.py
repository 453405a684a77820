# SPDX-License-Identifier: Apache-2.0
"""Inverted lists against exact search of what lies in the probed lists."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import hashing, search
from memjax import memory as mm

N, D, C, K = 90, 8, 5, 4


@pytest.fixture(scope="module")
def written():
    """A ring written one and a half times over: its base was merged, its tail holds the last writes."""
    rng = np.random.default_rng(0)
    keys = jnp.asarray(rng.standard_normal((N + 45, D)), jnp.float32)
    memory = mm.write_many(mm.empty(N, keys[0], jnp.int32(0)), keys[:N], jnp.arange(N, dtype=jnp.int32))
    lists = hashing.build_lists(memory, jnp.asarray(rng.standard_normal((C, D)), jnp.float32), tail=20)
    write = jax.jit(partial(hashing.write_to_lists, slot_fn=mm.oldest_slot))
    for number in range(N, N + 45):
        memory, lists = write(memory, lists, keys[number], jnp.int32(number))
    memory = mm.forget(memory, jnp.array([3, 80]))
    assert 0 < lists.index.tail_count < 20
    return memory, lists, rng


def probed(lists, probes, width):
    return jax.jit(search.probed(lists, K, probes, width))


def in_probed_lists(memory, lists, vector, probes):
    chosen = np.argsort(-np.asarray(vector @ lists.centroids.T), axis=1, kind="stable")[:, :probes]
    of = np.asarray(hashing.nearest(memory.keys, lists.centroids))
    return jnp.asarray((of[None, :, None] == chosen[:, None]).any(axis=-1))  # [Q, N]


@pytest.mark.parametrize(
    ("masked", "count"),
    [(False, 1), (True, 11), *(pytest.param(*case, marks=pytest.mark.thorough) for case in ((False, 11), (True, 1)))],
)
def test_equals_exact_search_of_the_probed_lists(written, count, masked):
    memory, lists, rng = written
    vector = jnp.asarray(rng.standard_normal((count, D)), jnp.float32)
    where = jnp.asarray(rng.random((count, N)) < 0.3) if masked else None
    for probes in (1, 3):
        hits = probed(lists, probes, 512 * probes)(search.Queries(vector), memory, where)
        allowed = in_probed_lists(memory, lists, vector, probes)
        allowed = allowed & where if masked else allowed
        expected = jax.jit(search.exact(K))(search.Queries(vector), memory, allowed)
        np.testing.assert_array_equal(hits.slots, expected.slots)
        np.testing.assert_allclose(hits.scores, expected.scores, rtol=1e-6)
        assert not hits.lost.any()


def test_a_mask_of_slots_holds_for_every_query(written):
    memory, lists, rng = written
    asked, where = search.Queries(jnp.asarray(rng.standard_normal((3, D)), jnp.float32)), jnp.arange(N) % 2 == 0
    run = probed(lists, 3, 1536)
    hits = run(asked, memory, where)
    jax.tree.map(np.testing.assert_array_equal, hits, run(asked, memory, jnp.broadcast_to(where, (3, N))))
    assert hits.valid.any() and not jnp.any(hits.valid & ~where[hits.slots])


def test_a_masked_write_leaves_memory_and_lists_as_they_are():
    key = jnp.array([1.0, 0.0])
    memory = mm.empty(3, key, jnp.int32(0))
    memory, lists = hashing.write_to_lists(memory, hashing.build_lists(memory, jnp.eye(2), tail=2), key, jnp.int32(0))
    again = hashing.write_to_lists(memory, lists, key, jnp.int32(1), where=False)
    jax.tree.map(np.testing.assert_array_equal, again, (memory, lists))


@pytest.mark.thorough
def test_a_merged_tail_equals_lists_built_anew(written):
    memory, lists, _ = written
    built = hashing.build_lists(memory, lists.centroids)
    merged = hashing.merge(memory, lists.index)
    np.testing.assert_array_equal(merged.offsets, built.index.offsets)
    assert sorted(merged.slots[: N - 2].tolist()) == sorted(built.index.slots[: N - 2].tolist())


@pytest.mark.thorough
def test_a_tail_of_one_is_merged_at_every_write_with_its_codes():
    keys = jnp.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.1]])
    memory = mm.empty(4, keys[0], jnp.int32(0))
    lists = hashing.build_lists(memory, jnp.eye(2), tail=1)
    write = jax.jit(hashing.write_to_lists)
    for number, key in enumerate(keys):
        memory, lists = write(memory, lists, key, jnp.int32(number))
    merged = lists.index.slots[:2]
    expected = jnp.round(127 * keys[merged] / keys[merged].max(axis=1, keepdims=True))
    np.testing.assert_array_equal(lists.codes[:2], expected)
    assert probed(lists, 2, 1024)(search.Queries(jnp.ones((1, 2))), memory).slots.tolist() == [[2, 1, 0, -1]]


@pytest.mark.parametrize(("kept", "asked"), [(jnp.float64, jnp.float32), (jnp.float32, jnp.float64)])
def test_scores_have_the_precision_of_the_keys(kept, asked):
    with jax.enable_x64(True):
        memory = mm.empty(4, jnp.zeros(2, kept), jnp.int32(0))
        lists = hashing.build_lists(memory, jnp.eye(2, dtype=kept), tail=2)
        queries = search.Queries(jnp.ones((1, 2), asked))
        hits = jax.eval_shape(search.probed(lists, K, 2, 1024), queries, memory)  # traced, not compiled
        assert hits.scores.dtype == kept


@pytest.mark.thorough
def test_what_does_not_fit_the_width_is_counted():
    keys = jnp.concatenate([jnp.ones((600, 2)), jnp.full((40, 2), -1.0)])
    memory = mm.write_many(mm.empty(640, keys[0], jnp.int32(0)), keys, jnp.zeros(640, jnp.int32))
    lists = hashing.build_lists(memory, jnp.array([[1.0, 1.0], [-1.0, -1.0]]))
    queries = search.Queries(jnp.array([[1.0, 0.9]]))
    hits = probed(lists, 2, 512)(queries, memory)
    assert hits.candidates.tolist() == [512] and hits.lost.tolist() == [128]
    assert probed(lists, 2, 1536)(queries, memory).lost.tolist() == [0]


@pytest.mark.thorough
def test_gradients_are_those_of_the_scores(written):
    memory, lists, rng = written
    vector = jnp.asarray(rng.standard_normal((2, D)), jnp.float32)
    run = probed(lists, 2, 1024)
    hits = run(search.Queries(vector), memory)
    got = jax.jit(jax.grad(lambda vector: jnp.sum(run(search.Queries(vector), memory).scores)))(vector)
    np.testing.assert_allclose(got, memory.keys[hits.slots].sum(axis=1), rtol=1e-6)


@pytest.mark.thorough
def test_nothing_is_found_in_empty_lists_or_by_nan():
    memory = mm.empty(8, jnp.zeros(2), jnp.int32(0))
    lists = hashing.build_lists(memory, jnp.eye(2), tail=2)
    queries = search.Queries(jnp.ones((2, 2)))
    assert not probed(lists, 2, 512)(queries, memory).valid.any()
    write = jax.jit(hashing.write_to_lists)
    for key in ([jnp.nan, 1.0], [1.0, 0.0]):
        memory, lists = write(memory, lists, jnp.array(key), jnp.int32(0))
    assert probed(lists, 2, 512)(queries, memory).slots.tolist() == [[1, -1, -1, -1]] * 2
    assert not probed(lists, 2, 512)(search.Queries(jnp.full((2, 2), jnp.nan)), memory).valid.any()


@pytest.mark.thorough
def test_vectors_may_be_a_part_of_the_keys(written):
    plain, lists, rng = written
    memory, keys_fn = mm.map_keys(plain, lambda key: {"vector": key, "more": key[0]}), lambda keys: keys["vector"]
    key = jnp.asarray(rng.standard_normal(D), jnp.float32)
    written, after = hashing.write_to_lists(memory, lists, {"vector": key, "more": key[0]}, 0, keys_fn=keys_fn)
    expected = hashing.write_to_lists(plain, lists, key, jnp.int32(0))
    jax.tree.map(np.testing.assert_array_equal, after, expected[1])
    built = [hashing.build_lists(each, lists.centroids, keys_fn=fn) for each, fn in ((memory, keys_fn), (plain, None))]
    jax.tree.map(np.testing.assert_array_equal, *built)
    asked = search.Queries(key[None])
    hits = search.probed(after, K, 2, 1024, keys_fn=keys_fn)(asked, written)
    jax.tree.map(np.testing.assert_array_equal, hits, search.probed(after, K, 2, 1024)(asked, expected[0]))
    with pytest.raises(ValueError, match="memory.keys: expected one array"):
        hashing.build_lists(memory, lists.centroids)


def test_bad_input_is_refused(written):
    memory, lists, _ = written
    with pytest.raises(ValueError, match="num_probes: expected at most 5, the number of lists, got 6"):
        search.probed(lists, K, 6, 512)
    with pytest.raises(ValueError, match="width: expected an integer of at least 1, got 0"):
        search.probed(lists, K, 1, 0)
    with pytest.raises(ValueError, match="memory.keys: expected floats"):
        hashing.build_lists(memory.replace(keys=jnp.ones((N, D), jnp.int32)), lists.centroids)
    with pytest.raises(ValueError, match=r"centroids: expected shape \(2, 8\)"):
        hashing.build_lists(memory, jnp.eye(2))


def test_a_query_of_zeros_finds_slots_and_numpy_will_do(written):
    memory, lists, _ = written
    zeros = search.Queries(jnp.zeros((1, D)))
    hits = search.probed(lists, K, C, 512)(zeros, jax.tree.map(np.asarray, memory), np.ones(N, bool))
    assert hits.slots.min() >= 0 and not hits.scores.any()
