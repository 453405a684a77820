# SPDX-License-Identifier: Apache-2.0
"""Slot choosers on memories of every kind, against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import memory as mm


def memory_of(times, usage=None, count=0):
    memory = mm.empty(len(times), jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((), jnp.int32))
    usage = np.zeros(len(times)) if usage is None else usage
    return memory.replace(
        times=jnp.asarray(times, jnp.int32), usage=jnp.asarray(usage, jnp.float32), count=jnp.int32(count)
    )


def random_memories(rng, num_slots, how_many):
    """Memories with some empty slots, different write times, and usage with many ties."""
    for _ in range(how_many):
        times = rng.permutation(num_slots * 3)[:num_slots]
        times = np.where(rng.random(num_slots) < rng.choice([0.0, 0.2, 0.8, 1.0]), -1, times)
        usage = np.where(times < 0, 0.0, rng.choice([-0.5, 0.0, 0.5], num_slots))
        yield times, usage


@pytest.mark.parametrize("count, next_slot, oldest_slot", [(0, 0, 0), (4, 4, 4), (5, 5, 0), (13, 13, 3)])
def test_choosers_by_count(count, next_slot, oldest_slot):
    memory = memory_of([-1] * 5, count=count)
    assert int(mm.next_slot(memory, jnp.int32(0))) == next_slot
    assert int(mm.oldest_slot(memory, jnp.int32(0))) == oldest_slot


def test_next_free_slot_equals_numpy():
    choose = jax.jit(mm.next_free_slot)
    for times, usage in random_memories(np.random.default_rng(0), 6, 40):
        free = np.flatnonzero(times < 0)
        assert int(choose(memory_of(times, usage), jnp.int32(0))) == (free[0] if len(free) else 6)


def test_least_used_slot_equals_numpy():
    choose = jax.jit(mm.least_used_slot)
    for times, usage in random_memories(np.random.default_rng(1), 6, 60):
        free = np.flatnonzero(times < 0)
        expected = free[0] if len(free) else np.lexsort((times, usage))[0]
        assert int(choose(memory_of(times, usage), jnp.int32(0))) == expected


def test_least_used_slot_keeps_what_is_read():
    memory = mm.write_many(memory_of([-1] * 3), jnp.arange(3), jnp.arange(3))
    for value in range(3, 9):
        read = jnp.flatnonzero(memory.values == 1, size=1)
        memory = mm.write(mm.credit(memory, read, jnp.ones(1)), jnp.int32(value), jnp.int32(value), mm.least_used_slot)
    # Slot 1 was read before each write; the others took turns, the oldest first.
    assert memory.values.tolist() == [7, 1, 8]
    assert memory.usage.tolist() == [0.0, 6.0, 0.0]


@pytest.mark.parametrize("per_bucket", [1, 2, 3, 6])
def test_hashed_slot_equals_numpy(per_bucket):
    choose = jax.jit(mm.hashed_slot(lambda key: key, per_bucket))
    for times, usage in random_memories(np.random.default_rng(per_bucket), 6, 15):
        for bucket in [-(2**31), -1, 0, 6 // per_bucket - 1, 6 // per_bucket, 2**31 - 1]:
            own = times[bucket * per_bucket :][:per_bucket] if 0 <= bucket < 6 // per_bucket else []
            expected = bucket * per_bucket + np.argmin(own) if len(own) else 6
            assert int(choose(memory_of(times, usage), jnp.int32(bucket))) == expected


def test_hashed_slot_keeps_buckets_apart():
    by_parity = mm.hashed_slot(lambda key: key % 2, 2)
    memory = mm.write_many(memory_of([-1] * 4), jnp.array([1, 3, 5, 7, 2]), jnp.arange(5), by_parity)
    assert memory.keys.tolist() == [2, 0, 5, 7]
    assert memory.times.tolist() == [4, -1, 2, 3]
    assert int(memory.dropped) == 0


@pytest.mark.parametrize("chooser", [mm.next_slot, mm.oldest_slot, mm.next_free_slot, mm.least_used_slot])
def test_choosers_are_int32_scalars_also_in_x64(chooser):
    for wide in (False, True):
        with jax.enable_x64(wide):
            slot = chooser(memory_of([3, 4]), jnp.int32(0))
            assert (slot.shape, slot.dtype) == ((), jnp.int32)
            written = mm.write_many(memory_of([3, 4]), jnp.arange(3, dtype=jnp.int32), jnp.zeros(3, jnp.int32), chooser)
            assert {leaf.dtype for leaf in (written.times, written.count, written.dropped)} == {jnp.dtype("int32")}


def test_hashed_slot_errors():
    with pytest.raises(ValueError, match="slots_per_bucket: expected an integer of at least 1"):
        mm.hashed_slot(lambda key: key, 0)
    with pytest.raises(ValueError, match="multiple of slots_per_bucket=2 slots, got 3"):
        mm.hashed_slot(lambda key: key, 2)(memory_of([-1] * 3), jnp.int32(0))
    with pytest.raises(ValueError, match="bucket_fn: expected an integer scalar, got float32"):
        mm.hashed_slot(lambda key: key * 0.5, 2)(memory_of([-1] * 4), jnp.int32(0))
