# SPDX-License-Identifier: Apache-2.0
"""A plain LSTM as a layer over whole sequences."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks, lstmn
from memjax.nn import _stack, _weights
from memjax.nn._stack import Tapes
from memjax.typing import Array


class LSTM(nnx.Module):
    """Layers of plain LSTM with the interface of `LSTMN`, for comparisons.

    Args:
        in_features: D.
        hidden_features: H.
        num_layers: L.
        skip_connections: upper layers are fed [h^k_t, x_t].
        use_bias: a bias of the gates.
        kernel_init: of all weights.
        dtype: to compute in; None is that of inputs and parameters together.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> LSTM(3, 4, rngs=nnx.Rngs(0))(jnp.ones((2, 7, 3))).shape
        (2, 7, 4)

    Reference: Cheng et al. 2016, section 3.1, equations 1 to 3.
    Departs from the paper: a bias, unless `use_bias` is False; the initial weights, which it does not state.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        num_layers: int = 1,
        skip_connections: bool = False,
        use_bias: bool = True,
        kernel_init: nnx.Initializer = _weights.default_init,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _weights.check_sizes(in_features=in_features, hidden_features=hidden_features, num_layers=num_layers)
        self.in_features, self.skip_connections, self.dtype = in_features, skip_connections, dtype
        self.layers = nnx.List(
            _Gates(features, hidden_features, use_bias, kernel_init, param_dtype, rngs)
            for features in _stack.in_features(in_features, hidden_features, num_layers, skip_connections)
        )

    def __call__(
        self,
        inputs: Array,
        lengths: Array | None = None,
        initial_tape: Tapes | None = None,
        *,
        reverse: bool = False,
        return_tape: bool = False,
    ) -> Array | tuple[Array, Tapes]:
        """Runs over a batch of sequences, as `LSTMN` does; a tape is the one slot (h, c).

        Args:
            inputs: x, `[B, T, D]`.
            lengths: int `[B]`, steps that count in each row; None for all.
            initial_tape: a tape for each layer to go on from; None for zeros.
            reverse: from the last step that counts to the first; outputs keep the places of their inputs.
            return_tape: whether the tapes after the last step are returned too.

        Returns:
            h_t of the top layer, `[B, T, H]`, zeros at padded steps; with `return_tape` also the tapes.

        Raises:
            ValueError: if a shape, dtype or size does not fit.
        """
        _checks.sequences("inputs", inputs, self.in_features, lengths)
        dtype = _weights.compute_dtype(self.dtype, self.layers[0].gates_input, inputs)
        inputs = inputs.astype(dtype)
        hidden: Any = None
        after: list[lstmn.Tape] = []
        for layer, tape in zip(self.layers, _stack.check_tapes(initial_tape, len(self.layers)), strict=True):
            below = _stack.below(hidden, inputs, self.skip_connections)
            weights, read = layer.gates_input[...].astype(dtype), layer.gates_read[...].astype(dtype)
            bias = _weights.cast(layer.gates_bias, dtype)
            steps = lstmn.lstm_scan(weights, read, bias, below, lengths, tape, reverse=reverse)
            hidden = steps.hidden
            if return_tape:
                after.append(lstmn.advance(tape, steps, lengths, span=1, reverse=reverse))
        return (hidden, tuple(after)) if return_tape else hidden

    def empty_tape(self, batch: int) -> Tapes:
        """Makes tapes of one slot that is not written, one for each layer.

        Args:
            batch: B.
        """
        first = self.layers[0]
        features, dtype = first.gates_read.shape[0], _weights.compute_dtype(self.dtype, first.gates_input)
        return tuple(lstmn.empty_tape(batch, 1, features, dtype) for _ in self.layers)

    def step(self, tapes: Tapes, inputs: Array) -> tuple[Tapes, Array]:
        """Runs one step of all layers.

        Args:
            tapes: one for each layer, of one slot each.
            inputs: x_t, `[B, D]`.

        Returns:
            the new tapes; h_t of the top layer, `[B, H]`.
        """
        hidden: Any
        hidden, tapes = self(inputs[:, None], initial_tape=tapes, return_tape=True)
        return tapes, hidden[:, 0]


class _Gates(nnx.Module):
    """The parameters of one layer of `LSTM`, named as in `memjax.lstmn.Weights`."""

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        use_bias: bool,
        kernel_init: nnx.Initializer,
        param_dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        matrix = partial(_weights.matrix, rngs, columns=4 * hidden_features, init=kernel_init, dtype=param_dtype)
        self.gates_input = matrix(rows=in_features)
        self.gates_read = matrix(rows=hidden_features)
        self.gates_bias = _weights.bias(4 * hidden_features, use_bias, param_dtype)
