# SPDX-License-Identifier: Apache-2.0
"""The gates of an LSTM cell and their gradient, as one tanh over all four: sigmoid(x) = tanh(x / 2) / 2 + 1 / 2."""

import jax.numpy as jnp
import numpy as np

from memjax.typing import Array


def _scale(features: int, dtype: jnp.dtype) -> Array:
    return jnp.asarray(np.repeat([0.5, 0.5, 0.5, 1.0], features)[None], dtype)  # [1, 4H]


def activate(projected: Array) -> tuple[Array, list[Array]]:
    """Activates the gates (eq. 7).

    Args:
        projected: `[B, 4H]`, in the order i, f, o, c^.

    Returns:
        t `[B, 4H]`, the tanh that all come from, which the gradient needs; the gates i, f, o, c^, each `[B, H]`.
    """
    scale = _scale(projected.shape[1] // 4, projected.dtype)
    t = jnp.tanh(projected * scale)
    return t, jnp.split(t * scale + (1 - scale), 4, axis=1)


def activate_gradient(
    t: Array, cell: Array, read_cell: Array, dhidden: Array, dcell: Array
) -> tuple[Array, Array, Array]:
    """Takes the cell back (eq. 7 to 9).

    Args:
        t: of `activate`.
        cell: c_t, `[B, H]`.
        read_cell: c~_t, `[B, H]`.
        dhidden: gradient of h_t.
        dcell: gradient of c_t, without that through h_t.

    Returns:
        gradients of the projected gates `[B, 4H]`, of c_t with that through h_t `[B, H]`, of c~_t `[B, H]`.
    """
    scale = _scale(t.shape[1] // 4, t.dtype)
    i, f, o, u = jnp.split(t * scale + (1 - scale), 4, axis=1)
    tanh_cell = jnp.tanh(cell)
    dcell = dcell + dhidden * (o * (1 - tanh_cell * tanh_cell))
    # One wide product: four narrow ones would each compute dcell anew, and XLA vectorises them badly on a CPU.
    left = jnp.concatenate([dcell, dcell, dhidden, dcell], axis=1)
    right = jnp.concatenate([u, read_cell, tanh_cell, i], axis=1)
    return left * right * ((1 - t * t) * (scale * scale)), dcell, dcell * f
