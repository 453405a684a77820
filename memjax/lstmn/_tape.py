# SPDX-License-Identifier: Apache-2.0
"""The tape as a value: what an LSTMN goes on from, between windows of a text and in decoding."""

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import DTypeLike

from memjax import _checks
from memjax.lstmn._cell import Weights, intra_attention, query, update_cell
from memjax.lstmn._sequence import turn
from memjax.typing import Array


@struct.dataclass
class Tape:
    """A batch of tapes, the newest slot last: the first N - length slots of a row are empty.

    It holds no projected keys, which would be stale after the weights changed.

    Attributes:
        hidden: h_i, `[B, N, H]`.
        cell: c_i, `[B, N, H]`.
        read: h~ of the last step, `[B, H]`.
        length: int32 `[B]`, the slots in use.
    """

    hidden: Array
    cell: Array
    read: Array
    length: Array


@struct.dataclass
class Steps:
    """What the steps of a sequence wrote and read, each `[B, T, H]`; zeros at padded steps.

    Attributes:
        hidden: h_t.
        cell: c_t.
        read: h~_t.
    """

    hidden: Array
    cell: Array
    read: Array


def empty_tape(batch: int, slots: int, features: int, dtype: DTypeLike = jnp.float32, *, filled: int = 0) -> Tape:
    """Makes a batch of tapes of zeros.

    Args:
        batch: B.
        slots: N.
        features: H.
        dtype: of the values.
        filled: how many slots count as written: 1 is the zero slot (h_0, c_0) that some implementations of the LSTMN
            attend to for ever; 0 is an empty tape, whose read is zeros.

    Returns:
        the tapes.

    Example:
        >>> empty_tape(2, 3, 4).hidden.shape
        (2, 3, 4)
    """
    hidden, cell = (jnp.zeros((batch, slots, features), dtype) for _ in range(2))  # two arrays, to be donated
    return Tape(hidden, cell, jnp.zeros((batch, features), dtype), jnp.full(batch, filled, jnp.int32))


def initial(name: str, tape: Tape | None, batch: int, features: int, dtype: jnp.dtype) -> Tape:
    """Returns the tape to go on from as `dtype`, an empty one for None; raises `ValueError` unless it fits."""
    if tape is None:
        return empty_tape(batch, 0, features, dtype)
    slots = _checks.leading_size(f"{name}.hidden", tape.hidden[0]) if tape.hidden.ndim > 1 else 0
    for field, shape in (
        ("hidden", (batch, slots, features)),
        ("cell", (batch, slots, features)),
        ("read", (batch, features)),
        ("length", (batch,)),
    ):
        _checks.shape(f"{name}.{field}", getattr(tape, field), shape)
    return Tape(tape.hidden.astype(dtype), tape.cell.astype(dtype), tape.read.astype(dtype), tape.length)


def advance(
    tape: Tape | None,
    steps: Steps,
    lengths: Array | None = None,
    span: int | None = None,
    *,
    reverse: bool = False,
) -> Tape:
    """Returns the tape after the steps of a sequence: what the next window goes on from.

    Args:
        tape: what the sequence went on from, N slots, or None.
        steps: what `tape_scan` returned.
        lengths: int `[B]`, steps that count in each row; None for all.
        span: slots that later steps can see; None keeps all.
        reverse: the steps ran from the last that counts to the first, so that the first is the newest.

    Returns:
        a tape of `span` slots, so that windows of a text share one program; of N + T slots where `span` is None.

    Example:
        >>> ones = jnp.ones((1, 2, 3))
        >>> advance(None, Steps(ones, ones, ones), jnp.array([1]), span=4).length.tolist()
        [1]
    """
    batch, count, features = steps.hidden.shape
    if tape is None:
        tape = empty_tape(batch, 0, features, steps.hidden.dtype)
    before = tape.hidden.shape[1]
    slots = before + count if span is None else span
    if reverse:
        steps = jax.tree.map(lambda values: turn(values, lengths), steps)
    lengths = jnp.full(batch, count, jnp.int32) if lengths is None else jnp.asarray(lengths, jnp.int32)
    source = before + lengths[:, None] - slots + jnp.arange(slots)[None]  # [B, slots]
    used = source >= before - tape.length[:, None]

    def last(old: Array, new: Array) -> Array:
        every = jnp.concatenate([old.astype(new.dtype), new], axis=1)
        at = jnp.clip(source, 0, before + count - 1)[..., None]
        return jnp.where(used[..., None], jnp.take_along_axis(every, at, axis=1), 0)

    read = jnp.concatenate([tape.read[:, None].astype(steps.read.dtype), steps.read], axis=1)
    read = jnp.take_along_axis(read, lengths[:, None, None], axis=1)[:, 0]  # [B, H]
    length = jnp.minimum(tape.length + lengths, slots)
    return Tape(last(tape.hidden, steps.hidden), last(tape.cell, steps.cell), read, length)


