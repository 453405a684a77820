# SPDX-License-Identifier: Apache-2.0
"""Hops that read all of a memory, each slot by its weight: what a model learns to do from answers alone."""

from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import struct

from memjax import _checks
from memjax.memory import Memory, valid
from memjax.scoring import score_slots
from memjax.typing import Array, PyTree


class WeighFn(Protocol):
    """How much of each slot is read, by the scores of all."""

    def __call__(self, scores: Array, where: Array) -> Array:
        """Returns the weights `[N]`, 0 where a slot is not read.

        Args:
            scores: `[N]`.
            where: bool `[N]`, slots that may be read.
        """
        ...


@struct.dataclass
class SoftHops:
    """What a chain of soft hops read.

    Attributes:
        weights: of each slot at each hop; 0 where it could not be read.
        query: the query after the last hop.
    """

    weights: Array  # [P, N]
    query: PyTree


def weigh_softmax(scores: Array, where: Array, nil: Array | float = 0.0) -> Array:
    """The softmax over the slots that may be read.

    Args:
        scores: `[N]`.
        where: bool `[N]`, slots that may be read.
        nil: how many slots of score 0 there are besides, from which nothing is read: what they take is missing from
            the others, so that a hop can read little.

    Returns:
        `[N]`, weights that sum to 1, or to less with `nil`; zeros, with zero gradients, where no slot may be read.

    Example:
        >>> weigh_softmax(jnp.array([0.0, 0.0, 5.0]), jnp.array([True, True, False]))
        Array([0.5, 0.5, 0. ], dtype=float32)
        >>> weigh_softmax(jnp.array([0.0, 0.0]), jnp.array([True, True]), nil=2.0)
        Array([0.25, 0.25], dtype=float32)

    Reference: Sukhbaatar et al. 2015, equation 1.
    Departs from the paper: nothing; `nil` is for the null sentences that it fills stories up with.
    """
    _checks.rank("scores", scores, 1, "[N]")
    if jnp.shape(where) != jnp.shape(scores):
        raise ValueError(f"where: expected shape {jnp.shape(scores)}, one for each score, got {jnp.shape(where)}")
    nil = jnp.asarray(nil, scores.dtype)
    highest = jnp.max(scores, initial=-jnp.inf, where=where)
    highest = jnp.where(nil > 0, jnp.maximum(highest, 0), highest)
    shift = jax.lax.stop_gradient(jnp.where(jnp.isfinite(highest), highest, 0))
    parts = jnp.where(where, jnp.exp(jnp.where(where, scores - shift, 0)), 0)
    # exp(-shift) may overflow where there are no nil slots, which would count 0 times that.
    total = parts.sum() + nil * jnp.exp(jnp.where(nil > 0, -shift, 0))
    return parts / jnp.where(total > 0, total, 1)


def weigh_linear(scores: Array, where: Array) -> Array:
    """The scores themselves: a hop without its softmax, with which training of several hops starts (linear start).

    Args:
        scores: `[N]`.
        where: bool `[N]`, slots that may be read.

    Returns:
        `[N]`.

    Example:
        >>> weigh_linear(jnp.array([2.0, -1.0, 5.0]), jnp.array([True, True, False]))
        Array([ 2., -1.,  0.], dtype=float32)

    Reference: Sukhbaatar et al. 2015, section 4.2, linear start.
    """
    return jnp.where(where, scores, jnp.zeros_like(scores))


def read_values(weights: Array, memory: Memory, hop: int) -> PyTree:
    """o = sum_i p_i c_i, over the values of a memory; the same at every hop.

    Args:
        weights: `[N]`.
        memory: N slots, the values of which are float arrays `[N, ...]`.
        hop: not used.

    Returns:
        The values' pytree, without the slots.

    Raises:
        ValueError: if values are no floats.

    Example:
        >>> from memjax.memory import empty
        >>> memory = empty(2, jnp.zeros(1), jnp.zeros(1)).replace(values=jnp.array([[2.0], [4.0]]))
        >>> read_values(jnp.array([0.5, 0.25]), memory, 0)
        Array([2.], dtype=float32)

    Reference: Sukhbaatar et al. 2015, equation 2.
    """
    for leaf in jax.tree.leaves(memory.values):  # weights below 1 would all be 0 among integers
        _checks.floats("memory.values", leaf, "embed them, or pass a read_fn that does")
    return jax.tree.map(lambda leaf: jnp.tensordot(weights.astype(leaf.dtype), leaf, axes=1), memory.values)


def soft_hops(
    query: PyTree,
    memory: Memory,
    *,
    hops: int,
    score_fn: Callable[[PyTree, PyTree, int], Array],
    follow_fn: Callable[[PyTree, PyTree, int], PyTree],
    read_fn: Callable[[Array, Memory, int], PyTree] = read_values,
    weigh_fn: WeighFn = weigh_softmax,
    where: Array | None = None,
) -> SoftHops:
    """Reads a memory again and again, what was read joining the query of the next hop.

    Unbatched; lift with `jax.vmap` over queries, over memories or over both. The functions are told which hop it is, a
    Python integer from 0 on, since a model may have other matrices at each.

    Args:
        query: one query.
        memory: N slots. To read the few that a search found, `memjax.memory.gather` them first.
        hops: P.
        score_fn: `fn(query, key, hop)`, s of one slot.
        follow_fn: `fn(query, read, hop) -> query`: the query of the next hop.
        read_fn: `fn(weights [N], memory, hop)` -> what is read; the values, weighed, by default.
        weigh_fn: from scores to weights.
        where: bool `[N]`, slots that may be read; all valid ones by default.

    Returns:
        The weights of each hop, and the last query. Of an empty memory zeros are read.

    Raises:
        ValueError: if `hops` is below 1, or `where` has another shape.

    Example:
        >>> from memjax.memory import empty, write
        >>> memory = empty(4, jnp.zeros(2), jnp.zeros(2))
        >>> memory = write(memory, jnp.array([9.0, 0.0]), jnp.array([0.0, 9.0]))
        >>> memory = write(memory, jnp.array([0.0, 9.0]), jnp.array([5.0, 5.0]))
        >>> read = soft_hops(
        ...     jnp.array([1.0, 0.0]), memory, hops=2, score_fn=lambda query, key, hop: query @ key,
        ...     follow_fn=lambda query, read, hop: read)
        >>> read.weights.round(1), read.query.round(1)
        (Array([[1., 0., 0., 0.],
               [0., 1., 0., 0.]], dtype=float32), Array([5., 5.], dtype=float32))

    Reference: Sukhbaatar et al. 2015, sections 2.1 and 2.2; Miller et al. 2016, section 3.1.
    Departs from the papers: nothing.
    """
    _checks.positive("hops", hops)
    if where is not None and jnp.shape(where) != (memory.num_slots,):
        raise ValueError(f"where: expected shape {(memory.num_slots,)}, one for each slot, got {jnp.shape(where)}")
    readable = valid(memory) if where is None else valid(memory) & where
    weights = []
    for hop in range(hops):
        scores = score_slots(lambda query, key, hop=hop: score_fn(query, key, hop), query, memory)
        weights.append(weigh_fn(scores, readable))
        query = follow_fn(query, read_fn(weights[-1], memory, hop), hop)
    return SoftHops(weights=jnp.stack(weights), query=query)
