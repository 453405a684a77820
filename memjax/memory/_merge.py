# SPDX-License-Identifier: Apache-2.0
"""Merging: a new fact takes the place of older ones about the same thing."""

import jax
import jax.numpy as jnp

from memjax import _checks
from memjax.memory._memory import Memory, valid
from memjax.memory._slots import least_used_slot
from memjax.memory._write import forget, write
from memjax.typing import Array, PyTree, RelationFn, SlotFn


def merge(
    memory: Memory,
    key: PyTree,
    value: PyTree,
    same_fn: RelationFn,
    needs_fn: RelationFn | None = None,
    slot_fn: SlotFn = least_used_slot,
    where: Array | bool = True,
) -> Memory:
    """Stores a fact and forgets the older ones that it makes obsolete: a G that looks at every m_i.

    "Joe went to the garden" makes "Joe went to the kitchen" obsolete, but not where something stored between the two
    needs the older one: "Joe left the milk" is read together with where Joe was at that time. Such a fact is kept
    until a later merge of the same kind finds nothing that needs it.

    Unbatched; lift with `jax.vmap` for a batch of memories. Looks at all slots, O(N log N).

    Args:
        memory: N slots.
        key: one slot's key, of the new fact.
        value: one slot's value, likewise.
        same_fn: `(key, held) -> bool`, whether the fact held tells an older state of what the new one tells. Both
            relations also run at empty slots, on zeros, where their result is not used.
        needs_fn: `(key, held) -> bool`, whether the fact held is read together with the last one before it that tells
            what the new one tells. None: no fact needs another.
        slot_fn: H, chooses the slot after obsolete ones became free.
        where: bool scalar; False leaves the memory as it was.

    Returns:
        The memory without the obsolete facts, and with the pair as `write` stores it. Where nothing is the same, that
        is all.

    Raises:
        ValueError: if a leaf's shape or dtype differs from the memory's, a relation returns no bool scalar, or
            `slot_fn` no integer scalar.

    Example:
        >>> from memjax.memory import empty
        >>> key = {"about": jnp.int32(0), "by": jnp.int32(0)}       # joe is 1, milk is 2
        >>> same = lambda key, held: key["about"] == held["about"]
        >>> needs = lambda key, held: key["about"] == held["by"]
        >>> memory = empty(8, key, value=jnp.int32(0))
        >>> for number, (about, by) in enumerate([(1, 0), (1, 0), (2, 1), (1, 0)]):     # go, go, leave the milk, go
        ...     key = {"about": jnp.int32(about), "by": jnp.int32(by)}
        ...     memory = merge(memory, key, jnp.int32(number), same, needs)
        >>> sorted(memory.times.tolist())[-4:]
        [-1, 1, 2, 3]

    Reference: Weston et al. 2015, section 2: G may use the new input to update memories, and forget.
    Departs from the paper: it tries neither; what is the same, and what needs what, is the caller's to say.
    """
    _checks.rank("memory.times", memory.times, 1, "[N]")
    _checks.rank("where", where, 0, "[]")
    _checks.same_leaves("key", key, "memory.keys", memory.keys, drop=1)
    num_slots = memory.num_slots
    obsolete = _related("same_fn", same_fn, key, memory)  # [N]
    if needs_fn is not None:
        needing = _related("needs_fn", needs_fn, key, memory) & ~obsolete
        oldest_first = jnp.argsort(memory.times)
        # For each slot in this order, the place of the last obsolete one before it.
        place = jax.lax.cummax(jnp.where(obsolete[oldest_first], jnp.arange(num_slots), -1))
        needed = jnp.where(needing[oldest_first] & (place >= 0), oldest_first[place], num_slots)
        obsolete = obsolete.at[needed].set(False, mode="drop")
    freed = jnp.where(obsolete & where, jnp.arange(num_slots), num_slots)
    return write(forget(memory, freed), key, value, slot_fn, where)


def _related(name: str, fn: RelationFn, key: PyTree, memory: Memory) -> Array:
    """Returns bool `[N]`: the slots whose fact stands in the relation to the new one."""

    def one(held: PyTree) -> Array:
        result = jnp.asarray(fn(key, held))
        if result.ndim or result.dtype != bool:
            raise ValueError(
                f"{name}: expected a bool scalar, got {result.dtype} of shape {result.shape}; "
                "it is given the new key and one slot's key: compare a score with a threshold"
            )
        return result

    return valid(memory) & jax.vmap(one)(memory.keys)
