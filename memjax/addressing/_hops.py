# SPDX-License-Identifier: Apache-2.0
"""A chain of hops, each of which finds the memory that is best then."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from memjax import _checks
from memjax import memory as memory_lib
from memjax.addressing._select import select_highest
from memjax.memory import Memory
from memjax.scoring import score_slots
from memjax.search import Hits
from memjax.typing import Array, PyTree, ScoreFn, SelectFn


@struct.dataclass
class Hops:
    """What a chain of hops found.

    Attributes:
        slots: the slot found at each hop; -1 from the hop on at which the stop slot won or nothing was left.
        scores: the score of each slot at each hop, or of each candidate of a search; -inf where it could not be
            chosen.
        stop_scores: the score of the stop slot at each hop; -inf without one.
        query: the query after the last hop.
        candidates: the slots that a search gave at each hop, -1 for none; None where all slots were scored.
    """

    slots: Array  # int32 [P]
    scores: Array  # [P, N] or [P, K]
    stop_scores: Array  # [P]
    query: PyTree
    candidates: Array | None = None  # int32 [P, K]


def hard_hops(
    query: PyTree,
    memory: Memory,
    *,
    hops: int,
    score_fn: ScoreFn,
    follow_fn: Callable[[PyTree, PyTree], PyTree],
    select_fn: SelectFn = select_highest,
    stop_fn: Callable[[PyTree], Array | None] = lambda query: None,
    exclude_found: bool = True,
    where: Array | None = None,
    search_fn: Callable[[PyTree, Memory, Array | None], Hits] | None = None,
) -> Hops:
    """Finds supporting memories one after another.

    Unbatched; lift with `jax.vmap` over queries, over memories or over both. For any k: `hops` is static.

    Args:
        query: one query.
        memory: N slots.
        hops: k, or the cap on the number of hops where there is a stop slot.
        score_fn: s(query, key).
        follow_fn: `fn(query, key) -> query`: the query of the next hop, [x, m_o1].
        select_fn: chooses one slot by the scores.
        stop_fn: `fn(query)` -> score of the stop slot m_0, which ends the chain when it wins (adaptive memory); or
            None: there is no stop slot, and every hop finds a memory while there are any.
        exclude_found: whether a memory can be found once only.
        where: bool `[N]`, slots that may be found; all valid ones by default.
        search_fn: `fn(query, memory, where)` -> the hits of this one query, Q = 1, e.g. by a search of
            `memjax.search`; `where` as it was given, None too. Only these are scored, as the search scores them; in a
            memory of millions it finds the few that `select_fn` chooses from. With `exclude_found` memories that were
            found before take places among the hits, so it must give one for each hop at least. None scores every slot
            with `score_fn`.

    Returns:
        What was found; nothing, with finite scores nowhere, in an empty memory.

    Raises:
        ValueError: if `hops` is below 1, `where` has another shape, or a search gives fewer hits than it must.

    Example:
        >>> from memjax.memory import empty, write
        >>> from memjax.scoring import inner_product
        >>> memory = empty(4, jnp.zeros(2), jnp.int32(0))
        >>> memory = write(memory, jnp.array([1.0, 0.0]), jnp.int32(7))
        >>> memory = write(memory, jnp.array([0.0, 1.0]), jnp.int32(8))
        >>> found = hard_hops(jnp.array([1.0, 0.1]), memory, hops=3, score_fn=inner_product, follow_fn=jnp.add)
        >>> found.slots
        Array([ 0,  1, -1], dtype=int32)

    Reference: Weston et al. 2015, equations 2 and 3; Weston et al. 2016 (bAbI), appendix A.2, adaptive memory.
    Departs from the paper: `exclude_found`; the paper does not say whether a memory can be found twice.
    """
    _checks.positive("hops", hops)
    num_slots = memory.num_slots
    if where is not None and jnp.shape(where) != (num_slots,):
        raise ValueError(f"where: expected shape {(num_slots,)}, one for each slot, got {jnp.shape(where)}")

    def search(query: PyTree) -> tuple[Array, Array, Array]:
        """Slots, scores and write times of the candidates."""
        if search_fn is None:
            times = memory.times if where is None else jnp.where(where, memory.times, -1)
            return jnp.arange(num_slots, dtype=jnp.int32), score_slots(score_fn, query, memory), times  # [N]
        hits = search_fn(query, memory, where)
        slots = hits.slots[0]  # [K]
        if exclude_found and slots.shape[0] < min(hops, num_slots):
            raise ValueError(
                f"search_fn: expected at least {min(hops, num_slots)} hits, one for each hop, since memories found "
                f"before are among them, got {slots.shape[0]}; search for more, or pass exclude_found=False"
            )
        return slots, jnp.where(hits.valid[0], hits.scores[0], 0), memory_lib.gather(memory, slots).times

    def hop(carry: PyTree, number: Array) -> tuple[PyTree, PyTree]:
        query, previous, chain, going = carry
        candidates, scores, times = search(query)
        if exclude_found:
            again = jnp.any(candidates[:, None] == chain[None], axis=1)
            times = jnp.where(again, -1, times)
        stop = stop_fn(query)
        stop = None if stop is None else jnp.asarray(stop, scores.dtype)  # a search scores in float32 at least
        chosen = select_fn(query, scores, times, previous, stop)
        shown = jnp.where(times >= 0, scores, -jnp.inf)
        going = going & (chosen >= 0)
        slot = jnp.where(going, candidates[chosen], -1)
        found = memory_lib.gather(memory, slot[None])
        key = jax.tree.map(lambda leaf: leaf[0], found.keys)
        query = jax.tree.map(lambda new, old: jnp.where(going, new, old), follow_fn(query, key), query)
        previous = jnp.where(going, found.times[0], previous)
        stop = jnp.full((), -jnp.inf, scores.dtype) if stop is None else stop
        searched = None if search_fn is None else candidates
        return (query, previous, chain.at[number].set(slot), going), (shown, stop, searched)

    start = (query, memory.count, jnp.full(hops, -1, jnp.int32), jnp.bool_(True))
    (query, _, slots, _), (scores, stops, candidates) = jax.lax.scan(hop, start, jnp.arange(hops))
    return Hops(slots=slots, scores=scores, stop_scores=stops, query=query, candidates=candidates)
