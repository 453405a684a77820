# SPDX-License-Identifier: Apache-2.0
"""Two sequences: an LSTMN reads a source, another one a target with the source before it."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax.typing import DTypeLike

from memjax import _checks, lstmn
from memjax.nn import _stack, _weights
from memjax.nn._stack import Tapes
from memjax.nn.lstmn import LSTMN
from memjax.typing import Array

STARTS = ("empty", "source")


@struct.dataclass
class FusedAttention:
    """The three kinds of attention of a fusion, float32 at least.

    Attributes:
        source: of the encoder over its own tape, `[L, B, J, J]`.
        target: of the decoder over its own tape, `[L, B, T, N + T]`; N is 1 with `decoder_start="source"`, else 0.
        inter: of the decoder over the source, `[L, B, T, J]`; in shallow fusion of the top layer alone, `[1, B, T, J]`;
            None where two sentences are read without fusion.
    """

    source: Array
    target: Array
    inter: Array | None


@struct.dataclass
class Fused:
    """What a fusion returns.

    Attributes:
        source: the encoder's h_j, `[B, J, H]`; zeros at padded positions.
        target: what goes to the prediction, `[B, T, H]` (`[B, T, 2H]` where it is a concatenation); zeros at padded
            steps.
        attention: the weights, where they were asked for.
    """

    source: Array
    target: Array
    attention: FusedAttention | None


class SourceAttention(nnx.Module):
    """The parameters of inter-attention, named as in `memjax.lstmn.SourceWeights`.

    Args:
        in_features: D, of what W_x projects.
        source_features: H, of the source's tapes.
        attention_features: A.
        recurrent_query: whether the query hangs on what was read before (W_g~).
        use_bias: a bias of the query.
        kernel_init: of all weights.
        param_dtype: of the parameters.
        rngs: random keys.

    Example:
        >>> attention = SourceAttention(3, 4, 5, rngs=nnx.Rngs(0))
        >>> source = jnp.ones((2, 6, 4))
        >>> read, _ = lstmn.source_scan(attention.weights(jnp.float32), source, source, jnp.ones((2, 7, 3)))
        >>> read.shape
        (2, 7, 4)

    Reference: Cheng et al. 2016, equation 11.
    Departs from the paper: a bias, unless `use_bias` is False.
    """

    def __init__(
        self,
        in_features: int,
        source_features: int,
        attention_features: int,
        *,
        recurrent_query: bool = True,
        use_bias: bool = True,
        kernel_init: nnx.Initializer = _weights.default_init,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _weights.check_sizes(
            in_features=in_features, source_features=source_features, attention_features=attention_features
        )
        matrix = partial(_weights.matrix, rngs, columns=attention_features, init=kernel_init, dtype=param_dtype)
        self.key = matrix(rows=source_features)
        self.query_input = matrix(rows=in_features)
        self.query_read = matrix(rows=source_features) if recurrent_query else nnx.data(None)
        self.score = _weights.vector(rngs, attention_features, kernel_init, param_dtype)
        self.bias = _weights.bias(attention_features, use_bias, param_dtype)

    def weights(self, dtype: DTypeLike) -> lstmn.SourceWeights:
        """Returns the parameters as a value for the functions of `memjax.lstmn`.

        Args:
            dtype: of the arrays.
        """
        names = lstmn.SourceWeights.__dataclass_fields__
        arrays: dict[str, Any] = {name: _weights.cast(getattr(self, name), dtype) for name in names}
        return lstmn.SourceWeights(**arrays)


class ShallowFusion(nnx.Module):
    """An LSTMN encoder and decoder, and inter-attention between their hidden tapes on top.

    Args:
        in_features: D, of source and target.
        hidden_features: H.
        num_layers: L, of each.
        span: how many slots back a step sees of its own tape; None for all.
        attention_features: A; None is H.
        skip_connections: upper layers are fed [h^k_t, x_t].
        share_weights: one LSTMN reads both sequences. The parameter counts that the paper prints are of that, its
            released code has two.
        query: what asks the source: "input", x_t as in eq. 11 and in the printed counts, or "hidden", the decoder's h_t
            as in Bahdanau et al. 2015.
        recurrent_query: whether the query hangs on what was read before. The printed counts have no W_g~.
        combine: how gamma~_t goes to the prediction, for which the paper gives no equation: "sum", h_t + gamma~_t, of
            the size that the printed counts have, or "concat", [h_t, gamma~_t].
        decoder_start: the decoder's tape before its first step: "empty", or "source", one slot, the encoder's last
            (h, c), as in the released code.
        use_bias: biases. The paper writes none.
        kernel_init: of all weights.
        dtype: to compute in; None is that of inputs and parameters together.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, or a choice is none of those named.

    Example:
        >>> layer = ShallowFusion(3, 4, rngs=nnx.Rngs(0))
        >>> fused = layer(jnp.ones((2, 6, 3)), jnp.ones((2, 7, 3)), source_lengths=jnp.array([6, 2]))
        >>> fused.source.shape, fused.target.shape
        ((2, 6, 4), (2, 7, 4))

    Reference: Cheng et al. 2016, section 4, equations 11 to 13 and figure 3a.
    Departs from the paper: what it leaves open is an argument.
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
        share_weights: bool = True,
        query: str = "input",
        recurrent_query: bool = False,
        combine: str = "sum",
        decoder_start: str = "empty",
        use_bias: bool = True,
        kernel_init: nnx.Initializer = _weights.default_init,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _checks.one_of("query", query, ("input", "hidden"))
        _checks.one_of("combine", combine, ("sum", "concat"))
        _checks.one_of("decoder_start", decoder_start, STARTS)
        options: dict[str, Any] = {
            "use_bias": use_bias,
            "kernel_init": kernel_init,
            "param_dtype": param_dtype,
            "rngs": rngs,
        }
        self.encoder, self.decoder = _readers(
            share_weights,
            in_features,
            hidden_features,
            num_layers=num_layers,
            span=span,
            attention_features=attention_features,
            skip_connections=skip_connections,
            dtype=dtype,
            **options,
        )
        self.query, self.combine, self.decoder_start = query, combine, decoder_start
        asked = in_features if query == "input" else hidden_features
        attention = self.encoder.layers[0].attention_features
        self.inter = SourceAttention(asked, hidden_features, attention, recurrent_query=recurrent_query, **options)

    def __call__(
        self,
        source: Array,
        target: Array,
        source_lengths: Array | None = None,
        target_lengths: Array | None = None,
        *,
        return_attention: bool = False,
    ) -> Fused:
        """Reads both sequences.

        Args:
            source: `[B, J, D]`.
            target: `[B, T, D]`.
            source_lengths: int `[B]`, positions that count; None for all.
            target_lengths: int `[B]`, steps that count; None for all.
            return_attention: whether the attention weights are returned too.

        Returns:
            hidden states and, where asked for, attention weights.

        Raises:
            ValueError: if a shape or dtype does not fit.
        """
        _stack.check_pair(self.encoder.layers[0].in_features, source, target, source_lengths, target_lengths)
        target = lstmn.keep(target, target_lengths)  # what is read of the source is projected from all of it
        decoder = self.encoder if self.decoder is None else self.decoder
        encoded = self.encoder.all_steps(source, source_lengths)
        tapes = _start(self.decoder_start, encoded, source_lengths)
        decoded = decoder.all_steps(target, target_lengths, tapes)
        top, hidden = encoded[-1], decoded[-1].hidden
        queries = target.astype(hidden.dtype) if self.query == "input" else hidden
        weights = self.inter.weights(hidden.dtype)
        read, _ = lstmn.source_scan(weights, top.hidden, top.cell, queries, source_lengths)
        read = lstmn.keep(read, target_lengths)
        fused = hidden + read if self.combine == "sum" else jnp.concatenate([hidden, read], axis=-1)
        if not return_attention:
            return Fused(top.hidden, fused, None)
        inter = lstmn.source_attention(weights, top.hidden, read, queries, source_lengths, target_lengths)
        attention = FusedAttention(
            self.encoder.attention(source, source_lengths, steps=encoded),
            decoder.attention(target, target_lengths, tapes, steps=decoded),
            inter[None],
        )
        return Fused(top.hidden, fused, attention)


