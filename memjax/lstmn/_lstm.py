# SPDX-License-Identifier: Apache-2.0
"""The recurrence of a plain LSTM over projected inputs, and its own gradient, written like that of the LSTMN."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from memjax.lstmn._attention import outer, wide
from memjax.lstmn._gates import activate, activate_gradient
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
