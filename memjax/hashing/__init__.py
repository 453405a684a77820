# SPDX-License-Identifier: Apache-2.0
"""Hashing: which slots are worth scoring. Words, or clusters of words, have buckets; an index lists what is in each.

Example:
    >>> import jax.numpy as jnp
    >>> from memjax import hashing, memory as mm
    >>> facts = mm.empty(100, key=jnp.zeros(3, jnp.int32), value=jnp.int32(0))
    >>> index = hashing.empty(facts, hashing.word_buckets(50), num_words=3)
    >>> facts, index = hashing.write(facts, index, jnp.array([7, 9, 0]), jnp.int32(1))
    >>> int(index.tail_count)
    1
"""

from memjax.hashing._clusters import cluster_buckets, kmeans, nearest, word_buckets
from memjax.hashing._index import Index, buckets_of, build, empty, merge, write
from memjax.hashing._lists import Lists, build_lists, write_to_lists

__all__ = [
    "Index",
    "Lists",
    "build",
    "build_lists",
    "buckets_of",
    "cluster_buckets",
    "empty",
    "kmeans",
    "merge",
    "nearest",
    "word_buckets",
    "write",
    "write_to_lists",
]
