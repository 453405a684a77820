# SPDX-License-Identifier: Apache-2.0
"""Buckets of words: one for each word, or one for each cluster of word vectors."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from memjax import _checks
from memjax.typing import NUM_SPECIAL, Array

#: Vectors that are compared with all centroids at once.
_BLOCK = 4096


def word_buckets(num_tokens: int) -> Array:
    """Gives each word a bucket of its own: the word hash.

    Args:
        num_tokens: V, the vocabulary with its special tokens.

    Returns:
        int32 `[V]`, the bucket of each token id; -1, no bucket, for special tokens.

    Raises:
        ValueError: if there are no words.

    Example:
        >>> word_buckets(5).tolist()
        [-1, -1, 0, 1, 2]

    Reference: Weston et al. 2015, section 3.3.
    Departs from the paper: nothing.
    """
    _checks.positive("num_tokens - 2", num_tokens - NUM_SPECIAL)
    return jnp.maximum(jnp.arange(num_tokens, dtype=jnp.int32) - NUM_SPECIAL, -1)


def cluster_buckets(key: Array, words: Array, num_clusters: int) -> Array:
    """Gives each cluster of word vectors a bucket: the cluster hash. Words that mean alike share one.

    Args:
        key: a random key.
        words: `[W, D]`, the trained vector of each word.
        num_clusters: C, at most W; the paper's is 1,000.

    Returns:
        int32 `[V]`, V = W + 2, the bucket of each token id; -1, no bucket, for special tokens.

    Raises:
        ValueError: as `kmeans`.

    Example:
        >>> buckets = cluster_buckets(jax.random.key(0), jnp.array([[0.0], [0.1], [5.0]]), 2)
        >>> bool(buckets[2] == buckets[3] != buckets[4])
        True

    Reference: Weston et al. 2015, section 3.3: K-means over the columns of U_O.
    Departs from the paper: it does not say how K-means is run; see `kmeans`.
    """
    assigned = nearest(words, kmeans(key, words, num_clusters))
    return jnp.pad(assigned, (NUM_SPECIAL, 0), constant_values=-1)


def _scores(vectors: Array, centroids: Array) -> Array:
    """`[R, C]`, highest at the nearest centroid: x.c - |c|^2 / 2."""
    products = lax.dot_general(vectors, centroids, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)
    return products - 0.5 * jnp.sum(centroids.astype(jnp.float32) ** 2, axis=1)[None]


def nearest(vectors: Array, centroids: Array) -> Array:
    """Finds the centroid nearest to each vector.

    Args:
        vectors: `[M, D]`.
        centroids: `[C, D]`.

    Returns:
        int32 `[M]`, the lowest of equally near ones.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> nearest(jnp.array([[1.0, 0.0], [4.0, 4.0]]), jnp.array([[5.0, 5.0], [0.0, 0.0]]))
        Array([1, 0], dtype=int32)
    """
    _checks.rank("vectors", vectors, 2, "[M, D]")
    _checks.shape("centroids", centroids, (jnp.shape(centroids)[0], vectors.shape[1]))
    assign = lambda vector: jnp.argmax(_scores(vector[None], centroids)[0]).astype(jnp.int32)  # noqa: E731
    return lax.map(assign, vectors, batch_size=min(_BLOCK, vectors.shape[0]))


@partial(jax.jit, static_argnames=("num_clusters", "steps", "batch_size"))
def kmeans(key: Array, vectors: Array, num_clusters: int, *, steps: int = 100, batch_size: int = 8192) -> Array:
    """Finds centroids of clusters: a k-means++ start, then steps on mini-batches.

    A centroid is the mean of the vectors that chose it since it was placed. One that no vector of some batches chose
    is placed anew, on a vector drawn as k-means++ draws. The same key gives the same bits.

    Args:
        key: a random key.
        vectors: `[M, D]`, finite.
        num_clusters: C, at most M.
        steps: mini-batches.
        batch_size: vectors of one, drawn with replacement.

    Returns:
        `[C, D]` of the vectors' dtype.

    Raises:
        ValueError: if a size is below 1, or there are more clusters than vectors.

    Example:
        >>> centroids = kmeans(jax.random.key(0), jnp.array([[0.0], [0.1], [9.0]]), 2, batch_size=64)
        >>> sorted(centroids[:, 0].round().tolist())
        [0.0, 9.0]

    Reference: Arthur and Vassilvitskii 2007 (k-means++); Sculley 2010 (mini-batches).
    Departs from the paper: k-means++ draws from a sample of 16 C vectors; empty clusters start again.
    """
    _checks.rank("vectors", vectors, 2, "[M, D]")
    _checks.floats("vectors", vectors)
    for name, value in (("num_clusters", num_clusters), ("steps", steps), ("batch_size", batch_size)):
        _checks.positive(name, value)
    count = vectors.shape[0]
    if num_clusters > count:
        raise ValueError(f"num_clusters: expected at most {count}, the number of vectors, got {num_clusters}")
    patience = -(-16 * num_clusters // batch_size)  # batches in which an even cluster is chosen 16 times
    wide = jnp.promote_types(jnp.float32, vectors.dtype)  # of sums

    def step(carry: tuple[Array, Array, Array], number: Array) -> tuple[tuple[Array, Array, Array], None]:
        centroids, weights, recent = carry
        draw, redraw = jax.random.split(jax.random.fold_in(key, number + 1))
        batch = vectors[jax.random.randint(draw, (batch_size,), 0, count)]
        scores = _scores(batch, centroids.astype(batch.dtype))
        chosen = jnp.argmax(scores, axis=1)
        totals = jnp.zeros_like(centroids).at[chosen].add(batch.astype(wide))
        counts = jnp.zeros_like(weights).at[chosen].add(1)
        weights, recent = weights + counts, recent + counts
        totals -= counts[:, None].astype(wide) * centroids
        centroids += totals / jnp.maximum(weights, 1)[:, None].astype(wide)
        distances = jnp.sum(batch.astype(jnp.float32) ** 2, axis=1) - 2 * jnp.max(scores, axis=1)
        chances = jnp.log(jnp.maximum(distances, 0)) + jax.random.gumbel(redraw, (batch_size,))
        _, far = lax.top_k(chances, min(num_clusters, batch_size))
        ended = number % patience == patience - 1
        empty = ended & (recent == 0)
        rank = jnp.minimum(jnp.cumsum(empty) - 1, far.shape[0] - 1)
        centroids = jnp.where(empty[:, None], batch[far[rank]].astype(wide), centroids)
        return (centroids, jnp.where(empty, 0, weights), jnp.where(ended, 0, recent)), None

    zeros = jnp.zeros(num_clusters, jnp.int32)
    start = (_plus_plus(key, vectors, num_clusters).astype(wide), zeros, zeros)
    (centroids, _, _), _ = lax.scan(step, start, jnp.arange(steps))
    return centroids.astype(vectors.dtype)


def _plus_plus(key: Array, vectors: Array, num_clusters: int) -> Array:
    """Draws vectors one by one, each with a chance that grows with its squared distance from those before."""
    count = vectors.shape[0]
    size = min(16 * num_clusters, count)
    draws, sampling = jax.random.split(jax.random.fold_in(key, 0))
    sample = vectors[jax.random.permutation(sampling, count)[:size]]
    norms = jnp.sum(sample.astype(jnp.float32) ** 2, axis=1)

    def draw(distances: Array, uniform: Array) -> tuple[Array, Array]:
        cumulative = jnp.cumsum(distances)
        at = jnp.minimum(jnp.searchsorted(cumulative, uniform * cumulative[-1], side="right"), size - 1)
        products = jnp.matmul(sample, sample[at], preferred_element_type=jnp.float32)
        nearer = jnp.maximum(norms - 2 * products + norms[at], 0).at[at].set(0)
        return jnp.minimum(distances, nearer), at

    far = jnp.full(size, jnp.finfo(jnp.float32).max / size)
    _, at = lax.scan(draw, far, jax.random.uniform(draws, (num_clusters,)))
    return sample[at]
