# SPDX-License-Identifier: Apache-2.0
"""A plain LSTM over a batch of sequences, with a gradient of its own, written like that of the LSTMN."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from memjax import _checks
from memjax.lstmn._attention import outer, wide
from memjax.lstmn._cell import plus
from memjax.lstmn._gates import activate, activate_gradient
from memjax.lstmn._sequence import batch_major, keep, time_major
from memjax.lstmn._tape import Steps, Tape, empty_tape, initial
from memjax.typing import Array


def _forward(weights: Array, inputs: Array, hidden: Array, cell: Array) -> Any:
    dtype = inputs.dtype
    sums = wide(dtype)

    def step(carry: Any, x: Array) -> Any:
        hidden, cell = carry
        t, (i, f, o, u) = activate(x + jnp.matmul(hidden, weights, preferred_element_type=sums))
        cell = f * cell + i * u
        hidden = (o * jnp.tanh(cell)).astype(dtype)
        return (hidden, cell), (hidden, cell.astype(dtype), t.astype(dtype))

    return lax.scan(step, (hidden, cell.astype(sums)), inputs)[1]


@jax.custom_vjp
def lstm_recurrence(weights: Array, inputs: Array, hidden: Array, cell: Array) -> tuple[Array, Array]:
    """Runs an LSTM over projected inputs; the weights' gradient is one product after the reverse scan.

    Args:
        weights: `[H, 4H]`, for h_{t-1}.
        inputs: `[T, B, 4H]`, projected inputs of the gates i, f, o, c^, biases included.
        hidden: h_0, `[B, H]`.
        cell: c_0, `[B, H]`.

    Returns:
        h_t and c_t, each `[T, B, H]`.
    """
    return _forward(weights, inputs, hidden, cell)[:2]


def _lstm_forward(weights: Array, inputs: Array, hidden: Array, cell: Array) -> Any:
    hiddens, cells, t = _forward(weights, inputs, hidden, cell)
    return (hiddens, cells), (weights, hidden, cell, hiddens, cells, t)


def _lstm_backward(kept: Any, gradients: tuple[Array, Array]) -> Any:
    weights, hidden, cell, hiddens, cells, t = kept
    dtype = t.dtype
    sums = wide(dtype)
    back = weights.T
    before = jnp.concatenate([cell[None], cells[:-1]])

    def step(carry: Any, item: Any) -> Any:
        dhidden, dcell = carry
        t, cell, read_cell, dhidden_t, dcell_t = (a.astype(sums) for a in item)
        dgates, _, dcell = activate_gradient(t, cell, read_cell, dhidden + dhidden_t, dcell + dcell_t)
        dgates = dgates.astype(dtype)
        return (jnp.matmul(dgates, back, preferred_element_type=sums), dcell), dgates

    zeros = jnp.zeros(hidden.shape, sums)
    (dhidden, dcell), dinputs = lax.scan(step, (zeros, zeros), (t, cells, before, *gradients), reverse=True)
    hidden_before = jnp.concatenate([hidden[None], hiddens[:-1]])
    dweights = outer(hidden_before, dinputs)
    return dweights.astype(weights.dtype), dinputs, dhidden.astype(hidden.dtype), dcell.astype(cell.dtype)


lstm_recurrence.defvjp(_lstm_forward, _lstm_backward)


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

    Example:
        >>> lstm_scan(jnp.ones((3, 8)), jnp.ones((2, 8)), None, jnp.ones((1, 5, 3)), jnp.array([4])).hidden.shape
        (1, 5, 2)

    Reference: Cheng et al. 2016, section 3.1, equations 1 to 3.
    """
    batch, count, lengths = _checks.sequences("inputs", inputs, gates_input.shape[0], lengths)
    features = gates_read.shape[0]
    tape = initial("initial_tape", initial_tape, batch, features, inputs.dtype)
    if not tape.hidden.shape[1]:
        tape = empty_tape(batch, 1, features, inputs.dtype)
    used = (tape.length > 0)[:, None]
    hidden, cell = (jnp.where(used, values[:, -1], 0) for values in (tape.hidden, tape.cell))
    in_time = time_major(keep(inputs, lengths), lengths, reverse)
    projected = plus(in_time.reshape(count * batch, -1) @ gates_input.astype(inputs.dtype), gates_bias)
    projected = projected.astype(inputs.dtype).reshape(count, batch, -1)
    hiddens, cells = lstm_recurrence(gates_read.astype(inputs.dtype), projected, hidden, cell)
    reads = jnp.concatenate([hidden[None], hiddens[:-1]])
    return Steps(*(batch_major(array, lengths, reverse) for array in (hiddens, cells, reads)))
