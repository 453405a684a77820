# SPDX-License-Identifier: Apache-2.0
"""The memory as a value, and what reads it or marks it without writing a slot."""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from memjax import _checks
from memjax.typing import Array, PyTree


@flax.struct.dataclass
class Memory:
    """m, an array of N slots, each a key-value pair with its write time.

    A slot with time -1 is empty and holds zeros. Whether a slot is empty is read from `times`, never from `count`.
    A batch of memories is the same pytree with a leading B, made by `jax.vmap`.

    Attributes:
        keys: what queries are compared with, any pytree of arrays.
        values: what is read, any pytree of arrays.
        times: `count` at the slot's last write; -1 where the slot is empty.
        usage: what `credit` added since the slot's last write.
        count: writes offered so far, dropped ones included; also "now", newer than every slot. It wraps after
            2**31 - 1 writes, and times lose their order then: start a new memory before.
        dropped: writes so far that found no slot.

    Reference: Weston et al. 2015, section 2.
    Departs from the paper: a slot is a key-value pair with a write time, not one object, and N is fixed.
    """

    keys: PyTree  # leaves [N, ...]
    values: PyTree  # leaves [N, ...]
    times: Array  # int32 [N]
    usage: Array  # float32 [N]
    count: Array  # int32 []
    dropped: Array  # int32 []

    @property
    def num_slots(self) -> int:
        """N."""
        return self.times.shape[-1]


def empty(num_slots: int, key: PyTree, value: PyTree) -> Memory:
    """Makes a memory of empty slots.

    Args:
        num_slots: N, at least 1.
        key: one slot's key, a pytree of arrays or of `jax.ShapeDtypeStruct`s; only shapes and dtypes are used.
        value: one slot's value, likewise.

    Returns:
        A memory of N slots, all zeros, with times -1.

    Raises:
        ValueError: if `num_slots` is not an integer of at least 1.

    Example:
        >>> text = jax.ShapeDtypeStruct((6,), jnp.int32)
        >>> empty(1000, key=text, value=text).keys.shape
        (1000, 6)

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: the slots are allocated at once, so that a write need not move the memory.
    """
    _checks.positive("num_slots", num_slots)

    def allocate(leaf: Array | jax.ShapeDtypeStruct) -> Array:
        return jnp.zeros((num_slots, *jnp.shape(leaf)), jnp.result_type(leaf))  # [N, ...]

    return Memory(
        keys=jax.tree.map(allocate, key),
        values=jax.tree.map(allocate, value),
        times=jnp.full(num_slots, -1, jnp.int32),
        usage=jnp.zeros(num_slots, jnp.float32),
        count=jnp.zeros((), jnp.int32),
        dropped=jnp.zeros((), jnp.int32),
    )


def valid(memory: Memory) -> Array:
    """Returns bool `[N]`: the slots that hold something.

    Example:
        >>> valid(empty(2, jnp.zeros(3), jnp.zeros(3))).tolist()
        [False, False]
    """
    return memory.times >= 0


def remap_outside(slots: Array, num_slots: int) -> Array:
    """Returns int32 slots with those outside [0, N) moved to N, where a scatter in mode "drop" loses them.

    A scatter at -1 would write the last slot.
    """
    slots = jnp.asarray(slots)
    wide = slots.astype(jnp.promote_types(slots.dtype, jnp.int32))
    return jnp.where((wide >= 0) & (wide < num_slots), slots.astype(jnp.int32), num_slots)


def gather(memory: Memory, slots: Array) -> Memory:
    """Reads K slots, as a memory of K slots.

    Unbatched; lift with `jax.vmap` for a batch of queries.

    Args:
        memory: N slots.
        slots: integer `[K]`. A slot may come twice.

    Returns:
        A memory of K slots in the order of `slots`. A slot outside [0, N) has zero key, value and usage, time -1,
        and passes no gradient. `count` and `dropped` are those of `memory`.

    Raises:
        ValueError: if `slots` is not an integer `[K]`.

    Example:
        >>> memory = empty(2, jnp.zeros(3), jnp.zeros(3)).replace(times=jnp.array([5, 4]))
        >>> gather(memory, jnp.array([1, -1])).times.tolist()
        [4, -1]

    Reference: Weston et al. 2015, section 3.1: o = [x, m_o1, m_o2].
    Departs from the paper: nothing.
    """
    _checks.slot_indices("slots", slots)
    _checks.rank("memory.times", memory.times, 1, "[N]")
    at = remap_outside(slots, memory.num_slots)  # [K]

    def take(leaf: Array, fill: int) -> Array:
        return jnp.asarray(leaf).at[at].get(mode="fill", fill_value=fill)  # [K, ...]

    return dataclasses.replace(
        memory,
        keys=jax.tree.map(lambda leaf: take(leaf, 0), memory.keys),
        values=jax.tree.map(lambda leaf: take(leaf, 0), memory.values),
        times=take(memory.times, -1),
        usage=take(memory.usage, 0),
    )


