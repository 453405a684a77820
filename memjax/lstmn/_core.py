# SPDX-License-Identifier: Apache-2.0
"""The recurrence of an LSTMN over projected inputs, and its own gradient.

Steps run in blocks, each a `lax.scan` over the part of the tape that its steps can see, so that the work is that of
the slots written and not of the whole tape. The gradient keeps the final tapes, the reads and the activated gates, and
recomputes attention in a reverse scan: memory O(T d). Inside it, what a slot receives from later blocks is one matrix
product a block, from its own block a product a step; keys' gradients are accumulated.

Buffers are reused: the forward pass overwrites the projected inputs by the activations, the reverse pass overwrites
those by their gradients. On a CPU, filling fresh memory costs as much as the mathematics of a step.
"""

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

from memjax.lstmn._attention import attend, attend_gradient, exponential, outer, wide
from memjax.lstmn._gates import activate, activate_gradient
from memjax.typing import Array


class Recurrent(NamedTuple):
    """Weights inside the loop: `read` = [gates' | query's] part `[H, 4H + A]` for h~, `key` W_h `[H, A]`, `score` v."""

    read: Array
    key: Array
    score: Array


class Start(NamedTuple):
    """The tape before the first step: `values` `[B, N, 2H]`, `read` `[B, H]`, `first` `[B]`: the first slot in use."""

    values: Array
    read: Array
    first: Array


class _Block(NamedTuple):
    """Steps [begin, end), which see slots [low, N + end): `old` of them were written by earlier blocks."""

    begin: int
    end: int
    low: int
    old: int


def _blocks(steps: int, size: int, before: int, span: int | None) -> list[_Block]:
    blocks = []
    for begin in range(0, steps, size):
        low = 0 if span is None else max(0, before + begin - span)
        blocks.append(_Block(begin, min(steps, begin + size), low, before + begin - low))
    return blocks


def _at(array: Array, index: Array, axis: int) -> Array:
    return lax.dynamic_index_in_dim(array, index, axis, keepdims=False)


def _put(array: Array, value: Array, index: Array, axis: int) -> Array:
    return lax.dynamic_update_index_in_dim(array, value.astype(array.dtype), index, axis)


def _visible(block: _Block, step: Array, before: int, span: int | None, first: Array) -> Array:
    """Returns bool `[B, slots]`, or `[1, slots]` where rows do not differ: the slots that `step` sees."""
    slot = jnp.arange(block.low, before + block.end)
    seen = slot < before + step
    if span is not None:
        seen &= slot >= before + step - span
    return seen[None] & (slot[None] >= first[:, None]) if before else seen[None]


