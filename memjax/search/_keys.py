# SPDX-License-Identifier: Apache-2.0
"""The kinds of keys that a search reads: vectors, vectors in 8 bits, and word ids.

Vectors and words are scored alike, by an inner product with the query. A bag of words is a vector over the vocabulary
that is mostly zeros, so its word ids are all that is stored, and its score is a sum of the query's scores of words.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from memjax import _checks
from memjax._codes import round_to_codes
from memjax.typing import NUM_SPECIAL, Array, PyTree

#: Of products of floats: a TPU would otherwise round float32 keys to bfloat16, and find other slots.
_PRECISION = lax.Precision.HIGHEST
#: So many queries are rounded to 15 bits: XLA's 8-bit products cost the same for 2 columns as for 8.
_FEW = 4


@struct.dataclass
class Quantized:
    """A key vector beside its 8-bit code: the code is searched, the vector decides among what was found.

    Attributes:
        codes: the vector divided by `scale`, rounded.
        scale: the largest magnitude of the vector, divided by 127.
        vector: as it was.
    """

    codes: Array  # int8 [D]
    scale: Array  # float32 []
    vector: Array  # [D]


def quantize(vector: Array) -> Quantized:
    """Rounds a key to 8 bits, to be searched with a quarter of float32's bytes.

    Unbatched; `memjax.memory.map_keys(memory, quantize)` turns a memory of vectors into one of these.

    Args:
        vector: `[D]`, floating. One with a NaN is never found.

    Returns:
        The key of a slot.

    Raises:
        ValueError: if it is no vector of floating numbers.

    Example:
        >>> quantize(jnp.array([1.0, -0.5])).codes
        Array([127, -64], dtype=int8)

    Departs from the paper: it is ours; there, memory is small or hashed.
    """
    _checks.rank("vector", vector, 1, "[D]")
    _checks.floats("vector", vector)
    codes, scale = round_to_codes(vector)
    return Quantized(codes=codes, scale=scale, vector=jnp.asarray(vector))


def slice_rows(keys: PyTree, start: Array, size: int) -> PyTree:
    """Returns the slots [start, start + size), for `coarse_scores`."""
    if isinstance(keys, Quantized):
        keys = dataclasses.replace(keys, vector=keys.scale)  # the vectors are not read here
    return jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, start, size), keys)


def all_rows(keys: PyTree) -> Array:
    """Returns all slots' keys as they are stored, for `fine_scores`."""
    return jnp.asarray(keys.vector if isinstance(keys, Quantized) else keys)  # a restored memory may hold NumPy arrays


def take_rows(keys: PyTree, slots: Array) -> Array:
    """Returns some slots' keys, for `fine_scores`; a slot outside [0, N) gives any row."""
    return all_rows(keys).at[slots].get(mode="clip")


def score_dtype(keys: PyTree, vector: Array) -> jnp.dtype:
    """The dtype of scores: float32, or float64 where what is summed is: the keys, or the query's scores of words."""
    dtype = all_rows(keys).dtype
    return jnp.promote_types(jnp.float32, vector.dtype if jnp.issubdtype(dtype, jnp.integer) else dtype)


def is_coarse(keys: PyTree, vector: Array) -> bool:
    """Whether scores of many slots are rounded more than those of the short list: of codes, or of narrower keys."""
    if isinstance(keys, Quantized):
        return True
    return jnp.issubdtype(keys.dtype, jnp.floating) and jnp.finfo(keys.dtype).bits < jnp.finfo(vector.dtype).bits


def check(keys: PyTree, vector: Array) -> None:
    """Raises `ValueError` unless keys are of a kind that is searched, and queries fit them."""
    if isinstance(keys, Quantized):
        keys = keys.vector
    if not hasattr(keys, "dtype") or jnp.ndim(keys) != 2:
        raise ValueError(
            "memory.keys: expected one array [N, D] of vectors, [N, S] of word ids, or memjax.search.Quantized, got "
            f"{jax.tree.structure(keys)}; name the leaf to search with keys_fn=lambda keys: keys[..]"
        )
    if not jnp.issubdtype(vector.dtype, jnp.floating):
        raise ValueError(f"queries.vector: expected floats, got {vector.dtype}")
    if jnp.issubdtype(keys.dtype, jnp.integer):
        return
    if keys.dtype not in (jnp.float32, jnp.bfloat16, jnp.float16, jnp.float64):
        raise ValueError(f"memory.keys: expected floating vectors or integer word ids, got {keys.dtype}")
    if vector.shape[1] != keys.shape[1]:
        raise ValueError(f"queries.vector: expected {keys.shape[1]} features, as memory.keys, got {vector.shape[1]}")


