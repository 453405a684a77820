# SPDX-License-Identifier: Apache-2.0
"""Search of a memory whose slots several devices divide among them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from memjax import _checks
from memjax.memory import Memory
from memjax.search._exact import exact
from memjax.search._hits import Hits, Queries, best, check_k, check_queries
from memjax.search._shards import check_axis, check_division, divide, memory_specs, own_part
from memjax.typing import Array, PyTree, SearchFn


def sharded(mesh: Mesh, axis: str, k: int, *, local: Callable[..., SearchFn] = exact, index: PyTree = None) -> SearchFn:
    """Makes a search of a memory that the devices of a mesh axis divide, by a search of each device's own slots.

    Each device finds the K best of its slots; what they exchange is K scores and slots a query and device, of which
    the K best are kept. Scores and gradients are those of one device; gradients of keys stay where the keys are.

    Args:
        mesh: the mesh of `shard_memory`, with axes of type Auto or Explicit.
        axis: the axis that divides the slots.
        k: K, at least 1. It may be more than one device holds.
        local: from K, or the number of a device's slots where that is less, to the search of them, as
            `functools.partial(exact, recall=0.9)`; with an index, from a device's part of it and K, as
            `functools.partial(hashed, width=1000)`.
        index: of `shard_index`, where `local` takes one.

    Returns:
        `search(queries, memory, where=None) -> Hits`, as of `exact`, with a memory of `shard_memory`, and the same
        queries on every device. Slots are those of the whole memory, and of equal scores the lower one comes first;
        `candidates` and `lost` are sums over the devices. It raises `ValueError` if shapes do not fit, K is more than
        N, or N is no multiple of the number of devices.

    Raises:
        ValueError: if the mesh has no such axis, or `k` is below 1.

    Example:
        >>> from memjax import memory as mm
        >>> from memjax.search import shard_memory
        >>> mesh = jax.make_mesh((1,), ("slots",))
        >>> facts = mm.write_many(mm.empty(4, jnp.zeros(2), jnp.int32(0)), jnp.eye(2), jnp.arange(2))
        >>> find = jax.jit(sharded(mesh, "slots", 3))
        >>> find(Queries(jnp.array([[0.1, 1.0]])), shard_memory(mesh, "slots", facts)).slots.tolist()
        [[1, 0, -1]]

    Reference: Weston et al. 2015, equation 2: the argmax over all memories.
    Departs from the paper: it finds K of them, on several devices.
    """
    _checks.positive("k", k)
    check_axis(mesh, axis)

    def merge(hits: Hits, num_slots: int) -> Hits:
        """The K best of all devices; runs on each of them."""
        slots = jnp.where(hits.valid, hits.slots + lax.axis_index(axis) * num_slots, -1)
        # Devices come in the order of their slots, so that of equal scores the lower slot is the first.
        gather = lambda each: lax.all_gather(each, axis, axis=1, tiled=True)  # noqa: E731
        scores, slots = best(gather(hits.scores), gather(slots), k)
        candidates, lost = lax.psum((hits.candidates, hits.lost), axis)
        return Hits(scores=scores, slots=slots, valid=slots >= 0, candidates=candidates, lost=lost)

    def search(queries: Queries, memory: Memory, where: Array | None = None) -> Hits:
        check_division(mesh, axis, memory)
        check_queries(queries, where, memory.num_slots)
        check_k(k, memory.num_slots)

        def body(queries: Queries, memory: Memory, where: Array | None, index: PyTree) -> Hits:
            count = min(k, memory.num_slots)
            find = local(count) if index is None else local(own_part(index), count)
            return merge(find(queries, memory, where), memory.num_slots)

        masked, whole = () if where is None else (*[None] * (where.ndim - 1), axis), PartitionSpec()
        specs = (whole, memory_specs(axis), PartitionSpec(*masked), PartitionSpec(axis))
        # What differs between devices is not checked: the check would refuse a search with a loop from constants.
        run = jax.shard_map(body, mesh=mesh, in_specs=specs, out_specs=whole, check_vma=False)
        return run(divide(mesh, queries), memory, divide(mesh, where, *masked), index)

    return search
