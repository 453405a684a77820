# SPDX-License-Identifier: Apache-2.0
"""K-means over word vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import hashing


def blobs(rng, count=300, clusters=6, features=4):
    centers = 10 * rng.standard_normal((clusters, features))
    return jnp.asarray(
        centers[rng.integers(0, clusters, count)] + 0.1 * rng.standard_normal((count, features)), jnp.float32
    )


def error(vectors, centroids):
    return float(jnp.mean(jnp.sum((vectors - centroids[hashing.nearest(vectors, centroids)]) ** 2, axis=1)))


def test_nearest_equals_a_loop():
    rng = np.random.default_rng(0)
    vectors, centroids = (rng.standard_normal((count, 3)).astype(np.float32) for count in (50, 7))
    expected = [int(np.argmin([np.sum((x - c) ** 2) for c in centroids])) for x in vectors]
    assert hashing.nearest(jnp.asarray(vectors), jnp.asarray(centroids)).tolist() == expected


def test_kmeans_finds_clusters_and_repeats_its_bits():
    vectors = blobs(np.random.default_rng(1))
    run = lambda seed: hashing.kmeans(jax.random.key(seed), vectors, 6, steps=20, batch_size=64)  # noqa: E731
    centroids = run(0)
    assert error(vectors, centroids) < 0.1
    np.testing.assert_array_equal(centroids, run(0))
    assert not np.array_equal(centroids, run(1))


def test_empty_clusters_start_again(monkeypatch):
    from memjax.hashing import _clusters

    rng = np.random.default_rng(2)
    vectors = blobs(rng, clusters=4)
    same = lambda key, vectors, count: jnp.broadcast_to(vectors[:1], (count, vectors.shape[1]))  # noqa: E731
    monkeypatch.setattr(_clusters, "_plus_plus", same)
    jax.clear_caches()
    centroids = hashing.kmeans(jax.random.key(0), vectors, 4, steps=30, batch_size=32)
    jax.clear_caches()
    assert error(vectors, centroids) < 1 and len(set(hashing.nearest(vectors, centroids).tolist())) == 4


@pytest.mark.thorough
def test_cluster_buckets_hold_exact_matches_and_neighbours():
    vectors = blobs(np.random.default_rng(3), count=40)
    buckets = hashing.cluster_buckets(jax.random.key(0), vectors, 6)
    assert buckets.shape == (42,) and buckets[:2].tolist() == [-1, -1]
    near = np.sum((vectors[:, None] - vectors[None]) ** 2, axis=-1) < 1
    np.testing.assert_array_equal(near, buckets[2:, None] == buckets[None, 2:])


def test_bad_input_is_refused():
    vectors = jnp.ones((3, 2))
    with pytest.raises(ValueError, match="num_clusters: expected at most 3, the number of vectors, got 4"):
        hashing.kmeans(jax.random.key(0), vectors, 4)
    with pytest.raises(ValueError, match="steps: expected an integer of at least 1, got 0"):
        hashing.kmeans(jax.random.key(0), vectors, 2, steps=0)
    with pytest.raises(ValueError, match=r"centroids: expected shape \(1, 2\)"):
        hashing.nearest(vectors, jnp.ones((1, 3)))
    with pytest.raises(ValueError, match="vectors: expected floats"):
        hashing.kmeans(jax.random.key(0), jnp.ones((3, 2), jnp.int32), 2)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_centroids_are_means_in_any_dtype(dtype):
    vectors = jnp.asarray(np.repeat([[100.0, 100.0], [500.0, 500.0]], 500, axis=0), dtype)  # sums do not fit float16
    centroids = hashing.kmeans(jax.random.key(0), vectors, 2)
    assert centroids.dtype == dtype
    assert sorted(centroids.astype(jnp.float32)[:, 0].tolist()) == [100.0, 500.0]