def coarse_scores(keys: PyTree, vector: Array) -> Array:
    """Scores slots against queries.

    Args:
        keys: of R slots.
        vector: `[Q, D]`.

    Returns:
        float32 `[R, Q]`: slots lead, which is how a product is the fastest on a CPU. Of keys with a smaller range than
        the queries they are in units of each query's largest feature.
    """
    if isinstance(keys, Quantized):
        return _scores_of_codes(keys, vector)
    if jnp.issubdtype(keys.dtype, jnp.integer):
        return _scores_of_words(keys, vector)
    exact = score_dtype(keys, vector)
    if jnp.finfo(keys.dtype).max < jnp.finfo(vector.dtype).max:
        largest = jnp.max(jnp.abs(vector), axis=1, keepdims=True)
        vector = vector / jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return lax.dot_general(
        keys, vector.astype(keys.dtype), (((1,), (1,)), ((), ())), _PRECISION, preferred_element_type=exact
    )


def _scores_of_codes(keys: Quantized, vector: Array) -> Array:
    """The product in integers, for the query as well: of 15 bits, in two columns, where there are few queries."""
    count = vector.shape[0]
    high, exact, scale = round_queries(vector)
    parts = [high, jnp.round((exact - high) * 127)] if count <= _FEW else [high]
    columns = jnp.concatenate(parts).astype(jnp.int8)  # [Q or 2Q, D]
    products = lax.dot_general(keys.codes, columns, (((1,), (1,)), ((), ())), preferred_element_type=jnp.int32)
    scores = products[:, :count].astype(jnp.float32)
    if count <= _FEW:
        scores += products[:, count:].astype(jnp.float32) / 127
    return scores * keys.scale[:, None] * scale.T


def round_queries(vector: Array) -> tuple[Array, Array, Array]:
    """Returns queries `[Q, D]` in units of their scale, rounded to at most 127 and as they are, and the scale."""
    scale = jnp.max(jnp.abs(vector), axis=1, keepdims=True).astype(jnp.float32) / 127  # [Q, 1]
    exact = vector / jnp.where(scale > 0, scale, 1)
    return jnp.round(exact), exact, scale


def _scores_of_words(ids: Array, vector: Array) -> Array:
    # Special tokens score 0, and so does the row that ids of another vocabulary are sent to.
    table = jnp.pad(vector.T, ((NUM_SPECIAL, 1), (0, 0)))  # [V + 1, Q]
    table = table.astype(score_dtype(ids, vector))
    ids = jnp.minimum(ids.astype(jnp.uint32), table.shape[0] - 1)  # as unsigned, negative ids are large ones
    # Word by word: a gather of all words at once and a sum over them take four times as long on a CPU.
    words = [table.at[ids[:, place]].get(mode="promise_in_bounds") for place in range(ids.shape[1])]
    return lax.optimization_barrier(functools.reduce(jnp.add, words))  # apart from what reduces it, likewise


def fine_scores(keys: Array, vector: Array) -> Array:
    """Scores slots against one query as exactly as they are stored: differentiable, and the scores that are returned.

    Args:
        keys: of R slots, from `take_rows`.
        vector: `[D]`.

    Returns:
        float32 `[R]`.
    """
    exact = score_dtype(keys, vector)
    if jnp.issubdtype(keys.dtype, jnp.integer):
        # Word by word, [S, R], and kept apart from the rows: fused, XLA reads each row once for each of its words.
        words = lax.optimization_barrier((keys - NUM_SPECIAL).astype(jnp.uint32).T)
        known = words < vector.shape[0]  # as unsigned, special tokens are large
        scores = vector.at[jnp.where(known, words, 0)].get(mode="promise_in_bounds")
        return jnp.sum(jnp.where(known, scores, 0).astype(exact), axis=0)
    return jnp.matmul(keys.astype(exact), vector.astype(exact), precision=_PRECISION)
