# SPDX-License-Identifier: Apache-2.0
"""Memories of millions of slots."""

import jax.numpy as jnp
import numpy as np

from memjax.memory import Memory


def filled(keys: np.ndarray) -> Memory:
    """Returns a memory that holds `keys`, written one after another, with their numbers as values."""
    count = len(keys)
    slots, usage, total = jnp.arange(count, dtype=jnp.int32), jnp.zeros(count, jnp.float32), jnp.int32(count)
    return Memory(
        keys=jnp.asarray(keys), values=slots, times=slots, usage=usage, count=total, dropped=jnp.zeros((), jnp.int32)
    )
