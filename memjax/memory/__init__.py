# SPDX-License-Identifier: Apache-2.0
"""The memory and everything that writes it: G, the generalization part of a Memory Network.

A memory is a value, a frozen pytree of pre-allocated arrays. Writing returns a new memory, so `jit`, `vmap`, `grad`,
`scan`, donation and checkpoints apply to it as to any array. Give a memory away when you write to it
(`jax.jit(step, donate_argnums=0)`): a write then costs the same at 1,000 slots as at 1,000,000.

Example:
    >>> import jax.numpy as jnp
    >>> from memjax import memory
    >>> facts = memory.empty(3, key=jnp.zeros(2), value=jnp.zeros((), jnp.int32))
    >>> facts = memory.write(facts, jnp.array([0.0, 1.0]), jnp.int32(7))
    >>> facts = memory.write(facts, jnp.array([1.0, 0.0]), jnp.int32(8))
    >>> memory.valid(facts).tolist(), facts.values.tolist(), facts.times.tolist()
    ([True, True, False], [7, 8, 0], [0, 1, -1])
"""

from memjax.memory._memory import Memory, credit, empty, gather, map_keys, valid
from memjax.memory._merge import merge
from memjax.memory._slots import hashed_slot, least_used_slot, next_free_slot, next_slot, oldest_slot
from memjax.memory._write import forget, generalize, write, write_many

__all__ = [
    "Memory",
    "credit",
    "empty",
    "forget",
    "gather",
    "generalize",
    "hashed_slot",
    "least_used_slot",
    "map_keys",
    "merge",
    "next_free_slot",
    "next_slot",
    "oldest_slot",
    "valid",
    "write",
    "write_many",
]
