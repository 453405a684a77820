# SPDX-License-Identifier: Apache-2.0
"""The LSTMN as a layer over whole sequences, and one step at a time."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks, lstmn
from memjax.nn import _stack, _weights
from memjax.nn._stack import MaybeTapes, Tapes
from memjax.nn.lstmn_cell import LSTMNCell
from memjax.typing import Array

Rings = tuple[lstmn.Ring, ...]


class LSTMN(nnx.Module):
    """Layers of LSTMN over a batch of sequences: each step reads the tape of all steps before it.

    Args:
        in_features: D.
        hidden_features: H.
        num_layers: L. Layer k + 1 is fed h^k_t in the place of x_t (eq. 10).
        span: how many slots back a step sees; None for all.
        attention_features: A; None is H, as in the paper.
        skip_connections: upper layers are fed [h^k_t, x_t].
        use_bias: biases of attention and gates. The paper writes none.
        gradient: "recompute", or "autodiff" for forward mode; see `memjax.lstmn.tape_scan`.
        kernel_init: of all weights.
        dtype: to compute in; None is that of inputs and parameters together. In bfloat16, sums and softmax are float32.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, or `gradient` is none of the two.

    Attributes:
        layers: `LSTMNCell`s, which hold the parameters: `layers/0/key` here is `key` of a cell.

    Example:
        >>> layer = LSTMN(3, 4, num_layers=2, rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((2, 7, 3)), lengths=jnp.array([7, 5])).shape
        (2, 7, 4)
        >>> hidden, tapes = layer(jnp.ones((2, 7, 3)), return_tape=True)
        >>> rings = layer.rings(tapes, slots=50)          # to go on, step by step
        >>> rings, hidden = layer.step(rings, jnp.ones((2, 3)))
        >>> hidden.shape
        (2, 4)

    Reference: Cheng et al. 2016, equations 4 to 10.
    Departs from the paper: `span` bounds the tape, where the paper leaves the bound open; the first step reads zeros;
    biases, unless `use_bias` is False; the initial weights, which it does not state.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        num_layers: int = 1,
        span: int | None = None,
        attention_features: int | None = None,
        skip_connections: bool = False,
        use_bias: bool = True,
        gradient: str = "recompute",
        kernel_init: nnx.Initializer = _weights.default_init,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _weights.check_sizes(in_features=in_features, hidden_features=hidden_features, num_layers=num_layers, span=span)
        _checks.one_of("gradient", gradient, lstmn.GRADIENTS)
        self.span, self.gradient, self.skip_connections = span, gradient, skip_connections
        self.layers = nnx.List(
            LSTMNCell(
                features,
                hidden_features,
                tape_length=span,
                attention_features=attention_features,
                use_bias=use_bias,
                kernel_init=kernel_init,
                dtype=dtype,
                param_dtype=param_dtype,
                rngs=rngs,
            )
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
        """Runs over a batch of sequences.

        Args:
            inputs: x, `[B, T, D]`.
            lengths: int `[B]`, steps that count in each row; None for all. Padded steps change nothing.
            initial_tape: a tape for each layer to go on from, as `return_tape` gave them; None for empty ones.
            reverse: from the last step that counts to the first; outputs keep the places of their inputs.
            return_tape: whether the tapes after the last step are returned too. They have `span` slots each, or as many
                as were given and written where `span` is None.

        Returns:
            h_t of the top layer, `[B, T, H]`, zeros at padded steps; with `return_tape` also the tapes.

        Raises:
            ValueError: if a shape, dtype or size does not fit.
        """
        tapes = _stack.check_tapes(initial_tape, len(self.layers))
        steps = self.all_steps(inputs, lengths, tapes, reverse=reverse)
        if not return_tape:
            return steps[-1].hidden
        pairs = zip(tapes, steps, strict=True)
        after = (lstmn.advance(tape, step, lengths, self.span, reverse=reverse) for tape, step in pairs)
        return steps[-1].hidden, tuple(after)

    def all_steps(
        self,
        inputs: Array,
        lengths: Array | None = None,
        initial_tape: MaybeTapes | None = None,
        *,
        reverse: bool = False,
        extra_fn: Callable[[int, Array], Array] | None = None,
    ) -> tuple[lstmn.Steps, ...]:
        """Runs over a batch of sequences; returns what the steps of every layer wrote and read.

        Args:
            inputs: `[B, T, D]`.
            lengths: as in a call; `initial_tape` and `reverse` too.
            initial_tape: a tape for each layer, or None.
            reverse: as in a call.
            extra_fn: from a layer's number and its inputs to `[B, T, H]`, added to its cells (deep fusion), or None.

        Returns:
            for each layer, `memjax.lstmn.Steps`.
        """
        _checks.sequences("inputs", inputs, self.layers[0].in_features, lengths)
        dtype = self.layers[0].compute_dtype(inputs)
        inputs = inputs.astype(dtype)
        steps: list[lstmn.Steps] = []
        for number, tape in enumerate(_stack.check_tapes(initial_tape, len(self.layers))):
            below = _stack.below(steps[-1].hidden if steps else None, inputs, self.skip_connections)
            extra = None if extra_fn is None else extra_fn(number, below)
            run = partial(lstmn.tape_scan, self.layers[number].weights(dtype), below, lengths, tape)
            steps.append(run(reverse=reverse, span=self.span, extra=extra, gradient=self.gradient))
        return tuple(steps)

    def attention(
        self,
        inputs: Array,
        lengths: Array | None = None,
        initial_tape: Tapes | None = None,
        *,
        reverse: bool = False,
        steps: tuple[lstmn.Steps, ...] | None = None,
    ) -> Array:
        """Computes the attention weights of every layer, recomputed from the final tapes.

        Args:
            inputs: `[B, T, D]`.
            lengths: as in a call; `initial_tape` and `reverse` too.
            initial_tape: a tape for each layer, or None.
            reverse: as in a call.
            steps: what `all_steps` returned for these inputs; None runs it.

        Returns:
            `[L, B, T, N + T]`, float32 at least: row t holds the weights over the N initial slots, then the steps.
        """
        tapes = _stack.check_tapes(initial_tape, len(self.layers))
        if steps is None:
            steps = self.all_steps(inputs, lengths, tapes, reverse=reverse)
        dtype, maps = steps[0].hidden.dtype, []
        inputs = inputs.astype(dtype)
        for number, (tape, step) in enumerate(zip(tapes, steps, strict=True)):
            below = _stack.below(steps[number - 1].hidden if number else None, inputs, self.skip_connections)
            weights = self.layers[number].weights(dtype)
            maps.append(lstmn.tape_attention(weights, below, step, lengths, tape, reverse=reverse, span=self.span))
        return jnp.stack(maps)

    def empty_tape(self, batch: int, slots: int | None = None) -> Tapes:
        """Makes empty tapes, one for each layer.

        Args:
            batch: B.
            slots: of each tape; None is `span`. Windows of a text that start from empty tapes of `span` slots share one
                compiled program.

        Raises:
            ValueError: if neither `slots` nor `span` is given.
        """
        first = self.layers[0]
        size = (batch, self._slots(slots), first.hidden_features, first.compute_dtype())
        return tuple(lstmn.empty_tape(*size) for _ in self.layers)

    def rings(self, tapes: Tapes, slots: int | None = None) -> Rings:
        """Makes what `step` goes on from: rings with projected keys, made once, so the parameters must not change.

        Args:
            tapes: one for each layer, of a call with `return_tape`, or of `empty_tape`.
            slots: of each ring, at least those in use and the steps to come where all of them shall be seen; None is
                `span`.

        Raises:
            ValueError: if neither `slots` nor `span` is given.
        """
        slots = self._slots(slots)
        _checks.positive("slots", slots)
        _stack.check_tapes(tapes, len(self.layers))
        pairs = zip(self.layers, tapes, strict=True)
        return tuple(lstmn.to_ring(cell.weights(tape.hidden.dtype), tape, slots) for cell, tape in pairs)

    def step(self, rings: Rings, inputs: Array) -> tuple[Rings, Array]:
        """Runs one step of all layers.

        Args:
            rings: one for each layer.
            inputs: x_t, `[B, D]`.

        Returns:
            the new rings; h_t of the top layer, `[B, H]`.
        """
        new: list[lstmn.Ring] = []
        hidden: Any = None
        for cell, ring in zip(self.layers, rings, strict=True):
            ring, hidden = cell(ring, _stack.below(hidden, inputs, self.skip_connections))
            new.append(ring)
        return tuple(new), hidden

    def _slots(self, slots: int | None) -> int:
        slots = self.span if slots is None else slots
        if slots is None:
            raise ValueError("slots: expected a number where the layer has no span, got None; name the slots")
        return slots
