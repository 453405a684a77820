# SPDX-License-Identifier: Apache-2.0
"""Exact search of a memory whose keys are token ids, by a vector over the vocabulary for each query."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from memjax import memory as memory_lib
from memjax.memory import Memory
from memjax.typing import NUM_SPECIAL, Array

#: Slots of one step of the scan, and of one group of it.
_BLOCK, _GROUP = 4096, 64


@struct.dataclass
class Queries:
    """What to search by: `vector[:, t - 2]` is what token t adds to the score of a slot."""

    vector: Array  # [Q, W]


@struct.dataclass
class Hits:
    """The best slots of each query, best first."""

    scores: Array  # [Q, K]
    slots: Array  # int32 [Q, K]
    valid: Array  # bool [Q, K]


def exact(k: int) -> Callable[[Queries, Memory], Hits]:
    """Makes the search for the k best slots.

    The scan keeps the best score of each group of slots; the k best groups hold the k best slots.
    """

    def search(queries: Queries, memory: Memory) -> Hits:
        keys = memory.keys  # [N, S]
        num_queries, num_slots = queries.vector.shape[0], keys.shape[0]
        size = -(-num_slots // _BLOCK) * _BLOCK if num_slots > _BLOCK else -(-num_slots // _GROUP) * _GROUP
        block = min(_BLOCK, size)
        keys = jnp.pad(keys, ((0, size - num_slots), (0, 0)))
        valid = jnp.pad(memory_lib.valid(memory), (0, size - num_slots))
        # Padding and unknown words add 0; tokens lead, so that a row is contiguous for all queries.
        table = jnp.pad(queries.vector, ((0, 0), (NUM_SPECIAL, 0))).T  # [V, Q]

        def best_of_groups(_: None, part: tuple[Array, Array]) -> tuple[None, Array]:
            keys, valid = part
            scores = sum((table[keys[:, s]] for s in range(keys.shape[1])), jnp.zeros((block, num_queries)))
            scores = jnp.where(valid[:, None], scores, -jnp.inf)
            return None, scores.reshape(block // _GROUP, _GROUP, num_queries).max(axis=1)

        parts = (keys.reshape(-1, block, keys.shape[1]), valid.reshape(-1, block))
        _, groups = jax.lax.scan(best_of_groups, None, parts)
        groups = groups.reshape(-1, num_queries).T  # [Q, N / 64]
        _, chosen = jax.lax.top_k(groups, min(k, groups.shape[1]))
        slots = (chosen[:, :, None] * _GROUP + jnp.arange(_GROUP)[None, None]).reshape(num_queries, -1)
        found = jax.vmap(lambda vector, slots: vector[keys[slots]].sum(axis=-1))(table.T, slots)
        found = jnp.where(valid[slots], found, -jnp.inf)
        missing = max(k - found.shape[1], 0)
        scores, places = jax.lax.top_k(jnp.pad(found, ((0, 0), (0, missing)), constant_values=-jnp.inf), k)
        slots = jnp.take_along_axis(jnp.pad(slots, ((0, 0), (0, missing))), places, axis=1)
        return Hits(scores=scores, slots=slots.astype(jnp.int32), valid=scores > -jnp.inf)

    return search
