# SPDX-License-Identifier: Apache-2.0
"""A memory whose slots several devices divide among them, and an index of them: how they are placed."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from memjax import _checks
from memjax.memory import Memory
from memjax.typing import Array, PyTree


def check_axis(mesh: Mesh, axis: str) -> None:
    """Raises `ValueError` unless the mesh has the axis."""
    _checks.one_of("axis", axis, mesh.axis_names)


def check_division(mesh: Mesh, axis: str, memory: Memory) -> None:
    """Raises `ValueError` unless the devices of the axis get equally many slots of one memory, at least one."""
    _checks.rank("memory.times", memory.times, 1, "[N]")
    shards, num_slots = mesh.shape[axis], memory.num_slots
    if num_slots % shards:
        raise ValueError(
            f"memory: expected a multiple of {shards} slots, as many for each device of mesh axis {axis!r}, "
            f"got {num_slots}; make it with num_slots={num_slots + -num_slots % shards}, empty slots change nothing"
        )


def memory_specs(axis: str) -> Memory:
    """How each part of a memory is divided: slots along the axis, counters not at all."""
    slots, whole = PartitionSpec(axis), PartitionSpec()
    return Memory(keys=slots, values=slots, times=slots, usage=slots, count=whole, dropped=whole)  # type: ignore[arg-type]


def divide(mesh: Mesh, tree: PyTree, *spec: str | None) -> PyTree:
    """Returns arrays divided by `spec`, whole on each device without one: `shard_map` does so but on Explicit axes."""
    if AxisType.Explicit not in mesh.axis_types:
        return tree
    return jax.reshard(tree, NamedSharding(mesh, PartitionSpec(*spec)))


def _sharding(mesh: Mesh, spec: PartitionSpec, leaf: Array | jax.ShapeDtypeStruct) -> NamedSharding:
    """Spelled as in what a write returns, so that the first write is compiled for the second one too."""
    rest = [None] * (len(leaf.shape) - len(spec)) if AxisType.Explicit in mesh.axis_types else []
    return NamedSharding(mesh, PartitionSpec(*spec, *rest))


def shard_memory(mesh: Mesh, axis: str, memory: Memory) -> Memory:
    """Divides the slots of a memory among the devices of a mesh axis, in order; each has a copy of the counters.

    Of S devices the i-th holds the slots [i N / S, (i + 1) N / S). Any other axis of the mesh repeats them. What reads
    and writes such a memory without gathering it is `sharded`, `sharded_write` and `sharded_write_many`.

    Args:
        mesh: devices, with axes of type Auto or Explicit.
        axis: name of the axis that divides the slots.
        memory: N slots, N a multiple of S; arrays, or `jax.ShapeDtypeStruct`s.

    Returns:
        The same memory with its arrays where they belong. Of `ShapeDtypeStruct`s, the same with shardings: for
        `memjax.training.load_pytree`, or for a memory that is made where it will lie, as in the second example.

    Raises:
        ValueError: if the mesh has no such axis, or N is no multiple of S, as it cannot be with more devices than
            slots.

    Example:
        >>> from functools import partial
        >>> from memjax import memory as mm
        >>> mesh = jax.make_mesh((1,), ("slots",))
        >>> tuple(shard_memory(mesh, "slots", mm.empty(4, jnp.zeros(3), jnp.int32(0))).times.sharding.spec)
        ('slots',)

        Too large for one device, so made on all of them:

        >>> make = partial(mm.empty, 1000, jax.ShapeDtypeStruct((3,), jnp.float32), jnp.int32(0))
        >>> shapes = shard_memory(mesh, "slots", jax.eval_shape(make))
        >>> memory = jax.jit(make, out_shardings=jax.tree.map(lambda leaf: leaf.sharding, shapes))()

    Reference: Weston et al. 2015, section 2: the memory, an array of slots.
    Departs from the paper: the array is divided.
    """
    check_axis(mesh, axis)
    check_division(mesh, axis, memory)

    def place(spec: PartitionSpec, leaf: Array | jax.ShapeDtypeStruct) -> Array | jax.ShapeDtypeStruct:
        sharding = _sharding(mesh, spec, leaf)
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
        # A copy of what every device holds whole, so that either memory can be donated.
        whole = mesh.shape[axis] == 1 or not spec
        return jax.device_put(jnp.copy(leaf) if whole else leaf, sharding)

    return jax.tree.map(
        lambda spec, part: jax.tree.map(lambda leaf: place(spec, leaf), part), memory_specs(axis), memory
    )


def shard_index(mesh: Mesh, axis: str, make_fn: Callable[[Memory], PyTree], memory: Memory) -> PyTree:
    """Makes an index of each device's own slots, and gives it to the device.

    It copies the whole memory to one host, and makes the parts there, one after another.

    Args:
        mesh: the mesh of `shard_memory`.
        axis: the axis that divides the slots.
        make_fn: makes the index of a memory, `functools.partial(memjax.hashing.build, buckets=buckets)` or the like;
            it is called once for each device, with its slots.
        memory: N slots, N a multiple of the number S of devices; divided already, or not.

    Returns:
        The index, leaves `[S, ...]`, of which each device holds its row: for `sharded` and `sharded_index_write`.

    Raises:
        ValueError: as `shard_memory`.

    Example:
        >>> from functools import partial
        >>> from memjax import hashing, memory as mm
        >>> mesh = jax.make_mesh((1,), ("slots",))
        >>> memory = mm.empty(4, jnp.zeros(3, jnp.int32), jnp.int32(0))
        >>> make = partial(hashing.empty, buckets=hashing.word_buckets(9), num_words=3)
        >>> shard_index(mesh, "slots", make, memory).slots.shape
        (1, 12)

    Reference: Weston et al. 2015, section 3.3.
    Departs from the paper: the index is divided as the memory is.
    """
    check_axis(mesh, axis)
    check_division(mesh, axis, memory)
    size = memory.num_slots // mesh.shape[axis]

    host = jax.device_get(memory)  # an array on Explicit axes cannot be cut where it lies

    def part(start: int) -> PyTree:
        take = lambda leaf: jnp.asarray(leaf[start : start + size])  # noqa: E731
        arrays = {name: jax.tree.map(take, getattr(host, name)) for name in ("keys", "values", "times", "usage")}
        return make_fn(dataclasses.replace(memory, **arrays))

    parts = [part(start) for start in range(0, memory.num_slots, size)]

    def place(*rows: Array) -> Array:
        stacked = jnp.stack(rows)  # [S, ...]
        return jax.device_put(stacked, _sharding(mesh, PartitionSpec(axis), stacked))

    return jax.tree.map(place, *parts)


def own_part(index: PyTree) -> PyTree:
    """The index of this device, in a function that runs on each of them."""
    return jax.tree.map(lambda leaf: leaf[0], index)
