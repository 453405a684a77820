# SPDX-License-Identifier: Apache-2.0
"""LSTM and LSTMN in JAX, ours and as users of JAX and Flax would write them: the rows of `benchmarks.lstmn`."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import memjax

Weights = Mapping[str, Any]
LSTM_NAMES = ("gates_input", "gates_read", "gates_bias")
LSTMN_NAMES = (*LSTM_NAMES, "key", "query_input", "query_read", "score", "attention_bias")


class Run(NamedTuple):
    """A model to be timed.

    Attributes:
        params: its parameters.
        apply: from parameters and inputs `[B, T, D]` to hidden `[B, T, H]`, or a tuple of such.
        named: from parameters, or their gradients, to arrays by the names of memjax; None where no other row computes
            the same model.
    """

    params: Any
    apply: Callable[[Any, Any], Any]
    named: Callable[[Any], dict[str, Any]] | None = dict


def draw_weights(rng: np.random.Generator, in_features: int, features: int) -> dict[str, np.ndarray]:
    """Draws the weights of an LSTMN, of which those of an LSTM are a part; the attention is far from uniform."""
    shapes = {
        "gates_input": (in_features, 4 * features),
        "gates_read": (features, 4 * features),
        "gates_bias": (4 * features,),
        "key": (features, features),
        "query_input": (in_features, features),
        "query_read": (features, features),
        "score": (features,),
        "attention_bias": (features,),
    }
    return {name: (rng.normal(size=shape) / shape[0] ** 0.5).astype(np.float32) for name, shape in shapes.items()}


def _advance(gates: Any, read_cell: Any) -> tuple[Any, Any]:
    i, f, o, update = jnp.split(gates, 4, axis=1)
    cell = jax.nn.sigmoid(f) * read_cell + jax.nn.sigmoid(i) * jnp.tanh(update)
    return jax.nn.sigmoid(o) * jnp.tanh(cell), cell


def scan_lstm(weights: Weights, inputs: Any) -> Any:
    """The baseline: a plain LSTM; inputs projected for all steps before the scan, one product a step."""
    projected = inputs @ weights["gates_input"] + weights["gates_bias"][None, None]

    def step(carry: Any, x: Any) -> Any:
        hidden, cell = carry
        hidden, cell = _advance(x + hidden @ weights["gates_read"], cell)
        return (hidden, cell), hidden

    zeros = jnp.zeros((len(inputs), len(weights["gates_read"])))
    return jax.lax.scan(step, (zeros, zeros), projected.swapaxes(0, 1))[1].swapaxes(0, 1)


def scan_lstmn(weights: Weights, inputs: Any) -> Any:
    """An LSTMN as its equations read (4 to 9): keys are projected anew from the hidden tape at each step.

    The tape has as many slots as there are steps, those not written yet are masked; JAX's gradient.
    """
    (batch, steps, _), (features, _) = inputs.shape, weights["key"].shape

    def step(carry: Any, item: Any) -> Any:
        hiddens, cells, read_hidden = carry
        t, x = item
        query = x @ weights["query_input"] + read_hidden @ weights["query_read"] + weights["attention_bias"][None]
        scores = jnp.tanh(hiddens @ weights["key"] + query[:, None]) @ weights["score"]  # eq. 4
        attention = jax.nn.softmax(jnp.where(jnp.arange(steps)[None] < t, scores, -1e30), axis=1)  # eq. 5
        attention = jnp.where(t > 0, attention, 0)
        read_hidden = jnp.einsum("bn,bnf->bf", attention, hiddens)  # eq. 6
        read_cell = jnp.einsum("bn,bnf->bf", attention, cells)
        gates = read_hidden @ weights["gates_read"] + x @ weights["gates_input"] + weights["gates_bias"][None]
        hidden, cell = _advance(gates, read_cell)  # eq. 7 to 9
        hiddens, cells = hiddens.at[:, t].set(hidden), cells.at[:, t].set(cell)
        return (hiddens, cells, read_hidden), hidden

    tape = jnp.zeros((batch, steps, features))
    carry = tape, tape, jnp.zeros((batch, features))
    return jax.lax.scan(step, carry, (jnp.arange(steps), inputs.swapaxes(0, 1)))[1].swapaxes(0, 1)


def _module(module: Any, call: Callable[[Any, Any], Any], names: Callable[[Any], Any] | None) -> Run:
    """Returns a run of a Flax module; `names` maps the module to its arrays by name."""
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def merge(params: Any) -> Any:
        return nnx.merge(graph, params, rest, copy=True)

    named = None if names is None else lambda params: {n: np.asarray(p[...]) for n, p in names(merge(params)).items()}
    return Run(params, lambda params, inputs: call(merge(params), inputs), named)


def _ours(module: Any, cell_fn: Callable[[Any], Any], names: tuple[str, ...], weights: Weights) -> Run:
    def params(module: Any) -> dict[str, Any]:
        return {name: getattr(cell_fn(module), name) for name in names}

    for name, param in params(module).items():
        param[...] = jnp.asarray(weights[name])
    return _module(module, lambda module, inputs: module(inputs), params)


def _flax(cell_fn: Callable[..., Any], weights: Weights) -> Run:
    """Returns a run of a cell of Flax under `nnx.RNN`; its gates are in the order i, f, c^, o."""
    in_features, features = weights["gates_input"].shape[0], weights["gates_read"].shape[0]
    rnn = nnx.RNN(cell_fn(in_features, features, rngs=nnx.Rngs(0)))
    cell, optimized = rnn.cell, isinstance(rnn.cell, nnx.OptimizedLSTMCell)

    def parts(cell: Any) -> dict[str, list[Any]]:
        inputs = [cell.dense_i] if optimized else [cell.ii, cell.if_, cell.ig, cell.io]
        reads = [cell.dense_h] if optimized else [cell.hi, cell.hf, cell.hg, cell.ho]
        columns = [x.kernel for x in inputs], [x.kernel for x in reads], [x.bias for x in reads]
        return dict(zip(LSTM_NAMES, columns, strict=True))

    for name, params in parts(cell).items():
        i, f, o, update = np.split(np.asarray(weights[name]), 4, axis=-1)
        theirs = np.split(np.concatenate([i, f, update, o], axis=-1), len(params), axis=-1)
        for param, array in zip(params, theirs, strict=True):
            param[...] = jnp.asarray(array)
    run = _module(rnn, lambda rnn, inputs: rnn(inputs), None)
    graph, _, rest = nnx.split(rnn, nnx.Param, ...)

    def named(params: Any) -> dict[str, Any]:
        arrays = {}
        for name, part in parts(nnx.merge(graph, params, rest, copy=True).cell).items():
            i, f, update, o = np.split(np.concatenate([np.asarray(p[...]) for p in part], axis=-1), 4, axis=-1)
            arrays[name] = np.concatenate([i, f, o, update], axis=-1)
        return arrays

    return run._replace(named=named)


def lstmn(weights: Weights, gradient: str = "recompute") -> Run:
    """Returns memjax's LSTMN."""
    sizes = weights["gates_input"].shape[0], weights["gates_read"].shape[0]
    layer = memjax.LSTMN(*sizes, gradient=gradient, rngs=nnx.Rngs(0))
    return _ours(layer, lambda layer: layer.layers[0], LSTMN_NAMES, weights)


