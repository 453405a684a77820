# SPDX-License-Identifier: Apache-2.0
"""Writing: G of the Memory Network. Everything that fills or empties a slot goes through `put`."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from memjax import _checks
from memjax.memory._memory import Memory, remap_outside, zero_empty
from memjax.memory._slots import next_slot, oldest_slot
from memjax.typing import Array, PyTree, SlotFn

# Choosers that go by `memory.count` alone: the slots of many writes are known before the first one.
BY_COUNT = (next_slot, oldest_slot)

#: As `put`.
PutFn = Callable[[Memory, Array, PyTree, PyTree, Array], Memory]


def put(memory: Memory, slots: Array, keys: PyTree, values: PyTree, times: Array) -> Memory:
    """Stores pairs in slots, resets their usage, and leaves `count` and `dropped` to the caller.

    Args:
        memory: N slots.
        slots: int32 `[]` or `[M]`, all different and none negative; N and beyond are not stored.
        keys: leaves `[...]` or `[M, ...]`.
        values: likewise.
        times: int32, shaped like `slots`; -1 empties the slot.
    """

    def scatter(leaf: Array, rows: Array) -> Array:
        # Unique indices keep the derivative a plain scatter. A restored memory may hold NumPy arrays.
        return jnp.asarray(leaf).at[slots].set(rows, mode="drop", unique_indices=True)

    return dataclasses.replace(
        memory,
        keys=jax.tree.map(scatter, memory.keys, keys),
        values=jax.tree.map(scatter, memory.values, values),
        times=scatter(memory.times, times),
        usage=scatter(memory.usage, jnp.zeros_like(slots, memory.usage.dtype)),
    )


def _last_wins(slots: Array, num_slots: int) -> Array:
    """Returns slots `[M]` that are all different: of those that come twice, all but the last move beyond N."""
    order = jnp.argsort(slots, stable=True)
    last = jnp.diff(slots[order], append=num_slots + 1) != 0
    wins = jnp.zeros(slots.shape, bool).at[order].set(last, unique_indices=True) & (slots < num_slots)
    return jnp.where(wins, slots, num_slots + jnp.arange(len(slots), dtype=slots.dtype))


def choose_slot(slot_fn: SlotFn, memory: Memory, key: PyTree) -> Array:
    """Returns the chosen slot, int32, as N where it lies outside the memory."""
    slot = jnp.asarray(slot_fn(memory, key))
    if slot.ndim or not jnp.issubdtype(slot.dtype, jnp.integer):
        raise ValueError(
            f"slot_fn: expected an integer scalar, got {slot.dtype} of shape {slot.shape}; "
            "a slot_fn is given one memory and one slot's key"
        )
    return remap_outside(slot, memory.num_slots)


def write(
    memory: Memory, key: PyTree, value: PyTree, slot_fn: SlotFn = next_slot, where: Array | bool = True
) -> Memory:
    """Stores one key-value pair: the simplest G, m_H(x) = I(x).

    Unbatched; lift with `jax.vmap` for a batch of memories. With a donated memory the cost does not depend on N,
    unless `slot_fn` looks at all slots.

    Args:
        memory: the memory to extend, N slots.
        key: one slot's key, leaves shaped like `memory.keys` without their leading N.
        value: one slot's value, likewise.
        slot_fn: H, chooses the slot. A slot outside [0, N), negatives included, drops the write.
        where: bool scalar; False leaves the memory as it was.

    Returns:
        The memory with the pair stored at write time `memory.count` and usage 0. A dropped write counts in `count`
        and in `dropped`.

    Raises:
        ValueError: if a leaf's shape or dtype differs from the memory's, or `slot_fn` returns no integer scalar.

    Example:
        >>> from memjax.memory import empty
        >>> memory = write(empty(2, jnp.zeros(3), jnp.int32(0)), jnp.ones(3), jnp.int32(7))
        >>> memory.keys.tolist(), memory.values.tolist(), int(memory.count)
        ([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], [7, 0], 1)

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: the memory is bounded; past its capacity `slot_fn` decides.
    """
    return write_by(put, memory, key, value, slot_fn, where)


def write_by(put_fn: PutFn, memory: Memory, key: PyTree, value: PyTree, slot_fn: SlotFn, where: Array | bool) -> Memory:
    """`write` with a `put` of one's own, e.g. one for a memory that several devices divide."""
    _checks.rank("memory.times", memory.times, 1, "[N]")
    _checks.rank("where", where, 0, "[]")
    _checks.same_leaves("key", key, "memory.keys", memory.keys, drop=1)
    _checks.same_leaves("value", value, "memory.values", memory.values, drop=1)
    num_slots = memory.num_slots
    slot = choose_slot(slot_fn, memory, key)
    where = jnp.asarray(where, bool)
    written = put_fn(memory, jnp.where(where, slot, num_slots), key, value, memory.count)
    return dataclasses.replace(
        written,
        count=memory.count + where.astype(jnp.int32),
        dropped=memory.dropped + (where & (slot == num_slots)).astype(jnp.int32),
    )


