# SPDX-License-Identifier: Apache-2.0
"""An end-to-end memory of the latest inputs, as a core in the place of a recurrent one."""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax.typing import DTypeLike

from memjax import _checks, lstmn
from memjax.addressing import row_hops
from memjax.memory import Memory
from memjax.nn import _weights
from memjax.typing import Array

#: What a hop does to the units of the next query: ReLU of none, of the first half, or of all.
Activation = Literal["none", "half", "all"]


def rectify(query: Array, activation: Activation) -> Array:
    """ReLU of no units of a vector, of the first half, or of all.

    Args:
        query: `[D]`.
        activation: which.

    Returns:
        `[D]`.

    Example:
        >>> rectify(jnp.array([-1.0, 2.0, -3.0, 4.0]), "half")
        Array([ 0.,  2., -3.,  4.], dtype=float32)

    Reference: Sukhbaatar et al. 2015, section 5.
    """
    size = query.shape[-1]
    rectified = {"none": 0, "half": size // 2, "all": size}[activation]
    return jnp.where(jnp.arange(size) < rectified, jax.nn.relu(query), query)


@struct.dataclass
class Recent:
    """The latest inputs of each row of a batch, or the words that they are of; the latest one comes last.

    Attributes:
        inputs: `[B, N, D]`, or words `[B, N]`.
        length: how many of them there are; those before are empty.
    """

    inputs: Array  # [B, N, ...]
    length: Array  # int32 [B]


def remember(recent: Recent, inputs: Array, lengths: Array | None = None) -> Recent:
    """The latest inputs after T more.

    Args:
        recent: those before, N.
        inputs: `[B, T, ...]`.
        lengths: int `[B]`, steps that count in each row; None for all.

    Returns:
        As many as before.

    Example:
        >>> recent = Recent(jnp.array([[0, 5, 6]]), jnp.array([2]))
        >>> remember(recent, jnp.array([[7, 8]]), jnp.array([1])).inputs.tolist()
        [[5, 6, 7]]
    """
    num_slots, steps = recent.inputs.shape[1], inputs.shape[1]
    lengths = jnp.full(inputs.shape[0], steps, jnp.int32) if lengths is None else jnp.asarray(lengths)
    table = jnp.concatenate([recent.inputs.astype(inputs.dtype), inputs], axis=1)
    at = lengths[:, None] + jnp.arange(num_slots)[None]  # [B, N]
    latest = jnp.take_along_axis(table, jnp.expand_dims(at, range(2, table.ndim)), axis=1)
    return Recent(latest, jnp.minimum(recent.length + lengths, num_slots))


class SoftMemory(nnx.Module):
    """Reads the latest N inputs in several hops, at each step, from a query that is the same at all steps.

    Of an input the first half is A x, what it is compared by, and the second half C x, what is read of it.

    Args:
        in_features: 2 D.
        hidden_features: D.
        hops: K, with the same matrices (layer-wise).
        slots: N.
        activation: ReLU of the units of u after a hop.
        query: every unit of the first query.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, or an input is not twice as large as a hidden state.

    Example:
        >>> core = SoftMemory(8, 4, hops=2, slots=5, rngs=nnx.Rngs(0))
        >>> hidden, (recent,) = core(jnp.ones((2, 7, 8)), return_tape=True)
        >>> hidden.shape, recent.inputs.shape
        ((2, 7, 4), (2, 5, 8))

    Reference: Sukhbaatar et al. 2015, section 5, language modelling.
    Departs from the paper: nothing.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        hops: int = 6,
        slots: int = 100,
        activation: Activation = "half",
        query: float = 0.1,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _weights.check_sizes(in_features=in_features, hidden_features=hidden_features, hops=hops, slots=slots)
        _checks.one_of("activation", activation, get_args(Activation))
        if in_features != 2 * hidden_features:
            raise ValueError(
                f"in_features: expected {2 * hidden_features}, twice hidden_features, A x and C x of each input, got "
                f"{in_features}"
            )
        self.in_features, self.hops, self.slots, self.activation, self.query = (
            in_features,
            hops,
            slots,
            activation,
            query,
        )

        def normal(*shape: int) -> nnx.Param:
            return nnx.Param(0.05 * jax.random.normal(rngs.params(), shape, param_dtype))

        self.ages = normal(2, slots, hidden_features)  # T_A, T_C
        self.between = normal(hidden_features, hidden_features)  # H

    def __call__(
        self,
        inputs: Array,
        lengths: Array | None = None,
        initial_tape: tuple[Any, ...] | None = None,
        *,
        return_tape: bool = False,
    ) -> Any:
        """Runs over a batch of sequences.

        Args:
            inputs: `[B, T, 2 D]`.
            lengths: int `[B]`, steps that count in each row; None for all. Padded steps change nothing.
            initial_tape: one `Recent` to go on from; None for nothing.
            return_tape: whether the latest inputs are returned too.

        Returns:
            u after the last hop, `[B, T, D]`, zeros at padded steps; with `return_tape` also a tuple of one `Recent`.

        Raises:
            ValueError: if a shape, dtype or size does not fit.
        """
        _checks.sequences("inputs", inputs, self.in_features, lengths)
        inputs = lstmn.keep(inputs, lengths)  # all steps are in the products, with weights of 0
        batch, steps, _ = inputs.shape
        (recent,) = self.empty_tape(batch) if initial_tape is None else initial_tape
        before = recent.inputs.shape[1]
        table = jnp.concatenate([recent.inputs.astype(inputs.dtype), inputs], axis=1)  # [B, before + T, 2 D]
        ages = jnp.arange(self.slots, dtype=jnp.int32)
        rows = before + jnp.arange(steps, dtype=jnp.int32)[:, None] - ages[None]  # [T, N]

        def one_row(table: Array, length: Array) -> Array:
            inputs, outputs = jnp.split(table, 2, axis=1)
            return jax.vmap(lambda rows: self._read(inputs, outputs, rows, rows >= before - length))(rows)

        hidden = jax.vmap(one_row)(table, recent.length)
        hidden = lstmn.keep(hidden, lengths)
        return (hidden, (remember(recent, inputs, lengths),)) if return_tape else hidden

    def empty_tape(self, batch: int) -> tuple[Recent, ...]:
        """Nothing to go on from.

        Args:
            batch: B.
        """
        zeros = jnp.zeros((batch, self.slots, self.in_features), self.ages.get_value().dtype)
        return (Recent(zeros, jnp.zeros(batch, jnp.int32)),)

    def step(self, tape: tuple[Recent, ...], inputs: Array) -> tuple[tuple[Recent, ...], Array]:
        """Runs one step.

        Args:
            tape: of `empty_tape`, of a call, or of the step before.
            inputs: `[B, 2 D]`.

        Returns:
            the new tape; u after the last hop, `[B, D]`.
        """
        hidden, tape = self(inputs[:, None], None, tape, return_tape=True)
        return tape, hidden[:, 0]

    def _read(self, inputs: Array, outputs: Array, rows: Array, where: Array) -> Array:
        """u after the last hop, `[D]`, from slots that are rows of both tables, the youngest first."""
        slots = {"row": jnp.maximum(rows, 0), "age": jnp.arange(self.slots, dtype=jnp.int32)}
        times = jnp.where(where, 0, -1).astype(jnp.int32)
        zero = jnp.zeros((), jnp.int32)
        memory = Memory(slots, slots, times, jnp.zeros(self.slots), zero, zero)
        between, ages = self.between[...].astype(inputs.dtype), self.ages[...].astype(inputs.dtype)

        def follow(query: Array, found: Array, hop: int) -> Array:
            return rectify(query @ between + found, self.activation)

        return row_hops(
            jnp.full(inputs.shape[1], self.query, inputs.dtype),
            memory,
            [inputs] * self.hops,
            [outputs] * self.hops,
            follow_fn=follow,
            input_ages=[ages[0]] * self.hops,
            output_ages=[ages[1]] * self.hops,
        ).query
