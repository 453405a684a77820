# SPDX-License-Identifier: Apache-2.0
"""Slot choosers: H of the Memory Network, from a memory and a key to the slot that is written.

All are written for one memory and one key, and return an int32 scalar. A slot outside [0, N) drops the write.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from memjax import _checks
from memjax.memory._memory import Memory, remap_outside, valid
from memjax.typing import Array, PyTree, SlotFn


def next_slot(memory: Memory, key: PyTree) -> Array:
    """Chooses the slot after the last one, the paper's N <- N + 1. O(1).

    It goes by `count` alone: after N writes offered, all further ones are dropped, also where slots were forgotten.

    Args:
        memory: N slots.
        key: not used.

    Returns:
        int32 scalar, `memory.count`.

    Example:
        >>> from memjax.memory import empty
        >>> int(next_slot(empty(3, jnp.zeros(2), jnp.zeros(2)), jnp.zeros(2)))
        0

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: the memory is bounded, and what comes past its capacity is dropped and counted.
    """
    return memory.count


def oldest_slot(memory: Memory, key: PyTree) -> Array:
    """Chooses the slots in turn, as a ring: the oldest is written over when all are full. O(1).

    Args:
        memory: N slots, all written by this chooser; it goes by `count` alone.
        key: not used.

    Returns:
        int32 scalar, `memory.count % N`.

    Example:
        >>> from memjax.memory import empty
        >>> int(oldest_slot(empty(3, jnp.zeros(2), jnp.zeros(2)).replace(count=jnp.int32(4)), jnp.zeros(2)))
        1

    Reference: Weston et al. 2015, section 2: H may forget when the memory is full.
    Departs from the paper: it leaves open how to forget; here it is by age.
    """
    return memory.count % memory.num_slots


def next_free_slot(memory: Memory, key: PyTree) -> Array:
    """Chooses the first empty slot; drops the write if there is none. Looks at all slots, O(N).

    Args:
        memory: N slots, of which some may have been forgotten.
        key: not used.

    Returns:
        int32 scalar in [0, N], N where the memory is full.

    Example:
        >>> from memjax.memory import empty
        >>> memory = empty(3, jnp.zeros(2), jnp.zeros(2)).replace(times=jnp.array([0, -1, 2]))
        >>> int(next_free_slot(memory, jnp.zeros(2)))
        1

    Reference: Weston et al. 2015, section 3.1: "the next available empty memory slot".
    Departs from the paper: the memory is bounded, and slots can become free again.
    """
    taken = valid(memory)
    return jnp.where(jnp.all(taken), memory.num_slots, jnp.argmin(taken)).astype(jnp.int32)


def least_used_slot(memory: Memory, key: PyTree) -> Array:
    """Chooses the first empty slot, else the one with the least usage, ties to the oldest. Looks at all slots, O(N).

    Args:
        memory: N slots, whose usage `memjax.memory.credit` keeps.
        key: not used.

    Returns:
        int32 scalar in [0, N).

    Example:
        >>> from memjax.memory import empty
        >>> memory = empty(3, jnp.zeros(2), jnp.zeros(2))
        >>> memory = memory.replace(times=jnp.array([4, 3, 2]), usage=jnp.array([0.5, 0.5, 0.9]))
        >>> int(least_used_slot(memory, jnp.zeros(2)))
        1

    Reference: Weston et al. 2015, section 2: replace the memory that is the least useful.
    Departs from the paper: it leaves open what makes a memory useful; here it is how much it was read.
    """
    usage = jnp.where(valid(memory), memory.usage, -jnp.inf)
    # Empty slots have the least usage and the oldest time, so the same two steps find them first.
    times = jnp.where(usage == jnp.min(usage), memory.times, jnp.iinfo(jnp.int32).max)
    return jnp.argmin(times).astype(jnp.int32)


def hashed_slot(bucket_fn: Callable[[PyTree], Array], slots_per_bucket: int) -> SlotFn:
    """Makes a chooser that keeps each bucket of keys, e.g. a topic, in a range of slots of its own.

    Bucket b owns the slots [b * slots_per_bucket, (b + 1) * slots_per_bucket). The chooser looks at those alone.

    Args:
        bucket_fn: from one slot's key to its bucket, an int32 scalar. A bucket outside [0, N / slots_per_bucket)
            drops the write.
        slots_per_bucket: at least 1; N must be a multiple of it.

    Returns:
        A chooser of the first empty slot of the bucket, else of the one written the longest ago.

    Raises:
        ValueError: if `slots_per_bucket` is not an integer of at least 1; in the chooser, if N is not a multiple of
            it, or the bucket is not an integer scalar.

    Example:
        >>> from memjax.memory import empty
        >>> by_topic = hashed_slot(lambda key: key["topic"], slots_per_bucket=2)
        >>> memory = empty(6, {"topic": jnp.int32(0)}, jnp.zeros(2)).replace(times=jnp.array([1, 2, -1, -1, 4, 3]))
        >>> [int(by_topic(memory, {"topic": jnp.int32(topic)})) for topic in (0, 1, 2, 3)]
        [0, 2, 5, 6]

    Reference: Weston et al. 2015, section 2: H may organize the memory by topic.
    Departs from the paper: a bucket has a fixed number of slots and forgets its oldest.
    """
    _checks.positive("slots_per_bucket", slots_per_bucket)

    def choose(memory: Memory, key: PyTree) -> Array:
        num_slots = memory.num_slots
        if num_slots % slots_per_bucket:
            raise ValueError(
                f"memory: expected a multiple of slots_per_bucket={slots_per_bucket} slots, got {num_slots}; "
                "make the memory with another num_slots"
            )
        bucket = jnp.asarray(bucket_fn(key))
        if bucket.ndim or not jnp.issubdtype(bucket.dtype, jnp.integer):
            raise ValueError(
                f"bucket_fn: expected an integer scalar, got {bucket.dtype} of shape {bucket.shape}; "
                "it is given one slot's key"
            )
        num_buckets = num_slots // slots_per_bucket
        bucket = remap_outside(bucket, num_buckets)
        known = bucket < num_buckets
        start = jnp.where(known, bucket, 0) * slots_per_bucket
        times = jax.lax.dynamic_slice(memory.times, (start,), (slots_per_bucket,))
        # An empty slot has time -1, before every write, so the oldest is also the first free one.
        return jnp.where(known, start + jnp.argmin(times).astype(jnp.int32), num_slots)

    return choose
