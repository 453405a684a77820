# SPDX-License-Identifier: Apache-2.0
"""The LSTMN as a recurrent cell of Flax."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks, lstmn
from memjax.nn import _weights
from memjax.typing import Array


class LSTMNCell(nnx.RNNCellBase):
    """An LSTM cell that reads a tape of its past states by intra-attention; `nnx.RNN` and `nnx.Bidirectional` run it.

    Its carry, a `memjax.lstmn.Ring`, holds the last `tape_length` slots, so that it gives the numbers of a
    `memjax.LSTMN` with the same parameters whose `span` is `tape_length`. That layer is many times faster: use the cell
    where a cell is asked for, and for one step at a time.

    Args:
        in_features: D.
        hidden_features: H.
        tape_length: slots of the ring that `initialize_carry` makes; a sequence of as many steps sees all of its past.
            None where a carry is always given.
        attention_features: A; None is H, as in the paper.
        use_bias: biases of attention and gates. The paper writes none.
        kernel_init: of all weights.
        dtype: to compute in; None is that of inputs and parameters together.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1.

    Attributes:
        key: W_h, `[H, A]`; the others are named as in `memjax.lstmn.Weights`.

    Example:
        >>> cell = LSTMNCell(3, 4, tape_length=10, rngs=nnx.Rngs(0))
        >>> nnx.RNN(cell)(jnp.ones((2, 10, 3))).shape
        (2, 10, 4)

    Reference: Cheng et al. 2016, equations 4 to 9.
    Departs from the paper: the tape is a ring of a fixed length, where the paper leaves the bound open; biases, unless
    `use_bias` is False; the initial weights, which it does not state.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        tape_length: int | None,
        attention_features: int | None = None,
        use_bias: bool = True,
        kernel_init: nnx.Initializer = _weights.default_init,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _weights.check_sizes(
            in_features=in_features,
            hidden_features=hidden_features,
            tape_length=tape_length,
            attention_features=attention_features,
        )
        attention = hidden_features if attention_features is None else attention_features
        self.in_features, self.hidden_features = in_features, hidden_features
        self.tape_length, self.attention_features = tape_length, attention
        self.dtype = dtype
        matrix = partial(_weights.matrix, rngs, init=kernel_init, dtype=param_dtype)
        self.key = matrix(hidden_features, attention)
        self.query_input = matrix(in_features, attention)
        self.query_read = matrix(hidden_features, attention)
        self.score = _weights.vector(rngs, attention, kernel_init, param_dtype)
        self.gates_input = matrix(in_features, 4 * hidden_features)
        self.gates_read = matrix(hidden_features, 4 * hidden_features)
        self.attention_bias = _weights.bias(attention, use_bias, param_dtype)
        self.gates_bias = _weights.bias(4 * hidden_features, use_bias, param_dtype)

    def weights(self, dtype: DTypeLike) -> lstmn.Weights:
        """Returns the parameters as a value for the functions of `memjax.lstmn`.

        Args:
            dtype: of the arrays.
        """
        names = lstmn.Weights.__dataclass_fields__
        arrays: dict[str, Any] = {name: _weights.cast(getattr(self, name), dtype) for name in names}
        return lstmn.Weights(**arrays)

    def compute_dtype(self, inputs: Array | None = None) -> jnp.dtype:
        """Returns the type that this cell computes in: given these inputs, or of a carry that waits for some."""
        return _weights.compute_dtype(self.dtype, self.key, inputs)

    @property
    def num_feature_axes(self) -> int:
        """How many axes of an input are features: one."""
        return 1

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        carry_init: nnx.Initializer | None = None,
    ) -> lstmn.Ring:
        """Makes an empty ring.

        Args:
            input_shape: `[*B, D]`, of the inputs of one step.
            rngs: not used: an empty ring is zeros.
            carry_init: not used.

        Returns:
            a ring of `tape_length` slots, leaves leading with `*B`.

        Raises:
            ValueError: if the cell was made without a `tape_length`.
        """
        if self.tape_length is None:
            raise ValueError("tape_length: expected a number to make a carry from, got None; name it, or give a carry")
        *batch, _ = input_shape
        dtype = self.compute_dtype()

        def zeros(*shape: int) -> Array:
            return jnp.zeros((*batch, *shape), dtype)

        slots, hidden = self.tape_length, self.hidden_features
        keys = zeros(slots, self.attention_features)
        return lstmn.Ring(
            zeros(slots, hidden), zeros(slots, hidden), keys, zeros(hidden), jnp.zeros(tuple(batch), jnp.int32)
        )

    def __call__(self, carry: lstmn.Ring, inputs: Array) -> tuple[lstmn.Ring, Array]:
        """Runs one step.

        Args:
            carry: leaves leading with `*B`.
            inputs: x_t, `[*B, D]`.

        Returns:
            the new carry; h_t, `[*B, H]`.

        Raises:
            ValueError: if inputs or carry do not fit the cell.
        """
        if jnp.ndim(inputs) == 0 or jnp.shape(inputs)[-1] != self.in_features:
            raise ValueError(
                f"inputs: expected {self.in_features} features on the last axis, got shape {jnp.shape(inputs)}"
            )
        _checks.floats("inputs", inputs)
        batch, slots = jnp.shape(inputs)[:-1], jnp.shape(carry.hidden)[-2] if jnp.ndim(carry.hidden) > 1 else 0
        _checks.shape("carry.hidden", carry.hidden, (*batch, slots, self.hidden_features))
        _checks.shape("carry.keys", carry.keys, (*batch, slots, self.attention_features))
        _checks.shape("carry.count", carry.count, batch)
        dtype = self.compute_dtype(inputs)
        step = partial(lstmn.ring_step, self.weights(dtype))
        for _ in batch:
            step = jax.vmap(step)
        return step(carry, inputs.astype(dtype))