def baseline(weights: Weights) -> Run:
    """Returns the LSTM that all ratios are to."""
    return Run({name: jnp.asarray(weights[name]) for name in LSTM_NAMES}, scan_lstm)


def lstm_runs(weights: Weights) -> dict[str, Run]:
    """Returns the LSTMs, which compute the same model, the baseline first."""
    sizes = weights["gates_input"].shape[0], weights["gates_read"].shape[0]
    layer = memjax.LSTM(*sizes, rngs=nnx.Rngs(0))
    return {
        "lax.scan LSTM": baseline(weights),
        "memjax.LSTM": _ours(layer, lambda layer: layer.layers[0], LSTM_NAMES, weights),
        "nnx.RNN, LSTMCell": _flax(nnx.LSTMCell, weights),
        "nnx.RNN, OptimizedLSTMCell": _flax(nnx.OptimizedLSTMCell, weights),
    }


def lstmn_runs(weights: Weights, cell_steps: int | None) -> dict[str, Run]:
    """Returns the LSTMNs, which compute the same model, memjax's layer first; the cell where its steps are given."""
    sizes = weights["gates_input"].shape[0], weights["gates_read"].shape[0]
    runs = {
        "memjax.LSTMN": lstmn(weights),
        "memjax.LSTMN, autodiff": lstmn(weights, "autodiff"),
        "lax.scan LSTMN, autodiff": Run({name: jnp.asarray(array) for name, array in weights.items()}, scan_lstmn),
    }
    if cell_steps is not None:
        rnn = nnx.RNN(memjax.LSTMNCell(*sizes, tape_length=cell_steps, rngs=nnx.Rngs(0)))
        runs["nnx.RNN, memjax.LSTMNCell"] = _ours(rnn, lambda rnn: rnn.cell, LSTMN_NAMES, weights)
    return runs


def fusion_runs(weights: Weights) -> dict[str, Run]:
    """Returns the fusions of two sequences, both the inputs; their own initial weights."""
    sizes = weights["gates_input"].shape[0], weights["gates_read"].shape[0]

    def call(module: Any, inputs: Any) -> tuple[Any, Any]:
        fused = module(inputs, inputs)
        return fused.source, fused.target

    fusion = partial(_module, call=call, names=None)
    return {
        "memjax.ShallowFusion": fusion(memjax.ShallowFusion(*sizes, rngs=nnx.Rngs(0))),
        "memjax.DeepFusion": fusion(memjax.DeepFusion(*sizes, rngs=nnx.Rngs(0))),
    }


def gradient_fn(run: Run) -> Callable[..., Any]:
    """Returns forward and backward: `fn(params, inputs, cotangent) -> (loss, gradients of parameters and inputs)`."""

    def loss(params: Any, inputs: Any, cotangent: Any) -> Any:
        return sum((hidden * cotangent).sum() for hidden in jax.tree.leaves(run.apply(params, inputs)))

    return jax.value_and_grad(loss, argnums=(0, 1))
