# SPDX-License-Identifier: Apache-2.0
"""Inverted lists: the index over vectors instead of words, whose buckets are clusters of memories."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from memjax import _checks
from memjax._codes import PADDING, round_to_codes
from memjax.hashing import _index
from memjax.hashing._clusters import nearest
from memjax.hashing._index import Index
from memjax.memory import Memory, next_slot
from memjax.typing import Array, PyTree, SlotFn

#: Rows that are coded at once.
_BLOCK = 4096


@struct.dataclass
class Lists:
    """An index of one posting a slot, with 8-bit codes of the postings' keys side by side, which is fast to read.

    Attributes:
        index: the postings; its buckets are the lists.
        centroids: of the lists.
        codes: of the postings of the base, and 512 rows of zeros; as `memjax.memory` keys, divided by `scales`.
        scales: of the codes.

    Reference: Jegou et al. 2011, "Product quantization for nearest neighbor search", section IV: inverted lists.
    Departs from the paper: 8 bits a feature, the memory's own keys decide at the end, and lists can be written.
    """

    index: Index
    centroids: Array  # [C, D]
    codes: Array  # int8 [N + 512, D]
    scales: Array  # float32 [N + 512]


def write_to_lists(
    memory: Memory,
    lists: Lists,
    key: PyTree,
    value: PyTree,
    slot_fn: SlotFn = next_slot,
    where: Array | bool = True,
    keys_fn: Callable[[PyTree], PyTree] | None = None,
) -> tuple[Memory, Lists]:
    """Stores one pair, and its posting in the list of the nearest centroid: the one way to write both.

    Args:
        memory: N slots.
        lists: of this memory.
        key: `[D]`, or as `keys_fn` takes it.
        value: as in `memjax.memory.write`.
        slot_fn: H, chooses the slot.
        where: bool scalar; False leaves both as they were.
        keys_fn: of `build_lists`.

    Returns:
        The memory as `memjax.memory.write` returns it, and the lists.

    Raises:
        ValueError: if a shape or dtype does not fit.

    Example:
        >>> from memjax import memory as mm
        >>> memory = mm.empty(4, jnp.zeros(2), jnp.int32(0))
        >>> lists = build_lists(memory, jnp.eye(2))
        >>> memory, lists = write_to_lists(memory, lists, jnp.array([0.2, 1.0]), jnp.int32(7))
        >>> lists.index.tail_buckets[0].tolist()
        [1]
    """
    vector = key if keys_fn is None else keys_fn(key)
    _checks.rank("key", vector, 1, "[D]")
    words = nearest(vector[None], lists.centroids)
    lists = jax.tree.map(jnp.asarray, lists)  # restored ones may hold NumPy arrays
    written, index = _index.write(memory, lists.index, key, value, words, slot_fn, where)
    full = lists.index.tail_count == lists.index.tail_slots.shape[0]
    merged = full & (written.count - written.dropped > memory.count - memory.dropped)  # as something was stored

    def code(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        keys = written.keys if keys_fn is None else keys_fn(written.keys)  # of all slots, so at a merge alone
        return *_side_by_side(keys, index), jnp.bool_(False)

    codes, scales, _ = lax.while_loop(lambda carry: carry[2], code, (lists.codes, lists.scales, merged))
    return written, Lists(index, lists.centroids, codes, scales)


def build_lists(
    memory: Memory, centroids: Array, *, tail: int = 1024, keys_fn: Callable[[PyTree], PyTree] | None = None
) -> Lists:
    """Sorts the keys of a memory, vectors, into lists. Runs on the host.

    Args:
        memory: N slots with keys `[N, D]`; it may be empty.
        centroids: `[C, D]`, e.g. of `kmeans` over a sample of the keys.
        tail: R, recent writes that are searched one by one.
        keys_fn: from `memory.keys`, or one slot's key, to the vectors, where keys are more than that.

    Returns:
        Lists that hold every valid slot, each in the list of its nearest centroid.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> from memjax import memory as mm
        >>> keys = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]])
        >>> facts = mm.write_many(mm.empty(3, keys[0], jnp.int32(0)), keys, jnp.arange(3))
        >>> build_lists(facts, jnp.eye(2)).index.offsets.tolist()
        [0, 1, 3]
    """
    keys = memory.keys if keys_fn is None else keys_fn(memory.keys)
    if not hasattr(keys, "dtype"):
        got = jax.tree.structure(keys)
        raise ValueError(f"memory.keys: expected one array [N, D], got {got}; name it with keys_fn=")
    _checks.rank("memory.keys", keys, 2, "[N, D]")
    _checks.floats("memory.keys", keys)
    chosen = nearest(keys, centroids)
    buckets = jnp.arange(jnp.shape(centroids)[0], dtype=jnp.int32)
    index = _index.build(memory, buckets, chosen[:, None], tail=tail)
    return Lists(index, jnp.asarray(centroids), *_side_by_side(keys, index))


@jax.jit
def _side_by_side(keys: Array, index: Index) -> tuple[Array, Array]:
    """Codes and scales of the base's postings."""
    place = jnp.arange(index.slots.shape[0] + PADDING, dtype=jnp.int32)

    def code(place: Array) -> tuple[Array, Array]:
        codes, scale = round_to_codes(jnp.asarray(keys).at[index.slots.at[place].get(mode="clip")].get(mode="clip"))
        held = place < index.offsets[-1]
        return jnp.where(held, codes, 0), jnp.where(held, scale, 0)

    return lax.map(code, place, batch_size=_BLOCK)
