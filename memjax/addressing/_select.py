# SPDX-License-Identifier: Apache-2.0
"""Which slot a hop selects by the scores of all."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from memjax.scoring import TimeForm, triple_score
from memjax.typing import Array, PreferFn, PyTree, SelectFn


def select_highest(query: PyTree, scores: Array, times: Array, previous: Array, stop: Array | None) -> Array:
    """Selects the slot with the highest score: o = argmax_i s(x, m_i).

    A tie goes to the lower slot, and to the stop slot before any other.

    Args:
        query: not looked at.
        scores: `[N]`.
        times: int32 `[N]`, -1 where a slot may not be chosen.
        previous: not looked at.
        stop: score of the stop slot, or None.

    Returns:
        int32 scalar: the slot, or -1.

    Example:
        >>> select_highest(None, jnp.array([1.0, 3.0, 9.0]), jnp.array([0, 1, -1]), jnp.array(2), None)
        Array(1, dtype=int32)

    Reference: Weston et al. 2015, equations 2 and 3.
    """
    masked = jnp.where(times >= 0, scores, -jnp.inf)
    best = jnp.argmax(masked).astype(jnp.int32)
    bar = -jnp.inf if stop is None else stop
    return jnp.where(masked[best] > bar, best, -1)


def select_in_time_order(form: TimeForm, weights_fn: Callable[[PyTree], Array]) -> SelectFn:
    """Makes the selection by pairs: Algorithm 1 of the paper.

    The slots are walked in the order of their write times; each meets the winner so far and takes its place if the
    triple score prefers it. The walk starts from the stop slot, as the oldest memory of all, where there is one. The
    scores are known before it begins, so the loop runs over scalars: one `lax.scan` of N steps.

    Args:
        form: the time features.
        weights_fn: `fn(query)` -> `[F]`, the score of each time feature.

    Returns:
        A `SelectFn`.

    Example:
        >>> newest = select_in_time_order("signed", lambda query: jnp.array([0.0, 1.0]))
        >>> newest(None, jnp.zeros(3), jnp.array([4, 7, -1]), jnp.array(9), None)
        Array(1, dtype=int32)

    Reference: Weston et al. 2015, appendix C, Algorithm 1.
    Departs from the paper: it walks slots in the order they are stored; here in the order of write times, which
    differs once slots are used again.
    """

    def select(query: PyTree, scores: Array, times: Array, previous: Array, stop: Array | None) -> Array:
        weights = weights_fn(query)
        order = jnp.argsort(times)

        def meet(winner: tuple[Array, Array, Array], slot: tuple[Array, Array, Array]) -> tuple[PyTree, None]:
            best, best_score, best_time = winner
            _, score, time = slot
            first = (best < 0) & (stop is None)
            preferred = triple_score(form, weights, previous, score, time, best_score, best_time) > 0
            wins = (time >= 0) & (first | preferred)
            return jax.tree.map(lambda new, old: jnp.where(wins, new, old), slot, winner), None

        none = (jnp.int32(-1), jnp.zeros((), scores.dtype) if stop is None else stop, jnp.int32(-1))
        (best, _, _), _ = jax.lax.scan(meet, none, (order.astype(jnp.int32), scores[order], times[order]))
        return best

    return select


def prefer_highest(query: PyTree, scores: Array, times: Array, previous: Array, score: Array, time: Array) -> Array:
    """By how much each slot is preferred to one other: s(x, y) - s(x, y').

    Args:
        query: not looked at.
        scores: `[N]`, s(x, y).
        times: not looked at.
        previous: not looked at.
        score: scalar, s(x, y').
        time: not looked at.

    Returns:
        `[N]`; above 0 where a slot is preferred.

    Example:
        >>> zero = jnp.array(0)
        >>> prefer_highest(None, jnp.array([1.0, 3.0]), jnp.array([0, 1]), zero, jnp.array(2.0), zero)
        Array([-1.,  1.], dtype=float32)

    Reference: Weston et al. 2015, section 3.4, without its time features.
    """
    return scores - score


def prefer_in_time_order(form: TimeForm, weights_fn: Callable[[PyTree], Array]) -> PreferFn:
    """Makes the preference of each slot to one other by the triple score s(x, y, y').

    Args:
        form: the time features.
        weights_fn: `fn(query)` -> `[F]`, the score of each time feature.

    Returns:
        A `PreferFn`, with the arguments of `prefer_highest`.

    Example:
        >>> newer = prefer_in_time_order("signed", lambda query: jnp.array([0.0, 1.0]))
        >>> newer(None, jnp.zeros(2), jnp.array([4, 7]), jnp.array(9), jnp.array(0.0), jnp.array(5))
        Array([-1.,  1.], dtype=float32)

    Reference: Weston et al. 2015, section 3.4.
    Departs from the paper: see `memjax.scoring.time_preference`.
    """

    def prefer(query: PyTree, scores: Array, times: Array, previous: Array, score: Array, time: Array) -> Array:
        return triple_score(form, weights_fn(query), previous, scores, times, score, time)

    return prefer