def write_many(
    memory: Memory, keys: PyTree, values: PyTree, slot_fn: SlotFn = next_slot, where: Array | None = None
) -> Memory:
    """Stores M pairs, one after the other: equal to a loop of `write`, bit for bit.

    With `next_slot` and `oldest_slot` all pairs are stored at once; other choosers, which may look at what was just
    written, run in a `jax.lax.scan`.

    Args:
        memory: the memory to extend, N slots; M may be greater than N.
        keys: leaves `[M, ...]`, shaped like `memory.keys` but for M.
        values: leaves `[M, ...]`, likewise.
        slot_fn: H, as in `write`. Of two pairs for one slot the later one stays.
        where: bool `[M]`, False at pairs to skip; None for all.

    Returns:
        The memory after the last write.

    Raises:
        ValueError: if a leaf's shape or dtype does not fit, or `slot_fn` returns no integer scalar.

    Example:
        >>> from memjax.memory import empty
        >>> memory = empty(2, jnp.float32(0), jnp.int32(0))
        >>> memory = write_many(memory, jnp.array([0.1, 0.2, 0.3]), jnp.arange(3), oldest_slot)
        >>> memory.values.tolist(), memory.times.tolist()
        ([2, 1], [2, 1])

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: the memory is bounded; past its capacity `slot_fn` decides.
    """
    return write_many_by(put, memory, keys, values, slot_fn, where)


def write_many_by(
    put_fn: PutFn, memory: Memory, keys: PyTree, values: PyTree, slot_fn: SlotFn, where: Array | None
) -> Memory:
    """`write_many` with a `put` of one's own."""
    _checks.rank("memory.times", memory.times, 1, "[N]")
    num_items = _checks.leading_size("keys", keys)
    _checks.same_leaves("keys", keys, "memory.keys", memory.keys, drop=1, lead=(num_items,))
    _checks.same_leaves("values", values, "memory.values", memory.values, drop=1, lead=(num_items,))
    if where is None:
        where = jnp.ones(num_items, bool)
    elif jnp.shape(where) != (num_items,):
        raise ValueError(f"where: expected shape {(num_items,)}, one for each of keys, got {jnp.shape(where)}")
    where = jnp.asarray(where, bool)

    if slot_fn not in BY_COUNT:

        def step(memory: Memory, item: tuple[PyTree, PyTree, Array]) -> tuple[Memory, None]:
            key, value, offered = item
            return write_by(put_fn, memory, key, value, slot_fn, offered), None

        return jax.lax.scan(step, memory, (keys, values, where))[0]

    num_slots = memory.num_slots
    after = memory.count + jnp.cumsum(where, dtype=jnp.int32)  # [M]
    times = after - where.astype(jnp.int32)
    slots = jax.vmap(lambda time, key: choose_slot(slot_fn, dataclasses.replace(memory, count=time), key))(times, keys)
    written = put_fn(memory, _last_wins(jnp.where(where, slots, num_slots), num_slots), keys, values, times)
    return dataclasses.replace(
        written,
        count=memory.count + jnp.sum(where, dtype=jnp.int32),
        dropped=memory.dropped + jnp.sum(where & (slots == num_slots), dtype=jnp.int32),
    )


