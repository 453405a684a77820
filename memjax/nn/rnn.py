# SPDX-License-Identifier: Apache-2.0
"""A plain recurrent network as a layer over whole sequences."""

from functools import partial

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks, lstmn
from memjax.nn import _stack, _weights
from memjax.nn._stack import Tapes
from memjax.typing import Array


def _orthogonal(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """An orthogonal matrix; made as float32, since JAX has no QR of bfloat16."""
    return nnx.initializers.orthogonal()(key, shape, jnp.float32).astype(dtype)


class RNN(nnx.Module):
    """One layer of h_t = tanh(x_t W_x + h_{t-1} W_h + b) called as `LSTM` is, but for `reverse`, for comparisons.

    Args:
        in_features: D.
        hidden_features: H.
        use_bias: whether there is a b.
        dtype: to compute in; None is that of inputs and parameters together.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> RNN(3, 4, rngs=nnx.Rngs(0))(jnp.ones((2, 7, 3))).shape
        (2, 7, 4)

    Reference: Elman 1990; Weston et al. 2015, section 5.2 (the RNN of its tables).
    Departs from the paper: the initial weights, which it does not state; W_h starts orthogonal.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        use_bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _weights.check_sizes(in_features=in_features, hidden_features=hidden_features)
        self.in_features, self.dtype = in_features, dtype
        matrix = partial(_weights.matrix, rngs, columns=hidden_features, dtype=param_dtype)
        self.weights_input = matrix(rows=in_features, init=_weights.default_init)
        self.weights_read = matrix(rows=hidden_features, init=_orthogonal)
        self.bias = _weights.bias(hidden_features, use_bias, param_dtype)

    def __call__(
        self,
        inputs: Array,
        lengths: Array | None = None,
        initial_tape: Tapes | None = None,
        *,
        return_tape: bool = False,
    ) -> Array | tuple[Array, Tapes]:
        """Runs over a batch of sequences; a tape is the one slot h.

        Args:
            inputs: x, `[B, T, D]`.
            lengths: int `[B]`, steps that count in each row; None for all.
            initial_tape: of one layer, to go on from; None for zeros.
            return_tape: whether the tape after the last step is returned too.

        Returns:
            h_t, `[B, T, H]`, zeros at padded steps; with `return_tape` also the tape, as a tuple of one.

        Raises:
            ValueError: if a shape, dtype or size does not fit.
        """
        _checks.sequences("inputs", inputs, self.in_features, lengths)
        dtype = _weights.compute_dtype(self.dtype, self.weights_input, inputs)
        (tape,) = _stack.check_tapes(initial_tape, 1)
        weights, read = self.weights_input[...].astype(dtype), self.weights_read[...].astype(dtype)
        steps = lstmn.rnn_scan(weights, read, _weights.cast(self.bias, dtype), inputs.astype(dtype), lengths, tape)
        return (steps.hidden, (lstmn.advance(tape, steps, lengths, span=1),)) if return_tape else steps.hidden
