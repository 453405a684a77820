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
from memjax.lstmn._lstm import lstm_recurrence
from memjax.lstmn._tape import Steps, Tape, empty_tape
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
    slot of zeros is the zero slot of the released code); `span` bounds the tape, where the paper leaves the bound open.
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
    tape = _initial("initial_tape", initial_tape, batch, features, inputs.dtype)
    in_time = _time_major(inputs, lengths, reverse)
    projection = jnp.concatenate([weights.gates_input, weights.query_input], axis=1).astype(inputs.dtype)
    projected = in_time.reshape(count * batch, -1) @ projection
    projected = plus(projected, _join_biases(weights)).astype(inputs.dtype).reshape(count, batch, -1)
    extras = None if extra is None else _time_major(extra, lengths, reverse)
    recurrent = Recurrent(jnp.concatenate([weights.gates_read, weights.query_read], axis=1), weights.key, weights.score)
    recurrent = Recurrent(*(weight.astype(inputs.dtype) for weight in recurrent))
    start = Start(jnp.concatenate([tape.hidden, tape.cell], axis=2), tape.read, tape.hidden.shape[1] - tape.length)
    run = partial(recurrence if gradient == "recompute" else recurrence_autodiff, recurrent)
    window = None if span is None else max(span, _SHORTEST_WINDOW)
    if span is None or window is None or count < 2 * window:
        written, reads = run(projected, extras, start, span, block)
    else:
        block = min(block, max(_SHORTEST_BLOCK, -(-window // _MOST_BLOCKS)))
        written, reads = _windows(run, projected, extras, start, span, block, window)
    return Steps(
        *(
            _batch_major(array, lengths, reverse)
            for array in (
                written[..., :features].swapaxes(0, 1),
                written[..., features:].swapaxes(0, 1),
                reads[..., :features],
            )
        )
    )


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
    tape = _initial("initial_tape", initial_tape, batch, weights.gates_read.shape[0], inputs.dtype)
    slots = tape.hidden.shape[1]
    hidden, reads = _time_major(steps.hidden, lengths, reverse), _time_major(steps.read, lengths, reverse)
    before = jnp.concatenate([tape.read[None], reads[:-1]])  # [T, B, H]
    queries = _time_major(inputs, lengths, reverse) @ weights.query_input + before @ weights.query_read
    queries = plus(queries, weights.attention_bias)
    keys = jnp.concatenate([tape.hidden, hidden.swapaxes(0, 1)], axis=1) @ weights.key  # [B, N + T, A]
    slot, step = jnp.arange(slots + count)[None], slots + jnp.arange(count)[:, None]
    seen = slot < step if span is None else (slot < step) & (slot >= step - span)  # [T, N + T]
    seen = seen[:, None] & (slot >= slots - tape.length[:, None])[None]  # [T, B, N + T]
    maps = attention_map(keys, queries, weights.score, seen)  # [B, T, N + T]
    if lengths is not None:
        maps = jnp.where((jnp.arange(count)[None] < lengths[:, None])[..., None], maps, 0)
    if reverse:
        place = _places(batch, count, lengths)
        maps = jnp.take_along_axis(maps, place[..., None], axis=1)
        own = jnp.take_along_axis(maps[..., slots:], place[:, None], axis=2)
        maps = jnp.concatenate([maps[..., :slots], own], axis=2)
    return maps


def lstm_scan(
    gates_input: Array,
    gates_read: Array,
    gates_bias: Array | None,
    inputs: Array,
    lengths: Array | None = None,
    initial_tape: Tape | None = None,
    *,
    reverse: bool = False,
) -> Steps:
    """Runs a plain LSTM over a batch of sequences: an LSTMN whose span is one slot.

    Args:
        gates_input: `[D, 4H]`, columns in the order i, f, o, c^.
        gates_read: `[H, 4H]`.
        gates_bias: `[4H]`, or None.
        inputs: `[B, T, D]`.
        lengths: int `[B]`, steps that count; None for all.
        initial_tape: its last slot is (h_0, c_0); None for zeros.
        reverse: from the last step that counts to the first; outputs keep the places of their inputs.

    Returns:
        as `tape_scan`; `read` is h_{t-1}.

    Raises:
        ValueError: if a shape, dtype or size does not fit.

    Reference: Cheng et al. 2016, section 3.1, equations 1 to 3.
    """
    batch, count, lengths = _checks.sequences("inputs", inputs, gates_input.shape[0], lengths)
    features = gates_read.shape[0]
    tape = _initial("initial_tape", initial_tape, batch, features, inputs.dtype)
    if not tape.hidden.shape[1]:
        tape = empty_tape(batch, 1, features, inputs.dtype)
    used = (tape.length > 0)[:, None]
    hidden, cell = (jnp.where(used, values[:, -1], 0) for values in (tape.hidden, tape.cell))
    in_time = _time_major(inputs, lengths, reverse)
    projected = plus(in_time.reshape(count * batch, -1) @ gates_input.astype(inputs.dtype), gates_bias)
    projected = projected.astype(inputs.dtype).reshape(count, batch, -1)
    hiddens, cells = lstm_recurrence(gates_read.astype(inputs.dtype), projected, hidden, cell)
    reads = jnp.concatenate([hidden[None], hiddens[:-1]])
    return Steps(*(_batch_major(array, lengths, reverse) for array in (hiddens, cells, reads)))


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
        return Start(values, reads[-1, :, : start.read.shape[1]], jnp.maximum(start.first - window, 0)), (
            written,
            reads,
        )

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


def _initial(name: str, tape: Tape | None, batch: int, features: int, dtype: jnp.dtype) -> Tape:
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


def _places(batch: int, count: int, lengths: Array | None) -> Array:
    """Returns `[B, T]`: where each place is found in a row whose first `length` steps are turned round."""
    place = jnp.arange(count)[None]
    if lengths is None:
        return jnp.broadcast_to(count - 1 - place, (batch, count))
    return jnp.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)


def _turn(array: Array, lengths: Array | None) -> Array:
    """Turns the first `length` steps of each row round; `[B, T, F]`."""
    if lengths is None:
        return lax.rev(array, (1,))
    batch, count, _ = array.shape
    return jnp.take_along_axis(array, _places(batch, count, lengths)[..., None], axis=1)


def _time_major(array: Array, lengths: Array | None, reverse: bool) -> Array:
    return (_turn(array, lengths) if reverse else array).swapaxes(0, 1)


def _batch_major(array: Array, lengths: Array | None, reverse: bool) -> Array:
    array = array.swapaxes(0, 1)
    if lengths is not None:
        array = jnp.where((jnp.arange(array.shape[1])[None] < lengths[:, None])[..., None], array, 0)
    return _turn(array, lengths) if reverse else array
