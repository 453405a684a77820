# SPDX-License-Identifier: Apache-2.0
"""Search: the K slots of a memory that score best, by one call for all ways to find them."""

from memjax.search._exact import exact
from memjax.search._hashed import hashed
from memjax.search._hits import Hits, Queries
from memjax.search._keys import Quantized, quantize
from memjax.search._probed import probed
from memjax.search._sharded import sharded
from memjax.search._sharded_write import sharded_index_write, sharded_write, sharded_write_many
from memjax.search._shards import shard_index, shard_memory

__all__ = [
    "Hits",
    "Quantized",
    "Queries",
    "exact",
    "hashed",
    "probed",
    "quantize",
    "shard_index",
    "shard_memory",
    "sharded",
    "sharded_index_write",
    "sharded_write",
    "sharded_write_many",
]
