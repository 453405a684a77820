# SPDX-License-Identifier: Apache-2.0
"""Hashed search: only slots that share a bucket with the question are scored."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from memjax import _checks
from memjax.hashing import Index, buckets_of
from memjax.memory import Memory
from memjax.search import _keys
from memjax.search._exact import make_hits
from memjax.search._hits import Hits, Queries, best, check_k, check_queries, may_be_found, stop_gradient
from memjax.typing import Array, PyTree, SearchFn

#: Postings that are read and scored at once.
_CHUNK = 2048
#: Candidates of which one maximum is taken first.
_GROUP = 64


class _Postings(NamedTuple):
    """Where the postings of a question lie in the base, rarest bucket first."""

    starts: Array  # int32 [S]
    ends: Array  # int32 [S]: their number up to and with each bucket
    total: Array  # int32 []


def hashed(
    index: Index,
    k: int,
    width: int,
    *,
    max_bucket: int | None = None,
    keys_fn: Callable[[PyTree], PyTree] | None = None,
) -> SearchFn:
    """Makes a search that scores the slots in the buckets of the question's words.

    The buckets are read from the rarest to the most frequent. A slot that shares several is found once.

    Args:
        index: of the memory that is searched; it may have a tail.
        k: K, at least 1.
        width: postings that are scored for a query, at most; it bounds the time. What is beyond is left out, the
            most frequent bucket first, and counted in `Hits.lost`.
        max_bucket: buckets with more postings in the base are skipped, in the tail too; None, as in the paper, skips
            none.
        keys_fn: from `memory.keys` to the array to search, where keys are more than that: any that `exact` takes.

    Returns:
        `search(queries, memory, where=None) -> Hits`, as `exact`, with `queries.words` for the buckets; where more
        slots than K have the score of the last hit, any of them may be left out. A question none of whose words has a
        bucket finds nothing. `Hits.candidates` counts postings: a slot once for each
        bucket that it shares.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> from memjax import hashing, memory as mm
        >>> keys = jnp.array([[2, 3], [4, 5], [2, 5]])
        >>> facts = mm.write_many(mm.empty(3, keys[0], jnp.int32(0)), keys, jnp.arange(3))
        >>> run = hashed(hashing.build(facts, hashing.word_buckets(8)), k=3, width=16)
        >>> hits = run(Queries(vector=jnp.array([[1.0, 0, 0, 0.5, 0, 0]]), words=jnp.array([[2, 0]])), facts)
        >>> hits.slots.tolist(), hits.candidates.tolist()
        ([[2, 0, -1]], [2])

    Reference: Weston et al. 2015, section 3.3; Miller et al. 2016, section 3.1, leave frequent words out.
    Departs from the paper: `width` and `max_bucket`.
    """
    _checks.positive("k", k)
    _checks.positive("width", width)
    if max_bucket is not None:
        _checks.positive("max_bucket", max_bucket)

    def search(queries: Queries, memory: Memory, where: Array | None = None) -> Hits:
        _checks.rank("memory.times", memory.times, 1, "[N]")
        check_queries(queries, where, memory.num_slots)
        check_k(k, memory.num_slots)
        if queries.words is None:
            raise ValueError("queries.words: expected token ids [Q, S], got None; a hashed search needs them")
        keys = memory.keys if keys_fn is None else keys_fn(memory.keys)
        _keys.check(keys, queries.vector)
        restored, times = jax.tree.map(jnp.asarray, (index, memory.times))  # may hold NumPy arrays
        fixed = stop_gradient(keys)

        def one(each: tuple[Array, Array, Array | None]) -> tuple[Array, Array, Array]:
            vector, words, mine = each
            allowed = where if mine is None else mine
            return _find(k, width, max_bucket, restored, times, fixed, vector, words, allowed)

        own = where if where is not None and jnp.ndim(where) == 2 else None
        slots, candidates, lost = lax.map(one, (stop_gradient(queries.vector), queries.words, own))
        return make_hits(keys, queries.vector, slots, candidates, lost)

    return search


def _postings(index: Index, buckets: Array, max_bucket: int | None) -> tuple[Array, _Postings]:
    """Returns the buckets that are searched, -1 for none, and their postings."""
    begin = index.offsets.at[buckets].get(mode="clip")
    count = index.offsets.at[buckets + 1].get(mode="clip") - begin
    if max_bucket is not None:
        buckets = jnp.where(count > max_bucket, -1, buckets)
    count = jnp.where(buckets < 0, 0, count)
    order = jnp.argsort(count, stable=True)
    ends = jnp.cumsum(count[order])
    return buckets, _Postings(begin[order], ends, ends[-1])


def _find(
    k: int,
    width: int,
    max_bucket: int | None,
    index: Index,
    times: Array,
    keys: PyTree,
    vector: Array,
    words: Array,
    where: Array | None,
) -> tuple[Array, Array, Array]:
    """Returns the slots `[K]` of one query, how many postings were scored, and how many were left out."""
    buckets, postings = _postings(index, buckets_of(index, words), max_bucket)  # [S]
    taken = jnp.minimum(postings.total, width)
    chunk = min(_CHUNK, width)
    size = -(-width // chunk) * chunk

    def score(slots: Array, current: Array) -> Array:
        current &= may_be_found(where, slots)
        scores = _keys.fine_scores(_keys.take_rows(keys, slots), vector)
        return jnp.where(current, scores, -jnp.inf)

    def is_fresh(slots: Array, written: Array) -> Array:
        return times.at[slots].get(mode="clip") == written

    def scan_base(check: bool) -> tuple[Array, Array, Array]:
        """Scores, slots and write times of all postings; without `check` those of stale ones too."""

        def step(number: Array, found: tuple[Array, Array, Array]) -> tuple[Array, ...]:
            place = number * chunk + jnp.arange(chunk, dtype=jnp.int32)
            of = jnp.sum(place[:, None] >= postings.ends[None], axis=1)  # the bucket whose posting it is
            before = jnp.where(of > 0, postings.ends.at[of - 1].get(mode="clip"), 0)
            at = postings.starts.at[of].get(mode="clip") + place - before
            slots, written = (leaf.at[at].get(mode="clip") for leaf in (index.slots, index.times))
            current = (place < taken) & is_fresh(slots, written) if check else place < taken
            rows = (score(slots, current), slots, written)
            return tuple(map(lambda all, new: lax.dynamic_update_slice(all, new, (number * chunk,)), found, rows))

        exact = _keys.score_dtype(keys, vector)
        start = (jnp.full(size, -jnp.inf, exact), jnp.zeros(size, jnp.int32), jnp.zeros(size, jnp.int32))
        return lax.fori_loop(0, (taken + chunk - 1) // chunk, step, start)

    def best_of_base(check: bool) -> tuple[Array, Array, Array]:
        scores, slots, written = scan_base(check)
        top, at = _highest(count, scores)
        return top, slots.at[at].get(mode="clip"), written.at[at].get(mode="clip")

    # The time of a slot costs as much to read as its words, and few are stale: look at those of the best alone, and
    # search again with all times if one of them is.
    count = min(k * words.shape[0], size)  # a slot comes once for each bucket that it shares
    first = best_of_base(check=False)
    stale = jnp.any((first[0] > -jnp.inf) & ~is_fresh(first[1], first[2]))
    scores, slots, _ = lax.cond(stale, lambda: best_of_base(check=True), lambda: first)

    def score_tail() -> Array:
        shared = (index.tail_buckets[:, :, None] == buckets[None, None]) & (buckets >= 0)[None, None]  # [R, S, S']
        recent = shared.any(axis=(1, 2)) & is_fresh(index.tail_slots, index.tail_times)
        return score(index.tail_slots, recent & (index.tail_times >= 0))

    no_tail = jnp.full_like(scores, -jnp.inf, shape=index.tail_slots.shape)
    tail_scores = lax.cond(index.tail_count > 0, score_tail, lambda: no_tail)
    scores, slots = jnp.concatenate([scores, tail_scores]), jnp.concatenate([slots, index.tail_slots])
    candidates = taken + jnp.sum(tail_scores > -jnp.inf, dtype=jnp.int32)
    return _distinct(k, scores, slots), candidates, postings.total - taken


def _highest(count: int, scores: Array) -> tuple[Array, Array]:
    """The highest scores `[count]` and where they stand. Maxima of groups come first: fewer are sorted."""
    padded = jnp.pad(scores, (0, -scores.shape[0] % _GROUP), constant_values=-jnp.inf).reshape(-1, _GROUP)
    padded = jnp.where(padded > -jnp.inf, padded, -jnp.inf)
    _, groups = lax.top_k(padded.max(axis=1), min(count, padded.shape[0]))
    groups = jnp.sort(groups)  # so that of equal scores the first is taken first
    top, at = lax.top_k(padded[groups].reshape(-1), count)
    return top, groups[at // _GROUP] * _GROUP + at % _GROUP


def _distinct(k: int, scores: Array, slots: Array) -> Array:
    """The K best slots `[K]`, of which each may come several times, with one score."""
    # By slot, so that of equal scores the lower slot is the first; a stale posting of a slot after its valid one.
    order = jnp.lexsort((-scores, slots))
    scores, slots = scores[order], slots[order]
    repeated = jnp.append(False, slots[1:] == slots[:-1])
    return best(jnp.where(repeated, -jnp.inf, scores)[None], slots[None], k)[1][0]
