# SPDX-License-Identifier: Apache-2.0
"""Search of inverted lists: only the clusters nearest to a query are scored, and a batch is grouped by cluster."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from memjax import _checks
from memjax._codes import PADDING
from memjax.hashing import Lists
from memjax.memory import Memory
from memjax.search import _keys
from memjax.search._exact import make_hits
from memjax.search._hits import Hits, Queries, best, check_k, check_queries, may_be_found, stop_gradient
from memjax.typing import Array, PyTree, SearchFn

#: Queries that are scored at once against a list that they share.
_COLUMNS = 8
#: Maxima that are kept of a block of `PADDING` rows.
_GROUPS = 16
#: Groups, and then rows, beside the best that are scored again: codes are coarse, and stale rows are found out late,
#: since the time of a slot costs as much to read as its key.
_SPARE = 6
_SPARE_ROWS = 32
#: Short lists of so many queries are in memory at once.
_SHORT_LISTS = 8


class _Pairs(NamedTuple):
    """Queries and the lists that they probe, sorted by list."""

    query: Array  # int32 [Q P]
    list: Array  # int32 [Q P]
    place: Array  # int32 [Q P]: where the maxima of the list stand among those of the query
    head: Array  # int32 [Q P]: the first pairs of runs of at most so many columns that share a list; the rest is Q P
    runs: Array  # int32 []


def probed(
    lists: Lists, k: int, num_probes: int, width: int, *, keys_fn: Callable[[PyTree], PyTree] | None = None
) -> SearchFn:
    """Makes a search that scores the vectors in the lists whose centroids are nearest to the query.

    Queries of a batch that probe the same list are scored by one product. As in `exact`, maxima of groups of rows are
    kept, and the best groups are scored again.

    Args:
        lists: of the memory that is searched; they may have a tail.
        k: K, at least 1.
        num_probes: lists that a query probes, by the inner product with their centroids.
        width: rows that are kept for a query, at most, in blocks of 512: each list takes whole ones, and the width is
            rounded up to them. Lists are uneven, and it must hold the longest that come together. What is beyond is
            left out, the farthest list first, and counted in `Hits.lost`.
        keys_fn: from `memory.keys` to the vectors, where keys are more than that; that of `build_lists`.

    Returns:
        `search(queries, memory, where=None) -> Hits`, as `exact`.

    Raises:
        ValueError: if a size is below 1, or `num_probes` above the number of lists.

    Example:
        >>> from memjax import hashing, memory as mm
        >>> keys = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]])
        >>> facts = mm.write_many(mm.empty(3, keys[0], jnp.int32(0)), keys, jnp.arange(3))
        >>> lists = hashing.build_lists(facts, centroids=jnp.eye(2))
        >>> hits = probed(lists, k=2, num_probes=1, width=64)(Queries(jnp.array([[0.2, 1.0]])), facts)
        >>> hits.slots.tolist(), hits.candidates.tolist()
        ([[1, 2]], [2])

    Reference: Weston et al. 2015, section 3.3: clusters of words; Jegou et al. 2011: inverted lists of vectors.
    Departs from the paper: clusters are of whole memories. `width` counts blocks, so that a list of few rows takes 512
    of it. The 2 K + 32 rows best by their codes are scored again, and rows that were written over since the last merge
    take places among them: a hit may be missed where many of the best rows are such.
    """
    for name, value in (("k", k), ("num_probes", num_probes), ("width", width)):
        _checks.positive(name, value)
    num_lists = lists.centroids.shape[0]
    if num_probes > num_lists:
        raise ValueError(f"num_probes: expected at most {num_lists}, the number of lists, got {num_probes}")

    def search(queries: Queries, memory: Memory, where: Array | None = None) -> Hits:
        _checks.rank("memory.times", memory.times, 1, "[N]")
        check_queries(queries, where, memory.num_slots)
        check_k(k, memory.num_slots)
        keys = memory.keys if keys_fn is None else keys_fn(memory.keys)
        _keys.check(keys, queries.vector)
        vector, fixed = stop_gradient(queries.vector), stop_gradient(keys)
        # Restored ones may hold NumPy arrays.
        restored, times, allowed = jax.tree.map(jnp.asarray, (lists, memory.times, where))
        slots, candidates, lost = _find(k, num_probes, width, restored, fixed, times, vector, allowed)
        return make_hits(keys, queries.vector, slots, candidates, lost)

    return search


def _pair(probes: Array, places: Array, columns: int) -> _Pairs:
    """Sorts the pairs of queries and lists; `probes` and `places`, each list's among those of its query, `[Q, P]`."""
    num_queries, num_probes = probes.shape
    count = num_queries * num_probes
    order = jnp.argsort(probes.reshape(-1), stable=True).astype(jnp.int32)
    of = probes.reshape(-1)[order]
    pair = jnp.arange(count, dtype=jnp.int32)
    first = jnp.searchsorted(of, of, side="left").astype(jnp.int32)
    begins = (pair - first) % columns == 0
    head = jnp.sort(jnp.where(begins, pair, count))
    return _Pairs(order // num_probes, of, places.reshape(-1)[order], head, jnp.sum(begins, dtype=jnp.int32))


def _find(
    k: int,
    num_probes: int,
    width: int,
    lists: Lists,
    keys: PyTree,
    times: Array,
    vector: Array,
    where: Array | None,
) -> tuple[Array, Array, Array]:
    """Returns slots `[Q, K]`, how many rows were scored for each query, and how many were left out."""
    index, num_queries = lists.index, vector.shape[0]
    _, probes = lax.top_k(vector @ lists.centroids.T, num_probes)  # [Q, P]
    length = jnp.diff(index.offsets)[probes]  # [Q, P]
    blocks = -(-length // PADDING)
    ends = jnp.cumsum(blocks, axis=1) * _GROUPS  # of the groups of each list, among those of the query
    places = ends - blocks * _GROUPS
    columns = min(_COLUMNS, num_queries)
    pairs = _pair(probes.astype(jnp.int32), places, columns)
    size = -(-width // PADDING) * _GROUPS  # groups of a query
    allowed_rows = None  # the mask in the order of the lists
    if where is not None:
        allowed_rows = jnp.atleast_2d(jnp.pad(where[..., index.slots], ((0, 0),) * (where.ndim - 1) + ((0, PADDING),)))
    maxima = _maxima(lists, pairs, vector, allowed_rows, size, columns)  # [Q, groups]
    room = (size - places) // _GROUPS * PADDING
    kept = jnp.sum(jnp.clip(room, 0, length), axis=1)
    lost = jnp.sum(length, axis=1) - kept
    groups = min(k + _SPARE, size)
    rows_of_group = PADDING // _GROUPS
    short = min(2 * k + _SPARE_ROWS, groups * rows_of_group)

    def pick(each: tuple[Any, ...]) -> Array:
        vector, maxima, probes, ends, length, recent, recent_slots, mine = each
        _, chosen = lax.top_k(maxima, groups)
        probe = jnp.sum(chosen[:, None] >= ends[None], axis=1)  # of each group
        before = jnp.where(probe > 0, ends.at[probe - 1].get(mode="clip"), 0)
        block, group = jnp.divmod(chosen - before, _GROUPS)
        within = (block * PADDING + group)[:, None] + jnp.arange(rows_of_group, dtype=jnp.int32)[None] * _GROUPS
        inside = (within < length.at[probe].get(mode="clip")[:, None]) & (probe < num_probes)[:, None]
        rows = (index.offsets[probes.at[probe].get(mode="clip")][:, None] + within).reshape(-1)
        coarse = _keys.coarse_scores(_codes(lists, lambda leaf: leaf.at[rows].get(mode="clip")), vector[None])[:, 0]
        allowed = inside.reshape(-1) & (coarse > -jnp.inf)
        allowed &= may_be_found(mine, rows)
        coarse, at = lax.top_k(jnp.where(allowed, coarse, -jnp.inf), short)
        rows = rows[at]
        slots = index.slots.at[rows].get(mode="clip")
        alive = (coarse > -jnp.inf) & (times[slots] == index.times.at[rows].get(mode="clip"))
        scores = _keys.fine_scores(_keys.take_rows(keys, slots), vector)
        scores = jnp.concatenate([jnp.where(alive, scores, -jnp.inf), recent])
        slots = jnp.concatenate([slots, recent_slots])
        order = jnp.argsort(slots)  # so that of equal scores the lower slot is the first
        return best(scores[order][None], slots[order][None], k)[1][0]

    recent, recent_slots = _best_of_tail(k, lists, keys, times, vector, probes, where)
    own = (vector, maxima, probes, ends, length, recent, recent_slots)
    if allowed_rows is not None and allowed_rows.shape[0] == num_queries:
        return lax.map(pick, (*own, allowed_rows), batch_size=_SHORT_LISTS), kept, lost
    mine = None if allowed_rows is None else allowed_rows[0]
    return lax.map(lambda each: pick((*each, mine)), own, batch_size=_SHORT_LISTS), kept, lost


def _best_of_tail(
    k: int, lists: Lists, keys: PyTree, times: Array, vector: Array, probes: Array, where: Array | None
) -> tuple[Array, Array]:
    """Scores and slots `[Q, K]` of the recent writes to the lists that are probed."""
    index, slots = lists.index, lists.index.tail_slots
    count = min(k, slots.shape[0])

    def score() -> tuple[Array, Array]:
        written = (index.tail_times >= 0) & (times[slots] == index.tail_times)
        shared = jnp.any(index.tail_buckets[:, 0][None, :, None] == probes[:, None], axis=-1) & written[None]
        if where is not None:
            shared &= where[:, slots] if jnp.ndim(where) == 2 else where[slots][None]
        scores = jax.vmap(_keys.fine_scores, in_axes=(None, 0))(_keys.take_rows(keys, slots), vector)  # [Q, R]
        return best(jnp.where(shared, scores, -jnp.inf), jnp.broadcast_to(slots[None], scores.shape), count)

    exact = _keys.score_dtype(keys, vector)
    shape = (vector.shape[0], count)
    none = lambda: (jnp.full(shape, -jnp.inf, exact), jnp.full(shape, -1, jnp.int32))  # noqa: E731
    return lax.cond(index.tail_count > 0, score, none)


def _maxima(lists: Lists, pairs: _Pairs, vector: Array, allowed: Array | None, size: int, columns: int) -> Array:
    """Scores each run of pairs against its list; returns the maxima of groups of rows, `[Q, size]`.

    A group is every sixteenth row of a block: maxima over whole rows of scores are fast, those within a row are not.
    """
    index, count = lists.index, pairs.query.shape[0]
    rounded, _, scale = _keys.round_queries(vector)
    rounded = rounded.astype(jnp.int8)
    row, group = jnp.arange(PADDING, dtype=jnp.int32), jnp.arange(_GROUPS, dtype=jnp.int32)

    def run(number: Array, table: Array) -> Array:
        pair = pairs.head[number] + jnp.arange(columns, dtype=jnp.int32)
        which = pairs.list[pairs.head[number]]
        mine = (pair < count) & (pairs.list.at[pair].get(mode="clip") == which)
        query = jnp.where(mine, pairs.query.at[pair].get(mode="clip"), vector.shape[0])
        place = pairs.place.at[pair].get(mode="clip")
        chosen = rounded.at[query].get(mode="clip")  # [columns, D]
        times = scale.at[query].get(mode="clip")  # [columns, 1]
        times = jnp.where(times == 0, 1, times)  # of a query of zeros, whose groups without rows stay below all others
        begin, end = index.offsets[which], index.offsets[which + 1]

        def step(block: Array, table: Array) -> Array:
            start = begin + block * PADDING
            codes = lax.dynamic_slice_in_dim(lists.codes, start, PADDING)
            products = lax.dot_general(chosen, codes, (((1,), (1,)), ((), ())), preferred_element_type=jnp.int32)
            scales = jnp.where(start + row < end, lax.dynamic_slice_in_dim(lists.scales, start, PADDING), jnp.nan)
            scores = products.astype(jnp.float32) * scales[None]  # [columns, rows]; NaN where there is no row
            if allowed is not None:
                mask = lax.dynamic_slice_in_dim(allowed, start, PADDING, axis=1)  # [1 or Q, rows]
                mask = mask if mask.shape[0] == 1 else mask.at[query].get(mode="clip")
                scores = jnp.where(mask, scores, jnp.nan)
            folded = scores.reshape(columns, PADDING // _GROUPS, _GROUPS)
            maxima = lax.reduce(folded, jnp.float32(-jnp.inf), lambda a, b: jnp.where(b > a, b, a), (1,)) * times
            at = place[:, None] + block * _GROUPS + group[None]  # [columns, groups]
            rows = jnp.broadcast_to(query[:, None], at.shape)
            return table.at[rows, at].set(maxima, mode="drop", unique_indices=True)

        return lax.fori_loop(0, -(-(end - begin) // PADDING), step, table)

    return lax.fori_loop(0, pairs.runs, run, jnp.full((vector.shape[0], size), -jnp.inf, jnp.float32))


def _codes(lists: Lists, read: Callable[[Array], Array]) -> _keys.Quantized:
    scales = read(lists.scales)
    return _keys.Quantized(codes=read(lists.codes), scale=scales, vector=scales)  # the vectors are not read