def _forward(weights: Recurrent, inputs: Array, extra: Array | None, start: Start, span: int | None, size: int) -> Any:
    (steps, batch, _), (features, _) = inputs.shape, weights.key.shape
    gates, before, dtype = 4 * features, start.values.shape[1], inputs.dtype
    sums = wide(dtype)
    product = partial(jnp.matmul, preferred_element_type=sums)
    keys = exponential(product(start.values[..., :features], weights.key), dtype)
    values, query = start.values, product(start.read, weights.read[:, gates:])
    reads, log_totals = jnp.zeros((steps, batch, 2 * features), dtype), jnp.zeros((steps, batch), sums)
    all_keys, all_values = [keys], []
    low = 0
    for block in _blocks(steps, size, before, span):

        def step(carry: Any, item: Any, block: _Block = block) -> Any:
            keys, values, query, inputs, reads, log_totals = carry
            at, extra = item
            x = _at(inputs, at, 0)
            exp_query = exponential(x[:, gates:] + query, dtype)
            seen = _visible(block, at, before, span, start.first)
            read, log_total = attend(keys, values, exp_query, weights.score, seen)
            projected = product(read[:, :features], weights.read)  # [B, 4H + A]
            t, (i, f, o, u) = activate(x[:, :gates] + projected[:, :gates])
            cell = f * read[:, features:] + i * u  # eq. 8
            cell = cell if extra is None else cell + extra  # eq. 15
            hidden = o * jnp.tanh(cell)  # eq. 9
            slot = before + at - block.low
            key = exponential(product(hidden.astype(dtype), weights.key), dtype)
            carry = (
                _put(keys, key, slot, 1),
                _put(values, jnp.concatenate([hidden, cell], axis=1), slot, 1),
                projected[:, gates:],
                _put(inputs, jnp.concatenate([t.astype(dtype), exp_query], axis=1), at, 0),
                _put(reads, read, at, 0),
                _put(log_totals, log_total, at, 0),
            )
            return carry, None

        def window(tape: Array, low: int = low, block: _Block = block) -> Array:
            return jnp.pad(tape[:, block.low - low :], ((0, 0), (0, block.end - block.begin), (0, 0)))

        low = block.low
        at = slice(block.begin, block.end)
        carry = (window(keys), window(values), query, inputs, reads, log_totals)
        items = jnp.arange(block.begin, block.end), None if extra is None else extra[at]
        (keys, values, query, inputs, reads, log_totals), _ = lax.scan(step, carry, items)
        all_keys.append(keys[:, block.old :])
        all_values.append(values[:, block.old :])
    return jnp.concatenate(all_keys, axis=1), jnp.concatenate(all_values, axis=1), reads, inputs, log_totals


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def recurrence(
    weights: Recurrent, inputs: Array, extra: Array | None, start: Start, span: int | None, size: int
) -> tuple[Array, Array]:
    """Runs the LSTMN over projected inputs, with the gradient that recomputes.

    Args:
        weights: those inside the loop.
        inputs: `[T, B, 4H + A]`, projected inputs of gates and query, biases included.
        extra: `[T, B, H]`, added to the cell (deep fusion), or None.
        start: the tape before the first step, N slots.
        span: how many slots back a step sees; None for all.
        size: steps in a block.

    Returns:
        `[B, T, 2H]`, the slots written, [h_t, c_t]; `[T, B, 2H]`, what was read, [h~_t, c~_t].
    """
    return recurrence_autodiff(weights, inputs, extra, start, span, size)


def recurrence_autodiff(
    weights: Recurrent, inputs: Array, extra: Array | None, start: Start, span: int | None, size: int
) -> tuple[Array, Array]:
    """`recurrence` with JAX's own gradient: the oracle, and forward mode."""
    return _forward(weights, inputs, extra, start, span, size)[1:3]


def _recurrence_forward(
    weights: Recurrent, inputs: Array, extra: Array | None, start: Start, span: int | None, size: int
) -> Any:
    weights, inputs, extra, start = jax.tree.map(lambda primal: primal.value, (weights, inputs, extra, start))
    keys, values, reads, activations, log_totals = _forward(weights, inputs, extra, start, span, size)
    return (values, reads), (weights, start, extra is not None, keys, values, reads, activations, log_totals)


