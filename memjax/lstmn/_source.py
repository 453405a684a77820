# SPDX-License-Identifier: Apache-2.0
"""Inter-attention: reading the tapes of another sequence, all of which is there from the start."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from memjax import _checks
from memjax.lstmn._attention import attend, attend_gradient, attention_map, exponential, outer, wide
from memjax.lstmn._cell import plus
from memjax.lstmn._sequence import counts, keep
from memjax.typing import Array


@struct.dataclass
class SourceWeights:
    """The weights of inter-attention. Vectors are rows: W_g gamma_j is `gamma_j @ key`.

    Attributes:
        key: W_g of eq. 11, `[H, A]`.
        query_input: W_x of eq. 11, `[D, A]`.
        query_read: W_g~ of eq. 11, `[H, A]`, or None: the query does not hang on what was read before.
        score: u of eq. 11, `[A]`.
        bias: `[A]`, or None. The paper writes no biases.
    """

    key: Array
    query_input: Array
    query_read: Array | None
    score: Array
    bias: Array | None = None


def source_scan(
    weights: SourceWeights,
    hidden: Array,
    cell: Array,
    queries: Array,
    lengths: Array | None = None,
) -> tuple[Array, Array]:
    """Reads the tapes of a source sequence at every step of a target sequence.

    Source keys are projected once. The steps are a scan, whose gradient recomputes attention and takes the source in
    once: nothing of the size T x J x A is made or kept. Without W_g~ the steps do not hang on each other, but on a CPU
    one at a time is fastest still: more of them leave the caches.

    Args:
        weights: of the attention.
        hidden: the source's hidden tape Y, gamma_j, `[B, J, H]`.
        cell: the source's memory tape A, alpha_j, `[B, J, H]`.
        queries: what W_x projects, x_t in eq. 11, `[B, T, D]`.
        lengths: int `[B]`, source positions that count; None for all.

    Returns:
        gamma~_t and alpha~_t, each `[B, T, H]`. Zeros where a source has no positions.

    Raises:
        ValueError: if a shape, dtype or size does not fit.

    Example:
        >>> source = jnp.ones((1, 3, 2))
        >>> weights = SourceWeights(jnp.ones((2, 4)), jnp.ones((5, 4)), jnp.ones((2, 4)), jnp.ones(4))
        >>> source_scan(weights, source, 2 * source, jnp.ones((1, 6, 5)))[1][0, 0].tolist()
        [2.0, 2.0]

    Reference: Cheng et al. 2016, equations 11 to 13.
    Departs from the paper: a bias, where the weights have one; gamma~_0, which it does not state, is zero.
    """
    features = weights.key.shape[0]
    _checks.sequences("queries", queries, weights.query_input.shape[0])
    batch, count, lengths = _checks.sequences("hidden", hidden, features, lengths)
    _checks.shape("cell", cell, hidden.shape)
    _checks.shape("queries' batch", queries[:, 0, 0], (batch,))
    dtype = queries.dtype
    seen = counts(batch, count, lengths)
    values = jnp.concatenate([hidden, cell], axis=2).astype(dtype)
    keys = jnp.matmul(hidden.astype(dtype), weights.key.astype(dtype), preferred_element_type=wide(dtype))
    projected = _project(weights, queries).swapaxes(0, 1)  # [T, B, A]
    query_read = None if weights.query_read is None else weights.query_read.astype(dtype)
    reads = source_recurrence(query_read, weights.score.astype(dtype), keys, values, projected, seen)
    reads = reads.swapaxes(0, 1)
    return reads[..., :features], reads[..., features:]


def source_attention(
    weights: SourceWeights,
    hidden: Array,
    read: Array,
    queries: Array,
    lengths: Array | None = None,
    query_lengths: Array | None = None,
) -> Array:
    """Recomputes the weights p^t of inter-attention, one step at a time.

    Args:
        weights: as given to `source_scan`; `hidden`, `queries` and `lengths` too.
        hidden: `[B, J, H]`.
        read: gamma~_t as `source_scan` returned it, `[B, T, H]`.
        queries: `[B, T, D]`.
        lengths: int `[B]`, source positions that count, or None.
        query_lengths: int `[B]`, steps that count; the rows of others are zeros.

    Returns:
        `[B, T, J]`, float32 at least.
    """
    batch, count, lengths = _checks.sequences("hidden", hidden, weights.key.shape[0], lengths)
    steps, query_lengths = _checks.sequences("queries", queries, weights.query_input.shape[0], query_lengths)[1:]
    projected = _project(weights, queries).swapaxes(0, 1)
    if weights.query_read is not None:
        before = jnp.pad(read[:, :-1], ((0, 0), (1, 0), (0, 0))).swapaxes(0, 1)
        projected += before @ weights.query_read
    seen = jnp.broadcast_to(counts(batch, count, lengths)[None], (steps, batch, count))
    return keep(attention_map(hidden @ weights.key, projected, weights.score, seen), query_lengths)


def _project(weights: SourceWeights, queries: Array) -> Array:
    return plus(queries @ weights.query_input.astype(queries.dtype), weights.bias).astype(queries.dtype)


def _forward(query_read: Array | None, score: Array, keys: Array, values: Array, queries: Array, seen: Array) -> Any:
    dtype, features = values.dtype, values.shape[2] // 2
    keys = exponential(keys, dtype)

    def step(read: Array, query: Array) -> Any:
        if query_read is not None:
            query = query + jnp.matmul(read[:, :features], query_read, preferred_element_type=wide(dtype))
        query = exponential(query, dtype)
        read, log_total = attend(keys, values, query, score, seen)
        return read, (read, query, log_total)

    return lax.scan(step, jnp.zeros((len(values), values.shape[2]), dtype), queries)[1]


@jax.custom_vjp
def source_recurrence(
    query_read: Array | None, score: Array, keys: Array, values: Array, queries: Array, seen: Array
) -> Array:
    """Runs inter-attention, with a gradient that recomputes.

    Args:
        query_read: W_g~, `[H, A]`, or None.
        score: u, `[A]`.
        keys: W_g gamma_j, `[B, J, A]`.
        values: [gamma_j, alpha_j], `[B, J, 2H]`.
        queries: projected, `[T, B, A]`.
        seen: bool `[B, J]`.

    Returns:
        [gamma~_t, alpha~_t], `[T, B, 2H]`.
    """
    return _forward(query_read, score, keys, values, queries, seen)[0]


def _source_forward(
    query_read: Array | None, score: Array, keys: Array, values: Array, queries: Array, seen: Array
) -> Any:
    reads, exp_queries, log_totals = _forward(query_read, score, keys, values, queries, seen)
    return reads, (query_read, score, keys, values, seen, reads, exp_queries, log_totals)


def _source_backward(kept: Any, dreads: Array) -> Any:
    query_read, score, projected_keys, values, seen, reads, exp_queries, log_totals = kept
    dtype, features = values.dtype, values.shape[2] // 2
    sums = wide(dtype)
    keys = exponential(projected_keys, dtype)

    def step(carry: Any, item: Any) -> Any:
        dquery, dkeys, dscore = carry
        query, log_total, dread = item
        dread = dread.astype(sums)
        if query_read is not None:
            moved = jnp.matmul(dquery.astype(dtype), query_read.T, preferred_element_type=sums)
            dread = dread.at[:, :features].add(moved)
        s, da, w, dquery, dscore_here = attend_gradient(keys, values, query, score, seen, log_total, dread)
        kept = dread.astype(dtype), s.astype(dtype), dquery.astype(dtype)
        return (dquery, dkeys + da[..., None] * w, dscore + dscore_here), kept

    zeros = (
        jnp.zeros(exp_queries.shape[1:], sums),
        jnp.zeros(keys.shape, sums),
        jnp.zeros(exp_queries.shape[1:], sums),
    )
    items = exp_queries, log_totals, dreads
    (_, dkeys, dscore), (dreads, weights, dqueries) = lax.scan(step, zeros, items, reverse=True)
    dvalues = jnp.einsum("tbj,tbf->bjf", weights, dreads, preferred_element_type=sums)
    dquery_read = None
    if query_read is not None:
        dquery_read = outer(reads[:-1, :, :features], dqueries[1:]).astype(query_read.dtype)
    dkeys = dkeys * (4 * score.astype(sums))[None, None]
    return (
        dquery_read,
        dscore.sum(axis=0).astype(score.dtype),
        dkeys.astype(projected_keys.dtype),
        dvalues.astype(dtype),
        dqueries,
        None,
    )


source_recurrence.defvjp(_source_forward, _source_backward)