class DeepFusion(nnx.Module):
    """An LSTMN encoder and decoder whose cells take in what inter-attention read of the source.

    Args:
        in_features: D, of source and target.
        hidden_features: H.
        num_layers: L, of each; each layer of the decoder reads the same layer of the encoder.
        span: how many slots back a step sees of its own tape; None for all.
        attention_features: A; None is H.
        skip_connections: upper layers are fed [h^k_t, x_t].
        share_weights: one LSTMN reads both sequences. The parameter counts that the paper prints are of that, its
            released code has two.
        recurrent_query: whether the query hangs on what was read before (W_g~ of eq. 11).
        decoder_start: the decoder's tape before its first step: "empty", or "source", one slot, the encoder's last
            (h, c), as in the released code.
        use_bias: biases. The paper writes none.
        kernel_init: of all weights.
        dtype: to compute in; None is that of inputs and parameters together.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, or a choice is none of those named.

    Example:
        >>> layer = DeepFusion(3, 4, rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((2, 6, 3)), jnp.ones((2, 7, 3))).target.shape
        (2, 7, 4)

    Reference: Cheng et al. 2016, section 4, equations 11 to 16 and figure 3b.
    Departs from the paper: what it leaves open is an argument.
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
        share_weights: bool = True,
        recurrent_query: bool = True,
        decoder_start: str = "empty",
        use_bias: bool = True,
        kernel_init: nnx.Initializer = _weights.default_init,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _checks.one_of("decoder_start", decoder_start, STARTS)
        options: dict[str, Any] = {
            "use_bias": use_bias,
            "kernel_init": kernel_init,
            "param_dtype": param_dtype,
            "rngs": rngs,
        }
        self.encoder, self.decoder = _readers(
            share_weights,
            in_features,
            hidden_features,
            num_layers=num_layers,
            span=span,
            attention_features=attention_features,
            skip_connections=skip_connections,
            dtype=dtype,
            **options,
        )
        self.decoder_start = decoder_start
        cells = self.encoder.layers
        self.inter = nnx.List(
            SourceAttention(
                cell.in_features, hidden_features, cell.attention_features, recurrent_query=recurrent_query, **options
            )
            for cell in cells
        )
        matrix = partial(_weights.matrix, rngs, columns=hidden_features, init=kernel_init, dtype=param_dtype)
        self.gate_read = nnx.List(matrix(rows=hidden_features) for _ in cells)
        self.gate_input = nnx.List(matrix(rows=cell.in_features) for cell in cells)
        self.gate_bias = nnx.List(_weights.bias(hidden_features, use_bias, param_dtype) for _ in cells)

    def __call__(
        self,
        source: Array,
        target: Array,
        source_lengths: Array | None = None,
        target_lengths: Array | None = None,
        *,
        return_attention: bool = False,
    ) -> Fused:
        """Reads both sequences.

        Args:
            source: `[B, J, D]`.
            target: `[B, T, D]`.
            source_lengths: int `[B]`, positions that count; None for all.
            target_lengths: int `[B]`, steps that count; None for all.
            return_attention: whether the attention weights are returned too.

        Returns:
            hidden states and, where asked for, attention weights.

        Raises:
            ValueError: if a shape or dtype does not fit.
        """
        _stack.check_pair(self.encoder.layers[0].in_features, source, target, source_lengths, target_lengths)
        target = lstmn.keep(target, target_lengths)  # what is read of the source is projected from all of it
        decoder = self.encoder if self.decoder is None else self.decoder
        encoded = self.encoder.all_steps(source, source_lengths)
        tapes = _start(self.decoder_start, encoded, source_lengths)
        maps = []

        # What is read of the source hangs on the target's inputs alone (eq. 11), so the whole of it comes first, and
        # r_t * alpha~_t enters the scan over the decoder's own tape as an addend.
        def read_source(number: int, inputs: Array) -> Array:
            layer, dtype = encoded[number], inputs.dtype
            weights = self.inter[number].weights(dtype)
            hidden, cell = lstmn.source_scan(weights, layer.hidden, layer.cell, inputs, source_lengths)
            if return_attention:
                maps.append(
                    lstmn.source_attention(weights, layer.hidden, hidden, inputs, source_lengths, target_lengths)
                )
            gate = hidden @ self.gate_read[number][...].astype(dtype)
            gate += inputs @ self.gate_input[number][...].astype(dtype)
            bias = _weights.cast(self.gate_bias[number], dtype)
            gate = gate if bias is None else gate + jnp.broadcast_to(bias, gate.shape)
            return jax.nn.sigmoid(gate) * cell  # eq. 14 and 15

        decoded = decoder.all_steps(target, target_lengths, tapes, extra_fn=read_source)
        attention = None
        if return_attention:
            attention = FusedAttention(
                self.encoder.attention(source, source_lengths, steps=encoded),
                decoder.attention(target, target_lengths, tapes, steps=decoded),
                jnp.stack(maps),
            )
        return Fused(encoded[-1].hidden, decoded[-1].hidden, attention)


def _readers(share_weights: bool, *sizes: int, **options: Any) -> tuple[LSTMN, LSTMN | None]:
    """Makes the encoder, and the decoder where it is another one."""
    encoder = LSTMN(*sizes, **options)
    return encoder, nnx.data(None) if share_weights else LSTMN(*sizes, **options)


def _start(kind: str, encoded: tuple[lstmn.Steps, ...], lengths: Array | None) -> Tapes | None:
    """Returns the decoder's tapes: the encoder's last slots, or None."""
    if kind == "empty":
        return None
    zeros = jnp.zeros_like(encoded[0].hidden[:, 0])
    last = (lstmn.advance(None, steps, lengths, span=1) for steps in encoded)
    return tuple(dataclasses.replace(tape, read=zeros) for tape in last)