def _recurrence_backward(span: int | None, size: int, kept: Any, gradients: tuple[Array, Array]) -> Any:
    weights, start, has_extra, keys, new_values, reads, buffer, log_totals = kept
    (steps, batch, _), (features, attention) = buffer.shape, weights.key.shape
    gates, before, dtype = 4 * features, start.values.shape[1], buffer.dtype
    sums = wide(dtype)
    product = partial(jnp.matmul, preferred_element_type=sums)
    values = jnp.concatenate([start.values, new_values], axis=1) if before else new_values  # [B, N + T, 2H]
    dvalues, dreads = (None if isinstance(g, SymbolicZero) else g for g in gradients)  # a loss seldom uses both
    if dvalues is None:
        dvalues = jnp.zeros_like(new_values)
    dvalues = jnp.pad(dvalues.astype(sums), ((0, 0), (before, 0), (0, 0)))
    dkeys = jnp.zeros((batch, before + steps, attention), sums)  # to be multiplied by 4 v
    # Summed over the batch after the loops: inside them, it would be an all-reduce at every step on several devices.
    dscore = dquery = jnp.zeros((batch, attention), sums)
    read_back, key_back, four_v = weights.read.T, weights.key.T, 4 * weights.score.astype(sums)[None]
    dextras = []
    for block in reversed(_blocks(steps, size, before, span)):
        # The slices of a block are made when it is reached: all at once, they would take more memory than the tapes.
        seen_slots = slice(block.low, before + block.end)
        low = lax.optimization_barrier((jnp.int32(block.low), dquery))[0]
        count = before + block.end - block.low
        block_keys = lax.dynamic_slice_in_dim(keys, low, count, 1)
        block_values, old = lax.dynamic_slice_in_dim(values, low, count, 1), block.old

        def step(
            carry: Any,
            at: Array,
            block: _Block = block,
            block_keys: Array = block_keys,
            block_values: Array = block_values,
            dvalues: Array = dvalues,
        ) -> Any:
            dkeys, dreads_here, weights_here, weights_old, dquery, dscore, buffer = carry
            here = at - block.begin
            x, read, slot = _at(buffer, at, 0), _at(reads, at, 0), _at(values, before + at, 1)
            t, exp_query = x[:, :gates].astype(sums), x[:, gates:]
            # What later steps read of this slot: those of its block, those of later blocks and the caller.
            column = _at(weights_here, here, 2)
            dslot = jnp.einsum("bt,btf->bf", column, dreads_here, preferred_element_type=sums)
            dslot += _at(dvalues, before + at, 1)
            dkey = (_at(dkeys, before + at - block.low, 1) * four_v).astype(dtype)
            dhidden = dslot[:, :features] + product(dkey, key_back)
            dgates, dcell, dread_cell = activate_gradient(
                t, slot[:, features:].astype(sums), read[:, features:].astype(sums), dhidden, dslot[:, features:]
            )
            dprojected = jnp.concatenate([dgates, dquery], axis=1).astype(dtype)
            dread = jnp.concatenate([product(dprojected, read_back), dread_cell], axis=1)
            dread = dread if dreads is None else dread + _at(dreads, at, 0)
            s, da, w, dquery, dscore_here = attend_gradient(
                block_keys,
                block_values,
                exp_query,
                weights.score,
                _visible(block, at, before, span, start.first),
                _at(log_totals, at, 0),
                dread,
            )
            carry = (
                dkeys + da[..., None] * w,
                _put(dreads_here, dread, here, 1),
                _put(weights_here, s[:, block.old :], here, 1),
                _put(weights_old, s[:, : block.old], here, 0),
                dquery,
                dscore + dscore_here,
                _put(buffer, jnp.concatenate([dgates, dquery], axis=1), at, 0),
            )
            return carry, dcell.astype(dtype) if has_extra else None

        length = block.end - block.begin
        carry = (
            dkeys[:, seen_slots],
            jnp.zeros((batch, length, 2 * features), dtype),
            jnp.zeros((batch, length, length), dtype),
            jnp.zeros((length, batch, old), dtype),
            dquery,
            dscore,
            buffer,
        )
        carry, dextra = lax.scan(step, carry, jnp.arange(block.begin, block.end), reverse=True)
        dblock_keys, dreads_here, _, weights_old, dquery, dscore, buffer = carry
        dextras.append(dextra)
        dkeys = lax.dynamic_update_slice_in_dim(dkeys, dblock_keys, block.low, 1)
        if old:
            received = jnp.einsum("tbn,btf->bnf", weights_old, dreads_here, preferred_element_type=sums)
            earlier = dvalues[:, : before + block.begin]  # later slots are done with
            dvalues = jnp.concatenate([earlier[:, : block.low], earlier[:, block.low :] + received], axis=1)

    hidden_reads = reads[..., :features]
    dread_weights = jnp.concatenate(
        [
            outer(hidden_reads, buffer[..., :gates]),
            outer(hidden_reads[:-1], buffer[1:, :, gates:]) + outer(start.read, dquery.astype(dtype)),
        ],
        axis=1,
    )
    dkey_weights = outer(values[..., :features], dkeys.astype(dtype)) * four_v
    dweights = Recurrent(dread_weights, dkey_weights, dscore.sum(axis=0))
    dweights = jax.tree.map(lambda gradient, weight: gradient.astype(weight.dtype), dweights, weights)
    dstart_keys = (dkeys[:, :before] * four_v[None]).astype(dtype)
    dstart = Start(
        dvalues[:, :before].at[..., :features].add(product(dstart_keys, key_back)).astype(dtype),
        product(dquery.astype(dtype), read_back[gates:]).astype(dtype),
        cast(Array, np.zeros(batch, jax.dtypes.float0)),
    )
    return dweights, buffer, jnp.concatenate(dextras[::-1]) if has_extra else None, dstart


recurrence.defvjp(_recurrence_forward, _recurrence_backward, symbolic_zeros=True)