@struct.dataclass
class Ring:
    """The tape of a cell that runs step by step: a ring that holds the last slots, in no order, with projected keys.

    Leaves lead with any batch axes `*B`.

    Attributes:
        hidden: h_i, `[*B, N, H]`.
        cell: c_i, `[*B, N, H]`.
        keys: W_h h_i, `[*B, N, A]`.
        read: h~ of the last step, `[*B, H]`.
        count: int32 `[*B]`, slots written so far; the next goes to `count % N`.
    """

    hidden: Array
    cell: Array
    keys: Array
    read: Array
    count: Array


def ring_step(weights: Weights, ring: Ring, x: Array) -> tuple[Ring, Array]:
    """Runs one step of an LSTMN on a ring: reads it, computes the cell, writes it over the oldest slot.

    Unbatched; lift with `jax.vmap`.

    Args:
        weights: of the layer.
        ring: N slots.
        x: x_t, `[D]`.

    Returns:
        the ring with h_t and c_t written; h_t, `[H]`.

    Example:
        >>> from memjax.lstmn._cell import _example
        >>> ring = Ring(jnp.zeros((5, 3)), jnp.zeros((5, 3)), jnp.zeros((5, 4)), jnp.zeros(3), jnp.int32(0))
        >>> ring, hidden = ring_step(_example(), ring, jnp.ones(2))
        >>> int(ring.count), hidden.shape
        (1, (3,))

    Reference: Cheng et al. 2016, equations 4 to 9.
    Departs from the paper: its tape is bounded without saying how; here the oldest slot makes place.
    """
    slots = ring.hidden.shape[0]
    used = jnp.arange(slots) < ring.count
    read_hidden, read_cell, _ = intra_attention(
        weights.score, ring.keys, ring.hidden, ring.cell, query(weights, x, ring.read), used
    )
    hidden, cell = update_cell(weights, x, read_hidden, read_cell)
    slot = ring.count % slots

    def put(tape: Array, value: Array) -> Array:
        return jax.lax.dynamic_update_index_in_dim(tape, value.astype(tape.dtype), slot, 0)

    ring = Ring(
        put(ring.hidden, hidden),
        put(ring.cell, cell),
        put(ring.keys, hidden @ weights.key),
        read_hidden.astype(ring.read.dtype),
        ring.count + 1,
    )
    return ring, hidden


def to_ring(weights: Weights, tape: Tape, slots: int) -> Ring:
    """Makes the ring that goes on from a tape; what does not fit, the oldest, is left out.

    Args:
        weights: of the layer.
        tape: N slots.
        slots: of the ring.

    Returns:
        a ring, leaves leading with `[B]`.

    Example:
        >>> from memjax.lstmn._cell import _example
        >>> to_ring(_example(), empty_tape(2, 4, 3), slots=6).keys.shape
        (2, 6, 4)
    """
    before = tape.hidden.shape[1]
    used = jnp.minimum(tape.length, slots)
    source = before - used[:, None] + jnp.arange(slots)[None]  # the oldest first
    at = jnp.clip(source, 0, max(before - 1, 0))[..., None]
    inside = (source < before)[..., None]

    def move(values: Array) -> Array:
        if not before:
            return jnp.zeros((len(values), slots, values.shape[2]), values.dtype)
        return jnp.where(inside, jnp.take_along_axis(values, at, axis=1), 0)

    hidden = move(tape.hidden)
    return Ring(hidden, move(tape.cell), hidden @ weights.key, tape.read, used)
