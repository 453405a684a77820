# SPDX-License-Identifier: Apache-2.0
"""Merging against plain loops, and what it leaves alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import memory as mm
from tests import reference

N = 6
NONE = lambda key, held: jnp.bool_(False)  # noqa: E731


def same(key, held):
    return key["about"] == held["about"]


def needs(key, held):
    return key["about"] == held["by"]


def fact(about, by=0):
    return {"about": jnp.int32(about), "by": jnp.int32(by)}


def random_memories(how_many):
    """Memories with some empty slots, of facts about three things that need three things."""
    rng = np.random.default_rng(0)
    times = rng.permuted(np.tile(np.arange(2 * N), (how_many, 1)), axis=1)[:, :N]
    times = np.where(rng.random(times.shape) < rng.choice([0.0, 0.3, 1.0], (how_many, 1), p=[0.5, 0.4, 0.1]), -1, times)
    held = times >= 0
    about, by = np.where(held, rng.integers(1, 4, (2, how_many, N)), 0)
    return mm.Memory(
        keys={"about": jnp.asarray(about, jnp.int32), "by": jnp.asarray(by, jnp.int32)},
        values=jnp.asarray(np.where(held, rng.standard_normal(times.shape), 0), jnp.float32),
        times=jnp.asarray(times, jnp.int32),
        usage=jnp.asarray(np.where(held, rng.choice([0.0, 0.5], times.shape), 0), jnp.float32),
        count=jnp.full(how_many, 2 * N, jnp.int32),
        dropped=jnp.zeros(how_many, jnp.int32),
    )


def take(memories, row):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[row], memories)


def assert_same(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


merge = jax.jit(lambda memory, where: mm.merge(memory, fact(1, 2), jnp.float32(7), same, needs, where=where))


def expected(memory, needs_any):
    """`merge` of the same fact in plain NumPy: forgets, then writes over the least used; `memory` is changed."""
    about, by, times, usage = memory.keys["about"], memory.keys["by"], memory.times, memory.usage
    gone = reference.obsolete(times.tolist(), (about == 1).tolist(), ((by == 1) & needs_any).tolist())
    for slot in gone:
        about[slot] = by[slot] = memory.values[slot] = usage[slot] = 0
        times[slot] = -1
    slot = min(range(N), key=lambda i: (times[i] >= 0, usage[i], times[i]))
    about[slot], by[slot], memory.values[slot], usage[slot], times[slot] = 1, 2, 7, 0, memory.count
    return memory.replace(count=memory.count + 1)


def test_merge_equals_loops_under_vmap():
    memories = random_memories(60)
    both = jax.jit(jax.vmap(merge, (0, None)))(memories, True)
    newest = jax.jit(jax.vmap(lambda memory: mm.merge(memory, fact(1, 2), jnp.float32(7), same)))(memories)
    for row in range(60):
        for merged, needs_any in ((both, True), (newest, False)):
            assert_same(take(merged, row), expected(jax.tree.map(np.array, take(memories, row)), needs_any))
    assert (newest.times >= 0).sum() < (both.times >= 0).sum(), "nothing was needed, nothing tested"
    for row in range(5):  # vmap = loop, and no second compilation
        assert_same(merge(take(memories, row), True), take(both, row))
    assert merge._cache_size() == 1


def test_masked_merge_changes_no_bit():
    memories = random_memories(20).replace(values=jnp.full((20, N), jnp.nan))
    assert_same(jax.jit(jax.vmap(merge, (0, None)))(memories, False), memories)


def test_merging_with_nothing_the_same_is_a_write():
    memories, everything = random_memories(20), lambda key, held: jnp.bool_(True)

    @jax.jit
    @jax.vmap
    def all_ways(memory):
        key, value = fact(9), jnp.float32(7)
        ways = ((NONE, None), (NONE, everything), (same, needs))
        return mm.write(memory, key, value, mm.least_used_slot), [mm.merge(memory, key, value, *way) for way in ways]

    plain, merged = all_ways(memories)
    for other in merged:
        assert_same(other, plain)


def test_what_is_needed_is_kept_until_nothing_needs_it():
    """Joe (1) goes, leaves the milk (3) and goes; Fred (2) takes the milk; Joe goes again."""
    memory = mm.empty(N, fact(0), jnp.float32(0))
    held = []
    step = jax.jit(lambda memory, about, by: mm.merge(memory, fact(about, by), jnp.float32(1), same, needs))
    for about, by in [(1, 0), (3, 1), (1, 0), (1, 0), (3, 2), (1, 0)]:
        memory = step(memory, about, by)
        held.append(sorted(time for time in memory.times.tolist() if time >= 0))
    assert held == [[0], [0, 1], [0, 1, 2], [0, 1, 3], [0, 3, 4], [4, 5]]
    assert (int(memory.count), int(memory.dropped)) == (6, 0)


def test_gradient_reaches_what_is_held_and_not_what_is_gone():
    memory = take(random_memories(1), 0).replace(
        times=jnp.arange(N), keys={name: jnp.arange(N) % 3 for name in fact(0)}
    )

    def loss(values, value):
        return jnp.sum(mm.merge(memory.replace(values=values), fact(1), value, same).values ** 2)

    held, new = jax.jit(jax.grad(loss, (0, 1)))(jnp.arange(1.0, N + 1), jnp.float32(3))
    assert held.tolist() == [2.0, 0.0, 6.0, 8.0, 0.0, 12.0] and float(new) == 6.0
    empty = jax.grad(lambda value: jnp.sum(mm.merge(mm.empty(2, fact(0), value), fact(1), value, same, needs).values))
    assert float(jax.jit(empty)(jnp.float32(3))) == 1.0


def test_errors_say_what_to_do():
    memory = mm.empty(N, fact(0), jnp.float32(0))
    with pytest.raises(ValueError, match=r"same_fn: expected a bool scalar, got float32 of shape \(\).*threshold"):
        mm.merge(memory, fact(1), jnp.float32(0), lambda key, held: jnp.float32(0.9))
    with pytest.raises(ValueError, match=r"needs_fn: expected a bool scalar, got bool of shape \(2,\)"):
        mm.merge(memory, fact(1), jnp.float32(0), same, lambda key, held: jnp.ones(2, bool))
    with pytest.raises(ValueError, match=r"key: expected the structure of memory.keys"):
        mm.merge(memory, jnp.int32(1), jnp.float32(0), same)
    with pytest.raises(ValueError, match=r"value: expected dtype float32"):
        mm.merge(memory, fact(1), jnp.int32(0), same)
    batch = jax.vmap(lambda _: memory)(jnp.arange(2))
    with pytest.raises(ValueError, match=r"memory.times: expected 1 axes \[N\].*jax.vmap"):
        mm.merge(batch, fact(1), jnp.float32(0), same)
