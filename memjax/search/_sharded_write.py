# SPDX-License-Identifier: Apache-2.0
"""Writes to a memory whose slots several devices divide among them, and to an index of them."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from memjax import _checks
from memjax.memory import Memory, next_slot
from memjax.memory._write import BY_COUNT, choose_slot, put, write_by, write_many_by
from memjax.search._shards import check_axis, check_division, divide, memory_specs, own_part
from memjax.typing import Array, PyTree, SlotFn


def _put_sharded(mesh: Mesh, axis: str) -> Callable[[Memory, Array, PyTree, PyTree, Array], Memory]:
    """Makes a `put` for a memory that is divided: each device stores what falls into its own slots."""

    def put_sharded(memory: Memory, slots: Array, keys: PyTree, values: PyTree, times: Array) -> Memory:
        check_division(mesh, axis, memory)
        beyond = memory.num_slots + slots.size  # all slots are less

        def body(local: Memory, slots: Array, keys: PyTree, values: PyTree, times: Array) -> Memory:
            # Turned round, so that slots stay different from each other, and those of other devices come after ours.
            return put(local, (slots - lax.axis_index(axis) * local.num_slots) % beyond, keys, values, times)

        specs, whole = memory_specs(axis), PartitionSpec()
        run = jax.shard_map(body, mesh=mesh, in_specs=(specs, whole, whole, whole, whole), out_specs=specs)
        return run(memory, *divide(mesh, (slots, keys, values, times)))

    return put_sharded


def _chooser(mesh: Mesh, axis: str, slot_fn: SlotFn) -> SlotFn:
    """The chooser, if it goes by `count`; else one that may look at a divided memory, also under an Explicit mesh."""
    if slot_fn in BY_COUNT:
        return slot_fn
    return jax.sharding.auto_axes(slot_fn, axes=axis, out_sharding=NamedSharding(mesh, PartitionSpec()))


def sharded_write(mesh: Mesh, axis: str, slot_fn: SlotFn = next_slot) -> Callable[..., Memory]:
    """Makes `memjax.memory.write` for a memory that several devices divide: equal to it, bit for bit.

    Each device stores a pair that falls into its own slots. With `next_slot` and `oldest_slot` devices exchange
    nothing; other choosers exchange what they look at, never keys and values. Jit it and donate the memory: the write
    is in place.

    Args:
        mesh: the mesh of `shard_memory`.
        axis: the axis that divides the slots.
        slot_fn: H, chooses the slot, in the memory as a whole.

    Returns:
        `write(memory, key, value, where=True) -> memory`, as `memjax.memory.write`, with a memory of `shard_memory`.

    Raises:
        ValueError: if the mesh has no such axis; in the write, as `memjax.memory.write`, or if devices would have
            different numbers of slots.

    Example:
        >>> from memjax import memory as mm
        >>> from memjax.search import shard_memory
        >>> mesh = jax.make_mesh((1,), ("slots",))
        >>> memory = shard_memory(mesh, "slots", mm.empty(4, jnp.zeros(2), jnp.int32(0)))
        >>> store = jax.jit(sharded_write(mesh, "slots", mm.oldest_slot), donate_argnums=0)
        >>> store(memory, jnp.ones(2), jnp.int32(7)).values.tolist()
        [7, 0, 0, 0]

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: the memory is bounded and divided.
    """
    check_axis(mesh, axis)
    put_fn, choose = _put_sharded(mesh, axis), _chooser(mesh, axis, slot_fn)

    def write(memory: Memory, key: PyTree, value: PyTree, where: Array | bool = True) -> Memory:
        return write_by(put_fn, memory, key, value, choose, where)

    return write


def sharded_write_many(mesh: Mesh, axis: str, slot_fn: SlotFn = next_slot) -> Callable[..., Memory]:
    """Makes `memjax.memory.write_many` for a memory that several devices divide: equal to it, bit for bit.

    Args:
        mesh: the mesh of `shard_memory`.
        axis: the axis that divides the slots.
        slot_fn: as in `sharded_write`.

    Returns:
        `write_many(memory, keys, values, where=None) -> memory`, as `memjax.memory.write_many`; every device is given
        all pairs.

    Raises:
        ValueError: as `sharded_write`.

    Example:
        >>> from memjax import memory as mm
        >>> from memjax.search import shard_memory
        >>> mesh = jax.make_mesh((1,), ("slots",))
        >>> memory = shard_memory(mesh, "slots", mm.empty(2, jnp.float32(0), jnp.int32(0)))
        >>> memory = sharded_write_many(mesh, "slots")(memory, jnp.ones(3), jnp.arange(3))
        >>> memory.values.tolist(), int(memory.dropped)
        ([0, 1], 1)

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: the memory is bounded and divided.
    """
    check_axis(mesh, axis)
    put_fn, choose = _put_sharded(mesh, axis), _chooser(mesh, axis, slot_fn)

    def write_many(memory: Memory, keys: PyTree, values: PyTree, where: Array | None = None) -> Memory:
        return write_many_by(put_fn, memory, keys, values, choose, where)

    return write_many


def sharded_index_write(
    mesh: Mesh, axis: str, write_fn: Callable[..., tuple[Memory, PyTree]], slot_fn: SlotFn = next_slot
) -> Callable[..., tuple[Memory, PyTree]]:
    """Makes a write to a memory and its index that several devices divide: `sharded_write`, and its postings.

    Args:
        mesh: the mesh of `shard_memory`.
        axis: the axis that divides the slots.
        write_fn: writes both, `memjax.hashing.write` or `memjax.hashing.write_to_lists`.
        slot_fn: as in `sharded_write`.

    Returns:
        `write(memory, index, key, value, where=True, **options) -> (memory, index)`, with a memory of `shard_memory`
        and an index of `shard_index`; the options are the arrays among those of `write_fn`, and a function is bound
        before: `partial(write_to_lists, keys_fn=..)`. Each device merges its own tail.

    Raises:
        ValueError: as `sharded_write` and `write_fn`.

    Example:
        >>> from functools import partial
        >>> from memjax import hashing, memory as mm
        >>> from memjax.search import shard_index, shard_memory
        >>> mesh = jax.make_mesh((1,), ("slots",))
        >>> memory = shard_memory(mesh, "slots", mm.empty(4, jnp.zeros(3, jnp.int32), jnp.int32(0)))
        >>> make = partial(hashing.empty, buckets=hashing.word_buckets(9), num_words=3)
        >>> index = shard_index(mesh, "slots", make, memory)
        >>> store = jax.jit(sharded_index_write(mesh, "slots", hashing.write), donate_argnums=(0, 1))
        >>> memory, index = store(memory, index, jnp.array([5, 7, 0]), jnp.int32(1))
        >>> index.tail_count.tolist()
        [1]

    Reference: Weston et al. 2015, sections 3.1 and 3.3.
    Departs from the paper: memory and index are bounded and divided.
    """
    check_axis(mesh, axis)
    chooser = _chooser(mesh, axis, slot_fn)

    def write(
        memory: Memory, index: PyTree, key: PyTree, value: PyTree, where: Array | bool = True, **options: PyTree
    ) -> tuple[Memory, PyTree]:
        check_division(mesh, axis, memory)
        _checks.rank("where", where, 0, "[]")
        where, slot = jnp.asarray(where, bool), choose_slot(chooser, memory, key)

        def body(
            local: Memory, index: PyTree, slot: Array, key: PyTree, value: PyTree, where: Array, options: PyTree
        ) -> tuple[Memory, PyTree]:
            mine = slot - lax.axis_index(axis) * local.num_slots
            after, index = write_fn(
                local, own_part(index), key, value, slot_fn=lambda memory, key: mine, where=where, **options
            )
            return dataclasses.replace(after, dropped=local.dropped), jax.tree.map(lambda leaf: leaf[None], index)

        specs, whole, parts = memory_specs(axis), PartitionSpec(), PartitionSpec(axis)
        in_specs = (specs, parts, *[whole] * 5)
        run = jax.shard_map(body, mesh=mesh, in_specs=in_specs, out_specs=(specs, parts), check_vma=False)
        after, index = run(memory, index, *divide(mesh, (slot, key, value, where, options)))
        dropped = memory.dropped + (where & (slot == memory.num_slots)).astype(jnp.int32)
        return dataclasses.replace(after, dropped=dropped), index

    return write