def zero_empty(memory: Memory, tree: PyTree) -> PyTree:
    """Returns `tree`, leaves `[N, ...]`, with zeros where the memory's slot is empty."""

    def mask(leaf: Array) -> Array:
        held = jnp.expand_dims(valid(memory), range(1, leaf.ndim))  # [N, 1, ...]
        return jnp.where(held, leaf, jnp.zeros_like(leaf)).astype(leaf.dtype)  # not weakly typed

    return jax.tree.map(mask, tree)


def map_keys(memory: Memory, fn: Callable[[PyTree], PyTree]) -> Memory:
    """Gives the same memory other keys, e.g. embeddings instead of token ids.

    Training embeds a text memory inside the step, since the embedding changes; serving embeds it once.

    Args:
        memory: N slots, with values, times and usage that stay as they are.
        fn: from one slot's key to its new key, a pytree of arrays of any structure; lifted over the slots by
            `jax.vmap`. It also sees the zero keys of empty slots, and must be finite there, gradient included.

    Returns:
        The memory with the keys `fn(key)`, and zero keys in empty slots, whatever `fn` makes of zeros. All but its keys
        are the arrays of `memory`: to donate one of the two and keep the other, `jax.tree.map(jnp.copy, ..)` it first.

    Raises:
        ValueError: if `memory` is a batch of memories.

    Example:
        >>> table = jnp.arange(8.0).reshape(4, 2)
        >>> tokens = empty(5, key=jnp.zeros(3, jnp.int32), value=jnp.zeros(3, jnp.int32))
        >>> map_keys(tokens, lambda key: {"candidate": table[key].sum(0)}).keys["candidate"].shape
        (5, 2)

    Reference: Weston et al. 2015, section 3.1: embeddings may be cached when the parameters are fixed.
    Departs from the paper: nothing.
    """
    _checks.rank("memory.times", memory.times, 1, "[N]")
    return dataclasses.replace(memory, keys=zero_empty(memory, jax.vmap(fn)(memory.keys)))


def credit(memory: Memory, slots: Array, weights: Array, decay: Array | float | None = None) -> Memory:
    """Adds to the usage of slots that were read; nothing else changes usage but a write, which resets it.

    Without decay, what was read often stays for ever, and what is new goes first. With it, and a weight for the new
    fact too, the usage of a slot says how much and how lately it was wanted.

    Args:
        memory: N slots.
        slots: integer `[K]`. A slot that comes twice gets both weights; an empty one, or one outside [0, N), none.
        weights: `[K]`, e.g. the attention that each slot received.
        decay: scalar in [0, 1] that multiplies all usage first, which costs O(N); None leaves it as it is.

    Returns:
        The memory with other `usage`.

    Raises:
        ValueError: if `slots` is not an integer `[K]`, `weights` not `[K]`, or `decay` no scalar.

    Example:
        >>> memory = empty(2, jnp.zeros(3), jnp.zeros(3)).replace(times=jnp.array([0, -1]))
        >>> credit(memory, jnp.array([0, 0, 1, -1]), jnp.array([0.5, 0.25, 1.0, 1.0])).usage.tolist()
        [0.75, 0.0]
        >>> credit(memory.replace(usage=jnp.ones(2)), jnp.array([1]), jnp.ones(1), decay=0.5).usage.tolist()
        [0.5, 0.5]

    Reference: Weston et al. 2015, section 2: forgetting replaces the memory that is the least useful.
    Departs from the paper: it leaves open what makes a memory useful; here it is how much it was read.
    """
    _checks.slot_indices("slots", slots)
    _checks.rank("memory.times", memory.times, 1, "[N]")
    if jnp.shape(weights) != jnp.shape(slots):
        raise ValueError(f"weights: expected shape {jnp.shape(slots)}, one for each slot, got {jnp.shape(weights)}")
    at = remap_outside(slots, memory.num_slots)  # [K]
    held = jnp.asarray(memory.times).at[at].get(mode="fill", fill_value=-1) >= 0
    added = jnp.where(held, jnp.asarray(weights).astype(memory.usage.dtype), 0.0)
    usage = jnp.asarray(memory.usage)
    if decay is not None:
        _checks.rank("decay", decay, 0, "[]")
        usage = usage * jnp.asarray(decay, usage.dtype)
    return dataclasses.replace(memory, usage=usage.at[at].add(added, mode="drop"))
