# SPDX-License-Identifier: Apache-2.0
"""Exact search: every slot is scored; of more than a block of slots, nothing of the size of queries times slots."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from memjax import _checks
from memjax.memory import Memory
from memjax.search import _keys
from memjax.search._hits import Hits, Queries, best, check_k, check_queries, readable_slots, stop_gradient
from memjax.typing import Array, PyTree, SearchFn

#: Slots that are scored at once.
_BLOCK = 8192
#: Slots of which one maximum is kept.
_GROUP = 64
#: Groups beside the K best that are scored again where scores are coarse.
_SPARE_GROUPS = 10
#: Slots beside the K best that `recall` scores again there.
_SPARE_SLOTS = 64
#: Rows of the short lists of so many queries are in memory at once.
_SHORT_LISTS = 8


class _Groups(NamedTuple):
    """Maxima over groups of slots; slots before `first` belong to another group."""

    maxima: Array  # [G, Q]
    start: Array  # int32 [G]
    first: Array  # int32 [G]


def exact(k: int, *, keys_fn: Callable[[PyTree], PyTree] | None = None, recall: float | None = None) -> SearchFn:
    """Makes a search that scores every slot.

    Slots are scored in blocks, of which only the maximum of each group of 64 is kept; the K groups with the highest
    maxima hold the K best slots, and are scored again. Each hit's score is the float32 inner product of query and
    key (float64 for float64 keys), and differentiable; which slots are found is not.

    Keys are vectors `[N, D]` (float32, or bfloat16 on accelerators; a CPU converts all of a bfloat16 memory at each
    call; the groups of a large memory are then found with a query in bfloat16, too), `Quantized` vectors, whose groups
    are found by their 8-bit codes and scored again as they were, or token ids `[N, S]`, for which a query is the score
    of each word, `[Q, W]`, and a key scores the sum over its ids (special tokens 0; ids of another vocabulary, past W,
    0 as well).

    Args:
        k: K, at least 1.
        keys_fn: from `memory.keys` to the array to search, where keys are more than that.
        recall: None is exact. A number below 1 is the share of the K best that is asked of `jax.lax.approx_max_k`
            in each block, which is fast on TPUs, and exact elsewhere.

    Returns:
        `search(queries, memory, where=None) -> Hits`, with `queries` a `Queries` of Q, and `where` bool `[N]` or
        `[Q, N]`, the slots that may be found. Empty slots, slots outside `where`, and scores that are NaN or -inf
        (a NaN in key or query) are never found. It raises `ValueError` if shapes do not fit, or K is more than N.

    Raises:
        ValueError: if `k` is below 1, or `recall` not in (0, 1).

    Example:
        >>> from memjax import memory as mm
        >>> facts = mm.write_many(mm.empty(4, jnp.zeros(2), jnp.int32(0)), jnp.eye(2), jnp.arange(2))
        >>> hits = exact(3)(Queries(jnp.array([[0.1, 1.0]])), facts)
        >>> hits.slots.tolist(), hits.valid.tolist()
        ([[1, 0, -1]], [[True, True, False]])

    Reference: Weston et al. 2015, equation 2: the argmax over all memories.
    Departs from the paper: it finds K of them. Of `Quantized` keys, and of keys narrower than the queries, a hit may be
    missed whose group is not among the K + 10 best by rounded scores; with `recall`, one that is not itself among the
    K + 64 best.
    """
    _checks.positive("k", k)
    if recall is not None and not 0 < recall < 1:
        raise ValueError(f"recall: expected None or a number between 0 and 1, got {recall}; None is exact")

    def search(queries: Queries, memory: Memory, where: Array | None = None) -> Hits:
        _checks.rank("memory.times", memory.times, 1, "[N]")
        check_queries(queries, where, memory.num_slots)
        check_k(k, memory.num_slots)
        keys = memory.keys if keys_fn is None else keys_fn(memory.keys)
        _keys.check(keys, queries.vector)
        readable = readable_slots(memory, where)
        slots = find(k, recall, stop_gradient(keys), stop_gradient(queries.vector), readable)
        num_queries = queries.vector.shape[0]
        candidates = jnp.broadcast_to(jnp.sum(readable, axis=-1, dtype=jnp.int32), (num_queries,))
        return make_hits(keys, queries.vector, slots, candidates, jnp.zeros(num_queries, jnp.int32))

    return search


def make_hits(keys: PyTree, vector: Array, slots: Array, candidates: Array, lost: Array) -> Hits:
    """Returns the hits of slots that were found, with differentiable scores.

    Args:
        keys: of N slots.
        vector: `[Q, D]`.
        slots: int32 `[Q, K]`, best first, -1 for none.
        candidates: int32 `[Q]`.
        lost: int32 `[Q]`.
    """

    def score(vector: Array, slots: Array) -> Array:
        found = slots >= 0
        rows = _keys.take_rows(keys, slots)
        # Of what was not found nothing is multiplied, not even a NaN, which would reach the gradients.
        rows = jax.tree.map(lambda leaf: jnp.where(jnp.expand_dims(found, range(1, leaf.ndim)), leaf, 0), rows)
        vector = jnp.where(found.any(), vector, 0)
        return jnp.where(found, _keys.fine_scores(rows, vector), -jnp.inf)

    scores = lax.map(lambda each: score(*each), (vector, slots), batch_size=_SHORT_LISTS * 4)
    return Hits(scores=scores, slots=slots, valid=slots >= 0, candidates=candidates, lost=lost)


def find(k: int, recall: float | None, keys: PyTree, vector: Array, readable: Array) -> Array:
    """Returns int32 `[Q, K]`, the slots with the K highest scores, -1 for none; `readable` is `[N]` or `[Q, N]`.

    Queries that `jax.vmap` adds are searched for together: the memory is read once.
    """

    @custom_vmap
    def run(keys: PyTree, vector: Array, readable: Array) -> Array:
        return _find(k, recall, keys, vector, readable)

    @run.def_vmap
    def batched(size: int, in_batched: Any, keys: PyTree, vector: Array, readable: Array) -> tuple[Array, bool]:
        axes = [jax.tree.map(lambda mapped: 0 if mapped else None, each) for each in in_batched]
        if any(jax.tree.leaves(in_batched[0])):  # a memory for each: nothing to share
            return jax.vmap(partial(_find, k, recall), in_axes=tuple(axes))(keys, vector, readable), True
        vector = vector if in_batched[1] else jnp.broadcast_to(vector, (size, *vector.shape))
        count = vector.shape[1]
        if in_batched[2] or readable.ndim == 2:
            readable = readable if in_batched[2] else jnp.broadcast_to(readable, (size, *readable.shape))
            num_slots = readable.shape[-1]
            readable = jnp.broadcast_to(readable.reshape(size, -1, num_slots), (size, count, num_slots))
            readable = readable.reshape(-1, num_slots)
        slots = run(keys, vector.reshape(-1, vector.shape[-1]), readable)
        return slots.reshape(size, count, k), True

    return run(keys, vector, readable)


def _find(k: int, recall: float | None, keys: PyTree, vector: Array, readable: Array) -> Array:
    if readable.shape[-1] <= _BLOCK:
        return _find_in_block(k, keys, vector, readable)
    if recall is not None:
        return _find_approximately(k, recall, keys, vector, readable)
    if vector.shape[0] == 1:
        groups = _maxima_at_once(keys, vector, readable)
    else:
        groups = _maxima_by_blocks(keys, vector, readable)
    count = min(k + (_SPARE_GROUPS if _keys.is_coarse(keys, vector) else 0), groups.start.shape[0])
    return _find_in_groups(k, count, groups, keys, vector, readable)


def _find_in_block(k: int, keys: PyTree, vector: Array, readable: Array) -> Array:
    slots = jnp.arange(readable.shape[-1], dtype=jnp.int32)
    fine = jax.vmap(_keys.fine_scores, in_axes=(None, 0))(_keys.all_rows(keys), vector)  # [Q, N]
    scores = jnp.where(readable if readable.ndim == 2 else readable[None], fine, -jnp.inf)
    return best(scores, jnp.broadcast_to(slots[None], scores.shape), k)[1]


def _masked(keys: PyTree, vector: Array, readable: Array) -> Array:
    """Coarse scores `[R, Q]`, -inf where a slot may not be found."""
    scores = _keys.coarse_scores(keys, vector)
    return jnp.where(readable.T if readable.ndim == 2 else readable[:, None], scores, -jnp.inf)


def _group_maxima(scores: Array) -> Array:
    """Maxima of groups of rows, `[R / 64, Q]`; a NaN is passed over, where `jnp.max` would return it."""
    groups = scores.reshape(-1, _GROUP, scores.shape[1])
    lowest = jnp.array(-jnp.inf, scores.dtype)
    return lax.reduce(groups, lowest, lambda a, b: jnp.where(b > a, b, a), (1,))


def _maxima_at_once(keys: PyTree, vector: Array, readable: Array) -> _Groups:
    """One product with the memory as it lies. Blocks of it would be copied, at twice the cost; N scores are little."""
    scores = _masked(keys, vector, readable)
    scores = jnp.pad(scores, ((0, -scores.shape[0] % _GROUP), (0, 0)), constant_values=-jnp.inf)
    start = jnp.arange(0, scores.shape[0], _GROUP, dtype=jnp.int32)
    return _Groups(_group_maxima(scores), start, start)


def _blocks(num_slots: int) -> tuple[Array, Array]:
    """Starts of the blocks, the last moved back to end with the memory; and the first slot of each that is new."""
    first = jnp.arange(0, num_slots, _BLOCK, dtype=jnp.int32)
    return jnp.minimum(first, num_slots - _BLOCK), first


def _block(start: Array, first: Array, keys: PyTree, vector: Array, readable: Array) -> Array:
    """Coarse scores `[R, Q]` of one block, -inf where a slot may not be found, or was seen in the block before."""
    rows = _keys.slice_rows(keys, start, _BLOCK)
    new = start + jnp.arange(_BLOCK, dtype=jnp.int32) >= first
    allowed = lax.dynamic_slice_in_dim(readable, start, _BLOCK, axis=-1)
    return _masked(rows, vector, allowed & (new if allowed.ndim == 1 else new[None]))


def _maxima_by_blocks(keys: PyTree, vector: Array, readable: Array) -> _Groups:
    starts, firsts = _blocks(readable.shape[-1])

    def step(_: None, block: tuple[Array, Array]) -> tuple[None, Array]:
        return None, _group_maxima(_block(*block, keys, vector, readable))

    _, maxima = lax.scan(step, None, (starts, firsts))  # [blocks, groups of a block, Q]
    within = jnp.arange(0, _BLOCK, _GROUP, dtype=jnp.int32)
    start = (starts[:, None] + within[None]).reshape(-1)
    return _Groups(maxima.reshape(-1, vector.shape[0]), start, jnp.repeat(firsts, within.shape[0]))


def _find_in_groups(k: int, count: int, groups: _Groups, keys: PyTree, vector: Array, readable: Array) -> Array:
    """Scores the rows of the best groups of each query again, and selects among them."""
    _, chosen = lax.top_k(groups.maxima.T, count)  # [Q, C]
    chosen = jnp.sort(chosen, axis=1)  # so that of equal scores the lower slot is the first
    num_slots = readable.shape[-1]

    def pick(each: tuple[Array, Array, Array]) -> Array:
        vector, chosen, readable = each
        start = groups.start[chosen]  # [C]
        slots = start[:, None] + jnp.arange(_GROUP, dtype=jnp.int32)[None]  # [C, 64]
        inside = (slots >= groups.first[chosen][:, None]) & (slots < num_slots)
        slots, inside = slots.reshape(-1), inside.reshape(-1)
        return _score_again(k, keys, vector, slots, inside & readable.at[slots].get(mode="clip"))

    if readable.ndim == 1:
        return lax.map(lambda each: pick((*each, readable)), (vector, chosen), batch_size=_SHORT_LISTS)
    return lax.map(pick, (vector, chosen, readable), batch_size=_SHORT_LISTS)


def _score_again(k: int, keys: PyTree, vector: Array, slots: Array, allowed: Array) -> Array:
    """The K best `[K]` of the ascending slots `[C]` of one query, by the scores that are returned."""
    scores = _keys.fine_scores(_keys.take_rows(keys, slots), vector)
    return best(jnp.where(allowed, scores, -jnp.inf)[None], slots[None], k)[1][0]


def _find_approximately(k: int, recall: float, keys: PyTree, vector: Array, readable: Array) -> Array:
    """Keeps the best of each block as `approx_max_k` finds them, and scores the best of all blocks again."""
    count = k + (_SPARE_SLOTS if _keys.is_coarse(keys, vector) else 0)

    def step(found: tuple[Array, Array], block: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        scores = _block(*block, keys, vector, readable).T  # [Q, R]
        scores = jnp.where(scores > -jnp.inf, scores, -jnp.inf)
        top, at = lax.approx_max_k(scores, min(count, scores.shape[1]), recall_target=recall)
        scores = jnp.concatenate([found[0], top], axis=1)
        slots = jnp.concatenate([found[1], block[0] + at.astype(jnp.int32)], axis=1)
        return best(scores, slots, count), None

    shape = (vector.shape[0], count)
    nothing = jnp.full(shape, -jnp.inf, _keys.score_dtype(keys, vector)), jnp.full(shape, -1, jnp.int32)
    (_, slots), _ = lax.scan(step, nothing, _blocks(readable.shape[-1]))
    slots = jnp.sort(slots, axis=1)
    pick = lambda each: _score_again(k, keys, *each)  # noqa: E731
    return lax.map(pick, (vector, slots, slots >= 0), batch_size=_SHORT_LISTS)
