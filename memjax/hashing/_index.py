# SPDX-License-Identifier: Apache-2.0
"""The index: for each bucket, the slots that have a word in it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from memjax import _checks
from memjax import memory as memory_lib
from memjax.memory import Memory, next_slot
from memjax.memory._write import choose_slot
from memjax.typing import Array, PyTree, SlotFn


@struct.dataclass
class Index:
    """Postings, each a slot and the time it was written at, by bucket; and a tail of recent writes.

    A posting whose time is not that of its slot is stale: the slot was written over or forgotten, and it is skipped.
    The tail is searched beside the base, and merged into it when it is full, where stale postings are left out, so
    a base of N x S postings holds all that are alive. Words that change in place, by `memjax.memory.generalize`, ask
    for a new index: their slots' times stay.

    Attributes:
        buckets: the bucket of each token id; -1 for none.
        offsets: where each bucket's postings start; the last one is their number.
        slots: of the postings, those of a bucket side by side.
        times: of the postings.
        tail_slots: of recent writes, R at most.
        tail_times: of recent writes; -1 where there is none yet.
        tail_buckets: of recent writes, -1 for none; no bucket twice.
        tail_count: recent writes.

    Reference: Weston et al. 2015, section 3.3.
    Departs from the paper: the index is an array value, and can be written.
    """

    buckets: Array  # int32 [V]
    offsets: Array  # int32 [C + 1]
    slots: Array  # int32 [N * S]
    times: Array  # int32 [N * S]
    tail_slots: Array  # int32 [R]
    tail_times: Array  # int32 [R]
    tail_buckets: Array  # int32 [R, S]
    tail_count: Array  # int32 []


def buckets_of(index: Index, words: Array) -> Array:
    """Finds the buckets of a sentence, each once.

    Args:
        index: of V tokens.
        words: int `[S]`, token ids. Padding, unknown words, and ids of another vocabulary have no bucket.

    Returns:
        int32 `[S]`; -1 at words without a bucket of their own.

    Example:
        >>> from memjax.hashing import empty, word_buckets
        >>> index = empty(memory_lib.empty(4, jnp.zeros(3, jnp.int32), jnp.int32(0)), word_buckets(9), num_words=3)
        >>> buckets_of(index, jnp.array([4, 8, 4, 1, 99])).tolist()
        [2, 6, -1, -1, -1]
    """
    words = jnp.where(words < 0, index.buckets.shape[0], words)
    found = index.buckets.at[words].get(mode="fill", fill_value=-1)  # [S]
    earlier = jnp.tril(found[:, None] == found[None], -1).any(axis=1)
    return jnp.where(earlier, -1, found)


def _check(memory: Memory, buckets: Array, num_words: int, tail: int) -> int:
    """Returns C, the number of buckets; raises `ValueError` unless sizes fit."""
    _checks.rank("memory.times", memory.times, 1, "[N]")
    _checks.rank("buckets", buckets, 1, "[V]")
    _checks.positive("num_words", num_words)
    _checks.positive("tail", tail)
    size = (memory.num_slots + tail) * num_words
    if size >= 2**31:  # offsets are int32
        raise ValueError(
            f"memory: expected (slots + tail) x words below 2**31, postings of one index, got ({memory.num_slots} + "
            f"{tail}) x {num_words} = {size}; divide the memory among devices, each with an index of its own part "
            "(memjax.search.shard_index), or keep fewer words of a slot"
        )
    known = np.asarray(buckets)
    if not (np.issubdtype(known.dtype, np.integer) and known.size and known.min() >= -1 and known.max() >= 0):
        raise ValueError(
            "buckets: expected integers of at least -1, one for each token, and some bucket; take them from "
            f"word_buckets or cluster_buckets, got {known.dtype} {known[:8].tolist()}"
        )
    return int(known.max()) + 1


def empty(memory: Memory, buckets: Array, *, num_words: int, tail: int = 1024) -> Index:
    """Makes an index for a memory that is empty.

    Args:
        memory: N slots; only their number is used.
        buckets: int `[V]`, of `word_buckets` or `cluster_buckets`.
        num_words: S, the words of a slot, padding included.
        tail: R, recent writes that are searched one by one. A larger one is merged less often.

    Returns:
        An index without postings, of 8 N S bytes and little more.

    Raises:
        ValueError: if a size is below 1, `buckets` is not as it should be, or (N + R) S is 2**31 or more.

    Example:
        >>> memory = memory_lib.empty(100, jnp.zeros(6, jnp.int32), jnp.int32(0))
        >>> empty(memory, jnp.array([-1, -1, 0, 1, 0]), num_words=6).slots.shape
        (600,)
    """
    num_buckets = _check(memory, buckets, num_words, tail)
    size = memory.num_slots * num_words
    return Index(
        buckets=jnp.asarray(buckets, jnp.int32),
        offsets=jnp.zeros(num_buckets + 1, jnp.int32),
        slots=jnp.zeros(size, jnp.int32),
        times=jnp.full(size, -1, jnp.int32),
        tail_slots=jnp.zeros(tail, jnp.int32),
        tail_times=jnp.full(tail, -1, jnp.int32),
        tail_buckets=jnp.full((tail, num_words), -1, jnp.int32),
        tail_count=jnp.zeros((), jnp.int32),
    )


def build(memory: Memory, buckets: Array, words: Array | None = None, *, tail: int = 1024) -> Index:
    """Makes the index of a memory that holds something. Runs on the host: it sorts all postings once.

    Args:
        memory: N slots.
        buckets: int `[V]`, of `word_buckets` or `cluster_buckets`.
        words: int `[N, S]`, token ids of each slot; `memory.keys` by default.
        tail: R, as in `empty`.

    Returns:
        An index with all valid slots in its base, in the order of the slots within a bucket.

    Raises:
        ValueError: if the shapes do not fit, or as `empty`.

    Example:
        >>> keys = jnp.array([[2, 4], [4, 0]])
        >>> memory = memory_lib.write_many(memory_lib.empty(2, keys[0], jnp.int32(0)), keys, jnp.arange(2))
        >>> index = build(memory, jnp.array([-1, -1, 0, 1, 2]))
        >>> index.offsets.tolist(), index.slots[:3].tolist()
        ([0, 1, 1, 3], [0, 0, 1])
    """
    words = memory.keys if words is None else words
    if jnp.ndim(words) != 2 or jnp.shape(words)[0] != memory.num_slots:
        raise ValueError(
            f"words: expected token ids [{memory.num_slots}, S], a row for each slot, got shape {jnp.shape(words)}; "
            "pass words=memory.values where they are the values"
        )
    num_buckets = _check(memory, buckets, jnp.shape(words)[1], tail)
    table, ids, times = np.asarray(buckets), np.asarray(words), np.asarray(memory.times)
    inside = (ids >= 0) & (ids < table.size) & (times >= 0)[:, None]
    # One integer a posting, so that a plain sort puts them in order, and equal ones are words that share a bucket.
    postings = np.full(ids.shape, -1, np.int64)
    np.copyto(postings, table[np.where(inside, ids, 0)], where=inside)
    absent = postings < 0
    postings <<= 32
    postings |= np.arange(ids.shape[0], dtype=np.int64)[:, None]
    postings = postings[~absent]
    del inside, absent
    postings.sort()
    new = np.empty(postings.size, bool)
    new[:1] = True
    np.not_equal(postings[1:], postings[:-1], out=new[1:])
    postings = postings[new]
    index = empty(memory, buckets, num_words=ids.shape[1], tail=tail)
    slots, held = np.zeros(ids.size, np.int32), np.full(ids.size, -1, np.int32)
    slots[: postings.size] = postings & 0xFFFFFFFF
    held[: postings.size] = times[slots[: postings.size]]
    starts = np.searchsorted(postings, np.arange(num_buckets + 1, dtype=np.int64) << 32)
    return dataclasses.replace(
        index, offsets=jnp.asarray(starts, jnp.int32), slots=jnp.asarray(slots), times=jnp.asarray(held)
    )


def write(
    memory: Memory,
    index: Index,
    key: PyTree,
    value: PyTree,
    words: Array | None = None,
    slot_fn: SlotFn = next_slot,
    where: Array | bool = True,
) -> tuple[Memory, Index]:
    """Stores one pair, and its postings: the one way to write both.

    Unbatched. Donate both: a write then costs the same at any size, but for one in R, which merges the tail.

    Args:
        memory: N slots.
        index: of this memory.
        key: as in `memjax.memory.write`.
        value: likewise.
        words: int `[S]`, token ids; `key` by default.
        slot_fn: H, chooses the slot.
        where: bool scalar; False leaves both as they were.

    Returns:
        The memory as `memjax.memory.write` returns it, and the index. A write that the memory drops has no posting.

    Raises:
        ValueError: if a shape or dtype does not fit.

    Example:
        >>> from memjax.hashing import word_buckets
        >>> memory = memory_lib.empty(4, jnp.zeros(2, jnp.int32), jnp.int32(0))
        >>> index = empty(memory, word_buckets(9), num_words=2)
        >>> memory, index = write(memory, index, jnp.array([5, 0]), jnp.int32(1))
        >>> index.tail_buckets[0].tolist()
        [3, -1]

    Reference: Weston et al. 2015, sections 3.1 and 3.3.
    Departs from the paper: see `Index`.
    """
    words = key if words is None else words
    num_words = index.tail_buckets.shape[1]
    if isinstance(words, (dict, tuple, list)) or jnp.shape(words) != (num_words,):
        got: Any = jax.tree.map(jnp.shape, words)
        raise ValueError(f"words: expected token ids [{num_words}], as the index was made for, got {got}; pass words=")
    _checks.slot_indices("words", words)
    index = jax.tree.map(jnp.asarray, index)  # a restored one may hold NumPy arrays
    slot = choose_slot(slot_fn, memory, key)
    stored = jnp.asarray(where, bool) & (slot < memory.num_slots)
    written = memory_lib.write(memory, key, value, lambda memory, key: slot, where)
    full = stored & (index.tail_count == index.tail_slots.shape[0])
    # A loop of one turn or none: the branches of `lax.cond` would copy the base at every write.
    base, _ = lax.while_loop(
        lambda carry: carry[1], lambda carry: (merge(written, carry[0]), jnp.bool_(False)), (index, full)
    )
    at = jnp.where(stored, base.tail_count, base.tail_slots.shape[0])
    return written, dataclasses.replace(
        base,
        tail_slots=base.tail_slots.at[at].set(slot, mode="drop"),
        tail_times=base.tail_times.at[at].set(memory.count, mode="drop"),
        tail_buckets=base.tail_buckets.at[at].set(buckets_of(index, words), mode="drop"),
        tail_count=base.tail_count + stored.astype(jnp.int32),
    )


def merge(memory: Memory, index: Index) -> Index:
    """Moves the tail into the base, and leaves out what is stale. `write` calls it when the tail is full.

    Args:
        memory: N slots.
        index: of this memory.

    Returns:
        An index with an empty tail that finds the same slots, but where `max_bucket` of `memjax.search.hashed` counts
        postings that were in the tail.

    Example:
        >>> from memjax.hashing import word_buckets
        >>> memory = memory_lib.empty(4, jnp.zeros(2, jnp.int32), jnp.int32(0))
        >>> index = empty(memory, word_buckets(9), num_words=2)
        >>> index = merge(*write(memory, index, jnp.array([5, 2]), jnp.int32(1)))
        >>> index.offsets.tolist(), int(index.tail_count)
        ([0, 1, 1, 1, 2, 2, 2, 2], 0)
    """
    index, times = jax.tree.map(jnp.asarray, (index, memory.times))  # restored ones may hold NumPy arrays
    size, num_buckets = index.slots.shape[0], index.offsets.shape[0] - 1
    recent, num_words = index.tail_buckets.shape
    place = jnp.arange(size, dtype=jnp.int32)
    alive = (place < index.offsets[-1]) & (times.at[index.slots].get(mode="clip") == index.times)
    before = jnp.pad(jnp.cumsum(alive, dtype=jnp.int32), (1, 0))  # of the base, alive
    kept = before[index.offsets]  # [C + 1]
    held = (index.tail_times >= 0) & (times.at[index.tail_slots].get(mode="clip") == index.tail_times)
    buckets = jnp.where(held[:, None], index.tail_buckets, -1).reshape(-1)
    buckets = jnp.where(buckets >= 0, buckets, num_buckets)  # last in order, and beyond every offset
    order = jnp.argsort(buckets, stable=True)
    buckets = buckets[order]
    added = jnp.searchsorted(buckets, jnp.arange(num_buckets + 1), side="left").astype(jnp.int32)  # [C + 1]
    # A posting of the base moves by what is added to lower buckets; one of the tail comes after its bucket's base.
    starts = jnp.zeros(size + 1, jnp.int32).at[index.offsets[1:-1]].add(jnp.diff(added)[:-1], mode="drop")
    shift = jnp.cumsum(starts[:-1]) + added[0]
    base_to = jnp.where(alive, before[:-1] + shift, size)
    tail_to = jnp.where(buckets < num_buckets, kept[jnp.minimum(buckets + 1, num_buckets)], size)
    tail_to = jnp.minimum(tail_to + jnp.arange(order.shape[0], dtype=jnp.int32), size)

    def gather(base: Array, tail: Array, fill: int) -> Array:
        rows = jnp.repeat(tail, num_words)[order]
        return jnp.full(size, fill, jnp.int32).at[base_to].set(base, mode="drop").at[tail_to].set(rows, mode="drop")

    return dataclasses.replace(
        index,
        offsets=kept + added,
        slots=gather(index.slots, index.tail_slots, 0),
        times=gather(index.times, index.tail_times, -1),
        tail_times=jnp.full(recent, -1, jnp.int32),
        tail_buckets=jnp.full_like(index.tail_buckets, -1),
        tail_count=jnp.zeros((), jnp.int32),
    )
