# SPDX-License-Identifier: Apache-2.0
"""An LSTMN over a batch of sequences: the fast path, as one scan over the tape."""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax import lax

from memjax import _checks
from memjax.lstmn._attention import attention_map
from memjax.lstmn._cell import Weights, plus
from memjax.lstmn._core import Recurrent, Start, recurrence, recurrence_autodiff
from memjax.lstmn._sequence import batch_major, keep, places, time_major
from memjax.lstmn._tape import Steps, Tape, initial
from memjax.typing import Array

GRADIENTS = ("recompute", "autodiff")

# Blocks of one scan: more of them read less of the tape that is not written yet, and take longer to compile.
_MOST_BLOCKS = 6
_SHORTEST_BLOCK = 12
_SHORTEST_WINDOW = 48


def tape_scan(
    weights: Weights,
    inputs: Array,
    lengths: Array | None = None,
    initial_tape: Tape | None = None,
    *,
    reverse: bool = False,
    span: int | None = None,
    extra: Array | None = None,
    gradient: str = "recompute",
    block: int | None = None,
) -> Steps:
    """Runs an LSTMN over a batch of sequences.

    Batched, unlike most functions here: the weights' gradient is one matrix product over batch and steps. Inputs are
    projected before the scan, and a slot's projected key W_h h_i once, when it is written.

    Args:
        weights: of the layer.
        inputs: x, `[B, T, D]`.
        lengths: int `[B]`, steps that count in each row; None for all. Padded steps write nothing and change nothing.
        initial_tape: the slots to go on from, or None for an empty tape.
        reverse: from the last step that counts to the first; outputs keep the places of their inputs.
        span: how many slots back a step sees; None for all.
        extra: `[B, T, H]`, added to the cells (the r_t * alpha~_t of eq. 15), or None.
        gradient: "recompute": memory O(T H), attention is recomputed in the reverse pass. "autodiff": JAX's own, memory
            O(T^2 A); also for forward mode, which functions with a gradient of their own lack.
        block: steps in a block, which see only the part of the tape that is written; None chooses.

    Returns:
        what the steps wrote and read, `[B, T, H]` each, in the dtype of `inputs`; sums and softmax are float32 at
        least. A row of length 0 is zeros, with zero gradients.

    Raises:
        ValueError: if a shape, dtype or size does not fit.

    Example:
        >>> from memjax.lstmn._cell import _example
        >>> tape_scan(_example(), jnp.ones((1, 5, 2)), jnp.array([3])).hidden[0, :, 0].round(2).tolist()
        [0.61..., 0.93..., 0.96..., 0.0, 0.0]

    Reference: Cheng et al. 2016, equations 4 to 9.
    Departs from the paper: biases, where the weights have them; the first step reads zeros (an initial tape with one
    slot of zeros is the zero slot of the released code); `span` bounds the tape, where the paper leaves the bound open;
    projected keys and queries count as 21.5 where they are larger (-21.5, smaller).
    """
    batch, count, lengths = _checks.sequences("inputs", inputs, weights.gates_input.shape[0], lengths)
    features = weights.gates_read.shape[0]
    _checks.one_of("gradient", gradient, GRADIENTS)
    if span is not None:
        _checks.positive("span", span)
    if block is None:
        block = max(_SHORTEST_BLOCK, -(-count // _MOST_BLOCKS))
    _checks.positive("block", block)
    if extra is not None:
        _checks.shape("extra", extra, (batch, count, features))
    tape = initial("initial_tape", initial_tape, batch, features, inputs.dtype)
    in_time = time_major(keep(inputs, lengths), lengths, reverse)
    projection = jnp.concatenate([weights.gates_input, weights.query_input], axis=1).astype(inputs.dtype)
    projected = in_time.reshape(count * batch, -1) @ projection
    projected = plus(projected, _join_biases(weights)).astype(inputs.dtype).reshape(count, batch, -1)
    extras = None if extra is None else time_major(extra, lengths, reverse)
    recurrent = Recurrent(jnp.concatenate([weights.gates_read, weights.query_read], axis=1), weights.key, weights.score)
    recurrent = Recurrent(*(weight.astype(inputs.dtype) for weight in recurrent))
    start = Start(jnp.concatenate([tape.hidden, tape.cell], axis=2), tape.read, tape.hidden.shape[1] - tape.length)
    run = partial(recurrence if gradient == "recompute" else recurrence_autodiff, recurrent)
    if span is None or count < 2 * max(span, _SHORTEST_WINDOW):
        written, reads = run(projected, extras, start, span, block)
    else:
        window = max(span, _SHORTEST_WINDOW)
        block = min(block, max(_SHORTEST_BLOCK, -(-window // _MOST_BLOCKS)))
        written, reads = _windows(run, projected, extras, start, span, block, window)
    hidden, cell = jnp.split(written.swapaxes(0, 1), 2, axis=2)
    return Steps(*(batch_major(array, lengths, reverse) for array in (hidden, cell, reads[..., :features])))


def tape_attention(
    weights: Weights,
    inputs: Array,
    steps: Steps,
    lengths: Array | None = None,
    initial_tape: Tape | None = None,
    *,
    reverse: bool = False,
    span: int | None = None,
) -> Array:
    """Recomputes the attention weights of a sequence from its final tapes, one step at a time.

    Args:
        weights: as given to `tape_scan`; `inputs`, `lengths`, `initial_tape`, `reverse` and `span` too.
        inputs: `[B, T, D]`.
        steps: what `tape_scan` returned.
        lengths: int `[B]`, or None.
        initial_tape: N slots, or None.
        reverse: as given.
        span: as given.

    Returns:
        `[B, T, N + T]`, float32 at least: row t holds the weights of step t over the initial slots, then the sequence's
        own. Zeros at padded steps, and at a step that reads an empty tape.
    """
    batch, count, lengths = _checks.sequences("inputs", inputs, weights.gates_input.shape[0], lengths)
    tape = initial("initial_tape", initial_tape, batch, weights.gates_read.shape[0], inputs.dtype)
    slots = tape.hidden.shape[1]
    hidden, reads = time_major(steps.hidden, lengths, reverse), time_major(steps.read, lengths, reverse)
    before = jnp.concatenate([tape.read[None], reads[:-1]])  # [T, B, H]
    queries = time_major(inputs, lengths, reverse) @ weights.query_input + before @ weights.query_read
    queries = plus(queries, weights.attention_bias)
    keys = jnp.concatenate([tape.hidden, hidden.swapaxes(0, 1)], axis=1) @ weights.key  # [B, N + T, A]
    slot, step = jnp.arange(slots + count)[None], slots + jnp.arange(count)[:, None]
    seen = slot < step if span is None else (slot < step) & (slot >= step - span)  # [T, N + T]
    seen = seen[:, None] & (slot >= slots - tape.length[:, None])[None]  # [T, B, N + T]
    maps = keep(attention_map(keys, queries, weights.score, seen), lengths)  # [B, T, N + T]
    if reverse:
        place = places(batch, count, lengths)
        maps = jnp.take_along_axis(maps, place[..., None], axis=1)
        own = jnp.take_along_axis(maps[..., slots:], place[:, None], axis=2)
        maps = jnp.concatenate([maps[..., :slots], own], axis=2)
    return maps


def _windows(
    run: Callable[..., tuple[Array, Array]],
    inputs: Array,
    extras: Array | None,
    start: Start,
    span: int,
    block: int,
    window: int,
) -> tuple[Array, Array]:
    """Runs a long sequence with a short span window by window, each from the last `span` slots: one program for all."""
    count, batch = inputs.shape[:2]
    number = -(-count // window)

    def split(array: Array) -> Array:
        padded = jnp.pad(array, ((0, number * window - count), (0, 0), (0, 0)))
        return padded.reshape(number, window, *array.shape[1:])

    def fit(values: Array) -> Array:  # the last `span` slots
        return jnp.pad(values, ((0, 0), (max(0, span - values.shape[1]), 0), (0, 0)))[:, -span:]

    def step(start: Start, item: tuple[Array, Array | None]) -> tuple[Start, tuple[Array, Array]]:
        written, reads = run(*item, start, span, block)
        values = fit(jnp.concatenate([start.values, written], axis=1))
        after = Start(values, reads[-1, :, : start.read.shape[1]], jnp.maximum(start.first - window, 0))
        return after, (written, reads)

    start = Start(fit(start.values), start.read, jnp.maximum(start.first + span - start.values.shape[1], 0))
    items = split(inputs), None if extras is None else split(extras)
    _, (written, reads) = lax.scan(step, start, items)
    written = written.swapaxes(0, 1).reshape(batch, number * window, -1)[:, :count]
    return written, reads.reshape(number * window, batch, -1)[:count]


def _join_biases(weights: Weights) -> Array | None:
    parts = (weights.gates_bias, weights.gates_read[0]), (weights.attention_bias, weights.score)
    if all(bias is None for bias, _ in parts):
        return None
    return jnp.concatenate([jnp.zeros_like(like) if bias is None else bias for bias, like in parts])