def generalize(
    memory: Memory, fn: Callable[[PyTree, PyTree, PyTree, Memory], tuple[PyTree, PyTree]], feature: PyTree
) -> Memory:
    """Updates every memory given new input: the full G, m_i = G(m_i, I(x), m) for all i.

    It revises what is stored and stores nothing new, so times, usage and `count` stay, and empty slots stay empty:
    call `write` for the input itself. Costs O(N). An index of `memjax.hashing` does not notice that keys changed, since
    times stay: build it again.

    Args:
        memory: m, N slots.
        fn: G, `(key, value, feature, memory) -> (key, value)` for one slot, lifted over the slots by `jax.vmap`; it
            sees the whole memory as it was. It also runs at empty slots, on zeros, where its result is not used,
            but must be finite, gradient included.
        feature: I(x), any pytree.

    Returns:
        The memory with other keys and values.

    Raises:
        ValueError: if what `fn` returns differs in shape or dtype from a slot.

    Example:
        >>> from memjax.memory import empty
        >>> memory = write(empty(2, jnp.zeros(2), jnp.float32(0)), jnp.ones(2), jnp.float32(3))
        >>> toward = lambda key, value, feature, memory: (key + 0.5 * (feature - key), value)
        >>> generalize(memory, toward, jnp.zeros(2)).keys.tolist()
        [[0.5, 0.5], [0.0, 0.0]]

    Reference: Weston et al. 2015, section 2, step 2.
    Departs from the paper: nothing.
    """
    _checks.rank("memory.times", memory.times, 1, "[N]")

    def update(key: PyTree, value: PyTree) -> tuple[PyTree, PyTree]:
        key, value = fn(key, value, feature, memory)
        _checks.same_leaves("key that fn returns", key, "memory.keys", memory.keys, drop=1)
        _checks.same_leaves("value that fn returns", value, "memory.values", memory.values, drop=1)
        return key, value

    keys, values = jax.vmap(update)(memory.keys, memory.values)
    return dataclasses.replace(memory, keys=zero_empty(memory, keys), values=zero_empty(memory, values))


def forget(memory: Memory, slots: Array) -> Memory:
    """Empties slots: zero key, value and usage, time -1. `count` and `dropped` stay.

    `next_free_slot`, `least_used_slot` and `hashed_slot` find the slots that became free.

    Args:
        memory: N slots.
        slots: integer `[K]`. A slot may come twice; one outside [0, N) is ignored.

    Returns:
        The memory without what those slots held.

    Raises:
        ValueError: if `slots` is not an integer `[K]`.

    Example:
        >>> from memjax.memory import empty
        >>> memory = write_many(empty(3, jnp.float32(0), jnp.int32(0)), jnp.ones(3), jnp.arange(3))
        >>> forget(memory, jnp.array([1, -1])).times.tolist()
        [0, -1, 2]

    Reference: Weston et al. 2015, section 2: "forgetting", not tried in the paper.
    Departs from the paper: nothing.
    """
    _checks.rank("memory.times", memory.times, 1, "[N]")
    _checks.slot_indices("slots", slots)
    at = _last_wins(remap_outside(slots, memory.num_slots), memory.num_slots)  # [K]

    def zeros(leaf: Array) -> Array:
        return jnp.zeros((len(at), *leaf.shape[1:]), leaf.dtype)  # [K, ...]

    keys, values = jax.tree.map(zeros, (memory.keys, memory.values))
    return put(memory, at, keys, values, jnp.full(at.shape, -1, jnp.int32))
