# SPDX-License-Identifier: Apache-2.0
"""Sharded search and writes against one device. Run by `tests/test_devices.py` on eight, in a process of its own.

Blocks are small, so that the part of one device has several.
"""

import functools
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from memjax import hashing, search
from memjax import memory as mm
from memjax.search import _exact

S, D, Q, K = 8, 4, 3, 5
N = 20 * S
FEW, M = 2 * S, 20  # slots, items
COMMUNICATION = re.compile(r"\b(all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(_exact, "_BLOCK", 8)
    monkeypatch.setattr(_exact, "_GROUP", 2)
    monkeypatch.setattr(_exact, "_SHORT_LISTS", 2)


@pytest.fixture(params=[AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def mesh(request):
    return jax.make_mesh((S,), ("slots",), axis_types=(request.param,))


def items(count, seed=0):
    """Keys whose products float32 holds exactly, with many equal scores; and values."""
    keys = jnp.asarray(np.random.default_rng(seed).integers(-2, 3, (count, D)), jnp.float32)
    return {"key": keys}, jnp.broadcast_to(jnp.arange(count, dtype=jnp.int32)[:, None, None], (count, 2, 2))


def empty(num_slots=N):
    return mm.empty(num_slots, {"key": jnp.zeros(D)}, jnp.zeros((2, 2), jnp.int32))


def told():
    """A full memory but for some slots in every part."""
    return mm.forget(mm.write_many(empty(), *items(N)), jnp.arange(3, N, 7))


def assert_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(one), jax.device_get(other))


exact = partial(search.exact, keys_fn=lambda keys: keys["key"])
queries = search.Queries(jnp.asarray(np.random.default_rng(1).integers(-2, 3, (Q, D)), jnp.float32))

MASKS = {
    "none": None,
    "slots": np.arange(N) % 3 > 0,
    "queries": np.arange(Q * N).reshape(Q, N) % 5 > 1,
    "one part": np.arange(N) // (N // S) == 5,
    "nothing": np.zeros(N, bool),
}


@functools.cache
def found(k, name):
    """What one device finds."""
    return jax.jit(exact(k))(queries, told(), None if MASKS[name] is None else jnp.asarray(MASKS[name]))


@pytest.mark.parametrize(
    ("k", "masks"), [(K, tuple(MASKS)), pytest.param(N // S + 7, ("none",), marks=pytest.mark.thorough)]
)
def test_search_equals_one_device_ties_included(mesh, k, masks):
    """The second K is more than one device holds."""
    memory = told()
    divided = search.shard_memory(mesh, "slots", memory)
    ours = jax.jit(search.sharded(mesh, "slots", k, local=exact))
    for name in masks:
        mask = None if MASKS[name] is None else jnp.asarray(MASKS[name])
        hits = ours(queries, divided, mask)
        assert_equal(hits, found(k, name))
        assert hits.valid.any() == (name != "nothing")
    text = ours.lower(queries, divided).compile().as_text()
    gathered = [
        int(np.prod(list(map(int, size.split(","))))) for size in re.findall(r"\w+\[([\d,]+)\]\S* all-gather", text)
    ]
    assert gathered and max(gathered) == Q * S * min(k, N // S), "only the best of each device may travel"


@pytest.mark.thorough
def test_gradients_equal_one_device_and_stay_divided(mesh):
    rng = np.random.default_rng(2)
    memory = told()
    keys = jnp.asarray(rng.standard_normal((N, D)), jnp.float32)
    vector, weights = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((Q, D), (Q, K)))

    def value(run, memory, vector, keys):
        hits = run(search.Queries(vector), memory.replace(keys={"key": keys}))
        return jnp.sum(weights * jnp.where(hits.valid, hits.scores, 0))

    divided = search.shard_memory(mesh, "slots", memory.replace(keys={"key": keys}))
    ours = jax.jit(jax.grad(partial(value, search.sharded(mesh, "slots", K, local=exact)), (1, 2)))
    plain = jax.jit(jax.grad(partial(value, exact(K)), (1, 2)))
    got, expected = ours(divided, vector, divided.keys["key"]), plain(memory, vector, keys)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), jax.device_get(got), expected)
    assert got[1].sharding.spec[0] == "slots" and expected[1].any()


@pytest.mark.thorough
def test_queries_of_a_vmap(mesh):
    memory = told()
    divided, run = search.shard_memory(mesh, "slots", memory), search.sharded(mesh, "slots", K, local=exact)
    one = jax.jit(jax.vmap(lambda vector: run(search.Queries(vector[None]), divided).slots[0]))(queries.vector)
    np.testing.assert_array_equal(one, found(K, "none").slots)


@pytest.mark.thorough
def test_a_mesh_may_have_other_axes():
    """Also with queries that it divides: they are gathered."""
    memory, mesh = mm.write_many(empty(FEW), *items(FEW - 2)), jax.make_mesh((2, 4), ("data", "slots"))
    divided = search.shard_memory(mesh, "slots", memory)
    spread = jax.device_put(queries, jax.NamedSharding(mesh, jax.P(None, "data")))
    hits = jax.jit(search.sharded(mesh, "slots", K, local=exact))(spread, divided)
    assert_equal(hits, jax.jit(exact(K))(queries, memory))
    divided = jax.jit(search.sharded_write(mesh, "slots", mm.oldest_slot))(divided, *one_item(3))
    assert_equal(divided, jax.jit(partial(mm.write, slot_fn=mm.oldest_slot))(memory, *one_item(3)))


def one_item(number):
    return jax.tree.map(lambda leaf: leaf[number], items(M))


CHOOSERS = {
    "next": mm.next_slot,
    "oldest": mm.oldest_slot,
    "free": mm.next_free_slot,
    "least used": mm.least_used_slot,
    "hashed": mm.hashed_slot(lambda key: (key["key"][0] > 0).astype(jnp.int32), 4),
    "outside": lambda memory, key: memory.count * 9 - 8,
}


@pytest.mark.parametrize("name", CHOOSERS)
def test_writes_equal_one_device(mesh, name):
    """Bit for bit, in place, compiled once; and keys and values stay where they are."""
    chooser = CHOOSERS[name]
    store = jax.jit(search.sharded_write(mesh, "slots", chooser), donate_argnums=0)
    plain = jax.jit(lambda memory, key, value, where: mm.write(memory, key, value, chooser, where))
    memory, divided = empty(FEW), search.shard_memory(mesh, "slots", empty(FEW))
    where = lambda leaf: [shard.data.unsafe_buffer_pointer() for shard in leaf.addressable_shards]  # noqa: E731
    for number in range(4):
        before = jax.tree.map(where, (divided.keys, divided.values))
        divided = store(divided, *one_item(number), jnp.asarray(number != 2))
        memory = plain(memory, *one_item(number), jnp.asarray(number != 2))
        assert jax.tree.map(where, (divided.keys, divided.values)) == before
    assert_equal(divided, memory)
    assert store._cache_size() == 1
    text = store.lower(divided, *one_item(0), jnp.asarray(True)).compile().as_text()
    if name in ("next", "oldest"):
        assert not COMMUNICATION.findall(text)
    assert not re.findall(rf"\[{FEW},{D}\]\S* all-gather", text)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["next", "oldest", "least used"])
def test_many_writes_equal_one_device(mesh, name):
    """More items than slots, some of them masked."""
    chooser, mask = CHOOSERS[name], jnp.arange(M) % 5 != 0
    memory = mm.write_many(empty(FEW), *items(3))
    divided = search.shard_memory(mesh, "slots", memory)
    many = jax.jit(search.sharded_write_many(mesh, "slots", chooser), donate_argnums=0)(divided, *items(M), mask)
    expected = jax.jit(lambda memory: mm.write_many(memory, *items(M), chooser, mask))(memory)
    assert_equal(many, expected)
    assert many.keys["key"].sharding.spec[0] == "slots" and not many.keys["key"].is_fully_replicated


def test_an_index_is_divided_and_written_with_the_memory(mesh):
    """Round the ring, so that slots are written over, tails merged, and some writes dropped."""
    rng = np.random.default_rng(3)
    words = jnp.asarray(rng.integers(2, 12, (M, 3)), jnp.int32)
    buckets = hashing.word_buckets(12)
    asked = search.Queries(jnp.asarray(rng.standard_normal((Q, 10)), jnp.float32), words[:Q])
    chooser = lambda memory, key: jnp.where(memory.count == 12, -1, memory.count % memory.num_slots)  # noqa: E731
    start = mm.write_many(mm.empty(FEW, words[0], jnp.int32(0)), words[:9], jnp.arange(9))
    make = partial(hashing.build, buckets=buckets, tail=2)
    memory, index = start, make(start)
    divided = search.shard_memory(mesh, "slots", memory)
    parts = search.shard_index(mesh, "slots", make, memory)
    local = partial(search.hashed, width=40)
    find = jax.jit(lambda memory, index: search.sharded(mesh, "slots", K, local=local, index=index)(asked, memory))
    plain = jax.jit(lambda memory, index: local(index, K)(asked, memory))
    assert_equal(find(divided, parts), plain(memory, index))
    store = jax.jit(search.sharded_index_write(mesh, "slots", hashing.write, chooser), donate_argnums=(0, 1))
    write = jax.jit(partial(hashing.write, slot_fn=chooser))
    for number in range(M):
        where = jnp.asarray(number != 3)
        divided, parts = store(divided, parts, words[number], jnp.int32(number), where)
        memory, index = write(memory, index, words[number], jnp.int32(number), where=where)
    assert_equal(divided, memory)
    assert store._cache_size() == 1 and int(memory.dropped) == 1
    ours, expected = find(divided, parts), plain(memory, index)
    assert_equal((ours.slots, ours.scores), (expected.slots, expected.scores))


@pytest.mark.thorough
def test_inverted_lists_are_divided():
    mesh = jax.make_mesh((S,), ("slots",))
    facts = search.shard_memory(mesh, "slots", mm.map_keys(told(), lambda key: key["key"]))
    lists = search.shard_index(mesh, "slots", partial(hashing.build_lists, centroids=jnp.eye(D)), facts)
    probe = partial(search.probed, num_probes=D, width=4096)
    hits = jax.jit(search.sharded(mesh, "slots", K, local=probe, index=lists))(queries, facts)
    assert_equal(hits.slots, found(K, "none").slots)


@pytest.mark.parametrize("slots", [S, 1])
def test_either_memory_may_be_given_away(slots):
    memory, mesh = told(), jax.make_mesh((slots, S // slots), ("slots", "other"))
    divided = search.shard_memory(mesh, "slots", memory)
    jax.jit(search.sharded_write(mesh, "slots"), donate_argnums=0)(divided, *one_item(0))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(divided))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(memory))


def test_a_memory_is_made_where_it_lies(mesh):
    shapes = search.shard_memory(mesh, "slots", jax.eval_shape(empty))
    memory = jax.jit(empty, out_shardings=jax.tree.map(lambda leaf: leaf.sharding, shapes))()
    assert [shard.data.shape for shard in memory.keys["key"].addressable_shards] == [(N // S, D)] * S
    assert_equal(memory, empty())


def test_bad_input_is_refused(mesh):
    memory = search.shard_memory(mesh, "slots", told())
    for num_slots, instead in ((12, 16), (4, 8)):
        odd = mm.empty(num_slots, jnp.zeros(D), jnp.int32(0))
        message = rf"memory: expected a multiple of 8 slots.*'slots', got {num_slots}; make it with num_slots={instead}"
        for run in (
            partial(search.shard_memory, mesh, "slots", odd),
            partial(search.sharded(mesh, "slots", 2), queries, odd),
            partial(search.sharded_write(mesh, "slots"), odd, jnp.zeros(D), jnp.int32(0)),
        ):
            with pytest.raises(ValueError, match=message):
                run()
    with pytest.raises(ValueError, match=r"axis: expected one of \['slots'\], got 'slot'; did you mean 'slots'"):
        search.sharded(mesh, "slot", 2)
    with pytest.raises(ValueError, match="axis"):
        search.sharded_write(mesh, "model")
    with pytest.raises(ValueError, match="k: expected an integer of at least 1, got 0"):
        search.sharded(mesh, "slots", 0)
    with pytest.raises(ValueError, match=f"k: expected at most {N}, the slots of the memory, got {N + 1}"):
        search.sharded(mesh, "slots", N + 1, local=exact)(queries, memory)
    with pytest.raises(ValueError, match=r"where: expected shape \(160,\) or \(3, 160\)"):
        search.sharded(mesh, "slots", 2, local=exact)(queries, memory, jnp.ones(4, bool))
    with pytest.raises(ValueError, match=r"key\['key'\]: expected shape \(4,\)"):
        search.sharded_write(mesh, "slots")(memory, {"key": jnp.zeros(3)}, jnp.zeros((2, 2), jnp.int32))
