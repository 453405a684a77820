# SPDX-License-Identifier: Apache-2.0
"""Several chains of hops side by side, since the memory that is best at one hop may lead nowhere."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from memjax import _checks
from memjax import memory as memory_lib
from memjax.addressing._hops import Hops
from memjax.addressing._select import prefer_highest, select_highest
from memjax.memory import Memory
from memjax.scoring import score_slots
from memjax.typing import Array, PreferFn, PyTree, ScoreFn, SelectFn


def beam_hops(
    query: PyTree,
    memory: Memory,
    *,
    hops: int,
    width: int,
    tolerance: float = 4.0,
    score_fn: ScoreFn,
    follow_fn: Callable[[PyTree, PyTree], PyTree],
    select_fn: SelectFn = select_highest,
    prefer_fn: PreferFn = prefer_highest,
    stop_fn: Callable[[PyTree], Array | None] = lambda query: None,
    exclude_found: bool = True,
    where: Array | None = None,
) -> Hops:
    """Finds the chain of supporting memories with the highest sum of scores among `width` followed side by side.

    Only memories that are about as good as the best at their hop begin a chain of their own: where one is clearly
    better, newer for example, what comes after it does not matter.

    A memory counts by how much it is preferred to stopping there: s(x, y, m_0), its preference to the stop slot, or its
    score where there is none. What holds between two memories only, such as which is newer, counts against the memory
    that `select_fn` selects for the same query: every other memory counts for that one's value and its own preference
    to it, which is at most 0.

    Unbatched; lift with `jax.vmap` over queries, over memories or over both.

    Args:
        query: one query.
        memory: N slots.
        hops: k, or the cap on the number of hops where there is a stop slot.
        width: chains kept at each hop.
        tolerance: a chain is given up at a hop if the memory that is selected there is preferred to its own by more.
        score_fn: s(query, key).
        follow_fn: `fn(query, key) -> query`: the query of the next hop, [x, m_o1].
        select_fn: chooses one slot by the scores.
        prefer_fn: s(x, y, y') for every y.
        stop_fn: `fn(query)` -> score of the stop slot m_0, or None: there is no stop slot.
        exclude_found: whether a memory can be found once only in a chain.
        where: bool `[N]`, slots that may be found; all valid ones by default.

    Returns:
        The best chain, as `hard_hops` gives one.

    Raises:
        ValueError: if `hops` or `width` is below 1, or `where` has another shape.

    Example:
        Of two chains, the one that goes on better:

        >>> from memjax.memory import empty, write
        >>> from memjax.scoring import inner_product
        >>> memory = empty(3, jnp.zeros(2), jnp.int32(0))
        >>> for slot, key in enumerate(([1.0, 0.0], [0.9, 0.9], [0.0, 2.0])):
        ...     memory = write(memory, jnp.array(key), jnp.int32(slot))
        >>> follow = lambda query, key: key
        >>> beam_hops(
        ...     jnp.array([1.0, 0.0]), memory, hops=2, width=2, score_fn=inner_product, follow_fn=follow).slots
        Array([1, 2], dtype=int32)

    Reference: Weston et al. 2015, equations 2 and 3; Weston et al. 2016 (bAbI), appendix A.2, adaptive memory.
    Departs from the paper: it keeps one chain.
    """
    _checks.positive("hops", hops)
    _checks.positive("width", width)
    num_slots = memory.num_slots
    if where is not None and jnp.shape(where) != (num_slots,):
        raise ValueError(f"where: expected shape {(num_slots,)}, one for each slot, got {jnp.shape(where)}")
    readable = memory.times if where is None else jnp.where(where, memory.times, -1)

    def values(query: PyTree, previous: Array, found: Array) -> tuple[Array, Array, PyTree]:
        """What each slot `[N]` and stopping add to a chain, -inf where that is given up; and the scores."""
        scores = score_slots(score_fn, query, memory)
        again = jnp.any(jnp.arange(num_slots)[:, None] == found[None], axis=1) & exclude_found
        times = jnp.where(again, -1, readable)
        stop = stop_fn(query)
        best = select_fn(query, scores, times, previous, stop)

        def preferred(to_score: Array, to_time: Array) -> Array:
            return prefer_fn(query, scores, times, previous, to_score, to_time)

        behind = jnp.minimum(preferred(scores[best], times[best]), 0)
        behind = jnp.where(jnp.arange(num_slots) == best, 0, behind)  # not behind itself, as by printed features
        if stop is None:
            value, halt = scores[best] + behind, jnp.array(-jnp.inf, scores.dtype)
        else:  # where the stop slot wins, the others are preferred to it by less than nothing
            ahead = preferred(stop, jnp.int32(-1))
            behind = jnp.where(best >= 0, behind, ahead)
            value = jnp.where(best >= 0, ahead[best], 0) + behind
            halt = jnp.where((best >= 0) & (ahead[best] > tolerance), -jnp.inf, 0).astype(scores.dtype)
        findable = (times >= 0) & (behind >= -tolerance)
        shown = jnp.where(times >= 0, scores, -jnp.inf)
        return jnp.where(findable, value, -jnp.inf), halt, (shown, -jnp.inf if stop is None else stop)

    def hop(carry: PyTree, number: Array) -> tuple[PyTree, PyTree]:
        query, previous, found, going, total = carry  # leaves [C, ..], C chains
        value, halt, shown = jax.vmap(values)(query, previous, found)  # [C, N], [C]
        stuck = ~jnp.any(value > -jnp.inf, axis=1)
        halt = jnp.where(going & ~stuck, halt, 0)
        steps = jnp.concatenate([jnp.where(going[:, None], value, -jnp.inf), halt[:, None]], axis=1)  # [C, N + 1]
        total, places = jax.lax.top_k((total[:, None] + steps).reshape(-1), width)
        parent, slot = places // (num_slots + 1), places % (num_slots + 1)
        slot = jnp.where((slot < num_slots) & (total > -jnp.inf), slot, -1).astype(jnp.int32)
        going = going[parent] & (slot >= 0)
        query, previous, found = jax.tree.map(lambda leaf: leaf[parent], (query, previous, found))
        reached = memory_lib.gather(memory, slot)
        followed = jax.vmap(follow_fn)(query, reached.keys)

        def moved(new: Array, old: Array) -> Array:
            return jnp.where(going.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        carry = (
            jax.tree.map(moved, followed, query),
            moved(reached.times, previous),
            found.at[:, number].set(slot),
            going,
            total,
        )
        return carry, (parent, *shown)

    chains = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (width, *jnp.shape(leaf))), query)
    first = jnp.arange(width) == 0
    dtype = jax.eval_shape(lambda: score_slots(score_fn, query, memory)).dtype
    start = (
        chains,
        jnp.full(width, memory.count, jnp.int32),
        jnp.full((width, hops), -1, jnp.int32),
        first,
        jnp.where(first, 0.0, -jnp.inf).astype(dtype),
    )
    (chains, _, found, _, total), (parents, scores, stops) = jax.lax.scan(hop, start, jnp.arange(hops))
    best = jnp.argmax(total).astype(parents.dtype)

    def back(chain: Array, hop: PyTree) -> tuple[Array, PyTree]:
        parent, scores, stops = hop
        return parent[chain], (scores[parent[chain]], stops[parent[chain]])

    _, (shown, stop) = jax.lax.scan(back, best, (parents, scores, stops), reverse=True)
    query = jax.tree.map(lambda leaf: leaf[best], chains)
    return Hops(slots=found[best], scores=shown, stop_scores=stop, query=query)
