# SPDX-License-Identifier: Apache-2.0
"""The bucket index against loops over sentences, and hashed search against exact search of what shares a bucket."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import hashing, search
from memjax import memory as mm
from tests import reference

N, S, V, K = 12, 4, 11, 5
#: Tokens 0 and 1 have no bucket, token 9 has none either, and some share one.
BUCKETS = jnp.array([-1, -1, 0, 1, 2, 0, 3, 3, 4, -1, 5], jnp.int32)


def random_words(rng, *shape):
    return jnp.asarray(rng.integers(0, V + 2, (*shape, S)), jnp.int32)  # V and V + 1 are of another vocabulary


@pytest.fixture(scope="module")
def written():
    """A ring that was written three times over, its index and what it holds; slot 4 was forgotten."""
    rng = np.random.default_rng(0)
    memory = mm.empty(N, jnp.zeros(S, jnp.int32), jnp.int32(0))
    index = hashing.empty(memory, BUCKETS, num_words=S, tail=5)
    write = jax.jit(lambda memory, index, key, where: hashing.write(memory, index, key, 0, slot_fn=ring, where=where))
    ring = mm.oldest_slot
    for _ in range(3 * N + 2):
        key, where = random_words(rng), bool(rng.random() < 0.8)
        before = memory
        memory, index = write(memory, index, key, where)
        alone = mm.write(before, key, jnp.int32(0), ring, where)
        jax.tree.map(np.testing.assert_array_equal, memory, alone)
    return mm.forget(memory, jnp.array([4])), index


def search_by_hand(memory, words, vector, max_bucket=None, sizes=None):
    """Scores and slots of the K best that share a bucket with the question."""
    ids, times = np.asarray(memory.keys), np.asarray(memory.times)
    mine = reference.buckets(np.asarray(words).tolist(), np.asarray(BUCKETS).tolist())
    if max_bucket is not None:
        mine = {bucket for bucket in mine if sizes[bucket] <= max_bucket}
    allowed = [
        bool(times[i] >= 0 and mine & reference.buckets(ids[i].tolist(), np.asarray(BUCKETS).tolist()))
        for i in range(N)
    ]
    dense = np.stack([reference.bag([t for t in row if t < V], V - 2) for row in ids.tolist()])
    return reference.best_slots(np.asarray(vector), dense, np.array(allowed), K)


@pytest.mark.parametrize("merged", [False, True])
def test_hashed_equals_a_loop_over_what_shares_a_bucket(written, merged):
    memory, index = written
    assert index.tail_count > 0 and index.offsets[-1] > 0
    index = jax.jit(hashing.merge)(memory, index) if merged else index
    rng = np.random.default_rng(1)
    words = random_words(rng, 20)
    vectors = jnp.asarray(rng.integers(-2, 3, (20, V - 2)), jnp.float32)
    hits = jax.jit(lambda index, *args: search.hashed(index, K, 3 * N * S)(*args))(
        index, search.Queries(vectors, words), memory
    )
    for row in range(20):
        scores, slots = search_by_hand(memory, words[row], vectors[row])
        assert hits.slots[row].tolist() == slots
        np.testing.assert_array_equal(hits.scores[row], scores)
    assert not hits.lost.any() and (~hits.valid).any()


def test_merge_leaves_stale_postings_out_and_equals_build(written):
    memory, index = written
    merge = jax.jit(hashing.merge)
    merged, built = merge(memory, index), hashing.build(memory, BUCKETS)
    np.testing.assert_array_equal(merged.offsets, built.offsets)
    for start, end in zip(built.offsets[:-1].tolist(), built.offsets[1:].tolist(), strict=True):
        assert sorted(merged.slots[start:end].tolist()) == built.slots[start:end].tolist()
        assert sorted(merged.times[start:end].tolist()) == sorted(built.times[start:end].tolist())
    again = merge(memory, merged)
    jax.tree.map(np.testing.assert_array_equal, again, merged.replace(tail_slots=again.tail_slots))
    assert merge(memory.replace(times=jnp.full(N, -1)), index).offsets[-1] == 0


def test_frequent_buckets_are_skipped_and_counted(written):
    memory, _ = written
    index = hashing.build(memory, BUCKETS)
    sizes = np.diff(index.offsets)
    bound = int(np.sort(sizes)[2])
    rng = np.random.default_rng(2)
    words, vectors = random_words(rng, 10), jnp.asarray(rng.integers(-2, 3, (10, V - 2)), jnp.float32)
    hits = jax.jit(search.hashed(index, K, 3 * N, max_bucket=bound))(search.Queries(vectors, words), memory)
    for row in range(10):
        assert hits.slots[row].tolist() == search_by_hand(memory, words[row], vectors[row], bound, sizes)[1]
        mine = reference.buckets(np.asarray(words[row]).tolist(), np.asarray(BUCKETS).tolist())
        assert hits.candidates[row] == sum(sizes[bucket] for bucket in mine if sizes[bucket] <= bound)


def test_what_does_not_fit_the_width_is_the_most_frequent_and_counted(written):
    memory, _ = written
    index = hashing.build(memory, BUCKETS)
    words = jnp.array([[2, 3, 4, 6]], jnp.int32)
    queries = search.Queries(jnp.ones((1, V - 2)), words)
    sizes = np.sort(np.diff(index.offsets)[[0, 1, 2, 3]])
    width = int(sizes[0] + sizes[1])
    hits = jax.jit(search.hashed(index, K, width))(queries, memory)
    assert hits.candidates.tolist() == [width] and hits.lost.tolist() == [int(sizes[2:].sum())]
    rare = np.argsort(np.diff(index.offsets)[[0, 1, 2, 3]], kind="stable")[:2]
    only = [[2, 3, 4, 6][i] for i in rare] + [0, 0]
    alone = jax.jit(search.hashed(index, K, N * S))(
        search.Queries(queries.vector, jnp.array([only], jnp.int32)), memory
    )
    np.testing.assert_array_equal(alone.slots, hits.slots)


@pytest.mark.thorough
def test_many_candidates_fill_several_chunks(monkeypatch):
    from memjax.search import _hashed

    monkeypatch.setattr(_hashed, "_CHUNK", 16)
    monkeypatch.setattr(_hashed, "_GROUP", 4)
    rng = np.random.default_rng(3)
    keys = jnp.asarray(rng.integers(2, 6, (200, S)), jnp.int32)
    memory = mm.write_many(mm.empty(200, keys[0], jnp.int32(0)), keys, jnp.zeros(200, jnp.int32))
    index = hashing.build(memory, hashing.word_buckets(6))
    queries = search.Queries(jnp.asarray(rng.standard_normal((3, 4)), jnp.float32), keys[:3])
    hits = jax.jit(lambda *args: search.hashed(index, K, 1000)(*args))(queries, memory)
    shares = jnp.any(keys[None, :, :, None] == keys[:3, None, None], axis=(2, 3))  # [3, 200]
    np.testing.assert_allclose(hits.scores, jax.jit(search.exact(K))(queries, memory, shares).scores, rtol=1e-6)
    where = shares & jnp.asarray(rng.random((3, 200)) < 0.3)
    np.testing.assert_allclose(
        jax.jit(search.hashed(index, K, 1000))(queries, memory, where).scores,
        jax.jit(search.exact(K))(queries, memory, where).scores,
        rtol=1e-6,
    )


def test_a_mask_of_slots_holds_for_every_query(written):
    memory, index = written
    rng = np.random.default_rng(5)
    asked = search.Queries(jnp.asarray(rng.integers(-2, 3, (20, V - 2)), jnp.float32), random_words(rng, 20))
    where, run = jnp.asarray(rng.random(N) < 0.5), jax.jit(search.hashed(index, K, 3 * N * S))
    hits = run(asked, memory, where)
    jax.tree.map(np.testing.assert_array_equal, hits, run(asked, memory, jnp.broadcast_to(where, (20, N))))
    assert hits.valid.any() and not jnp.any(hits.valid & ~where[hits.slots])


def test_of_equal_scores_the_lower_slot_comes_first():
    words = jnp.tile(jnp.array([2, 0], jnp.int32), (200, 1)).at[70].set(jnp.array([2, 3]))
    memory = mm.write_many(mm.empty(200, words[0], jnp.int32(0)), words, jnp.arange(200))
    queries = search.Queries(jnp.ones((1, 6)), words[:1])
    hits = search.hashed(hashing.build(memory, hashing.word_buckets(8)), 3, 256)(queries, memory)
    assert hits.slots.tolist() == search.exact(3)(queries, memory).slots.tolist() == [[70, 0, 1]]


@pytest.mark.thorough
def test_dense_keys_and_gradients(written):
    """An embedded memory whose words are its values, as a trained model serves it."""
    memory, _ = written
    rng = np.random.default_rng(4)
    embedded = memory.replace(keys={"candidate": jnp.asarray(rng.standard_normal((N, 3)), jnp.float32)})
    embedded = embedded.replace(values=memory.keys)
    index = hashing.build(embedded, BUCKETS, embedded.values)
    words, vector = random_words(rng, 2), jnp.asarray(rng.standard_normal((2, 3)), jnp.float32)
    run = jax.jit(search.hashed(index, 2, N * S, keys_fn=lambda keys: keys["candidate"]))
    value = lambda vector: jnp.sum(jnp.where((h := run(search.Queries(vector, words), embedded)).valid, h.scores, 0))  # noqa: E731
    hits = run(search.Queries(vector, words), embedded)
    expected = jnp.where(hits.valid[..., None], embedded.keys["candidate"][hits.slots], 0).sum(1)
    np.testing.assert_allclose(jax.grad(value)(vector), expected, rtol=1e-6)
    key = {"candidate": jnp.ones(3)}
    write = jax.jit(hashing.write, static_argnums=5)
    longer, grown = write(embedded, index, key, jnp.full(S, 2, jnp.int32), jnp.full(S, 2), mm.oldest_slot)
    assert grown.tail_buckets[0].tolist() == [0, -1, -1, -1] and int(longer.count) == int(memory.count) + 1


def test_questions_and_words_without_a_bucket_find_nothing(written):
    memory, index = written
    words = jnp.array([[0, 0, 0, 0], [1, 9, V, 99], [-5, -1, 0, 1]], jnp.int32)
    hits = jax.jit(search.hashed(index, K, 8))(search.Queries(jnp.ones((3, V - 2)), words), memory)
    assert not hits.valid.any() and not hits.candidates.any()


def test_a_dropped_write_has_no_posting():
    memory = mm.empty(1, jnp.zeros(S, jnp.int32), jnp.int32(0))
    index = hashing.empty(memory, BUCKETS, num_words=S)
    key = jnp.full(S, 2, jnp.int32)
    for _ in range(2):
        memory, index = hashing.write(memory, index, key, jnp.int32(0))
    assert int(index.tail_count) == 1 and int(memory.dropped) == 1


@pytest.mark.thorough
def test_frequent_buckets_are_skipped_in_the_tail_too():
    keys = jnp.full((4, S), 2, jnp.int32)
    memory = mm.write_many(mm.empty(4, keys[0], jnp.int32(0)), keys[:3], jnp.arange(3))
    memory, index = hashing.write(memory, hashing.build(memory, BUCKETS, tail=2), keys[3], jnp.int32(3))
    assert int(index.tail_count) == 1
    asked = search.Queries(jnp.ones((1, V - 2)), keys[:1])
    for bound, found in ((3, 4), (2, 0)):
        assert search.hashed(index, 4, 16, max_bucket=bound)(asked, memory).valid.sum() == found


def test_a_masked_write_leaves_a_full_tail_as_it_is():
    key = jnp.full(S, 2, jnp.int32)
    memory = mm.empty(3, key, jnp.int32(0))
    memory, index = hashing.write(memory, hashing.empty(memory, BUCKETS, num_words=S, tail=1), key, jnp.int32(0))
    again = hashing.write(memory, index, key, jnp.int32(0), where=False)
    jax.tree.map(np.testing.assert_array_equal, again, (memory, index))


@pytest.mark.thorough
def test_a_restored_index_of_numpy_arrays_will_do(written):
    memory, index = written
    plain = jax.device_get((memory, index))
    merged = hashing.merge(memory, index)
    jax.tree.map(np.testing.assert_array_equal, hashing.merge(*plain), merged)
    asked = search.Queries(jnp.ones((2, V - 2)), random_words(np.random.default_rng(3), 2))
    found = [search.hashed(each[1], K, 3 * N * S)(asked, each[0]) for each in (plain, written)]
    jax.tree.map(np.testing.assert_array_equal, *found)
    key = jnp.full(S, 2, jnp.int32)
    wrote = [hashing.write(*each, key, jnp.int32(0)) for each in (plain, written)]
    jax.tree.map(np.testing.assert_array_equal, *wrote)


def test_bad_input_is_refused(written):
    memory, index = written
    with pytest.raises(ValueError, match=r"words: expected token ids \[4\], as the index was made for, got \(3,\)"):
        hashing.write(memory, index, jnp.zeros(S, jnp.int32), jnp.int32(0), jnp.zeros(3, jnp.int32))
    with pytest.raises(ValueError, match="buckets: expected integers of at least -1"):
        hashing.empty(memory, jnp.array([-2, 0]), num_words=S)
    with pytest.raises(ValueError, match="buckets: expected integers of at least -1"):
        hashing.build(memory, jnp.full(V, -1))
    with pytest.raises(ValueError, match=r"words: expected token ids \[12, S\], a row for each slot"):
        hashing.build(memory, BUCKETS, memory.keys[:3])
    row = jax.ShapeDtypeStruct((16,), jnp.int32)
    large = jax.eval_shape(lambda: mm.empty(2**27 - 3, row, jnp.int32(0)))  # shapes alone
    message = r"below 2\*\*31, postings of one index, got \(134217725 \+ 3\) x 16 = 2147483648; divide the memory"
    with pytest.raises(ValueError, match=message):
        hashing.build(large, BUCKETS, tail=3)
    with pytest.raises(ValueError, match=message):
        hashing.empty(large, BUCKETS, num_words=16, tail=3)
    assert jax.eval_shape(lambda: hashing.empty(large, BUCKETS, num_words=16, tail=2)).slots.shape == (2**31 - 48,)
    with pytest.raises(ValueError, match="queries.words: expected token ids"):
        search.hashed(index, K, 8)(search.Queries(jnp.ones((1, V - 2))), memory)
    with pytest.raises(ValueError, match="width: expected an integer of at least 1, got 0"):
        search.hashed(index, K, 0)
    with pytest.raises(ValueError, match="num_tokens - 2: expected an integer of at least 1"):
        hashing.word_buckets(2)
