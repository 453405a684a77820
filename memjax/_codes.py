# SPDX-License-Identifier: Apache-2.0
"""8-bit codes of vectors, as inverted lists store and searches read them."""

import jax.numpy as jnp

from memjax.typing import Array

#: Rows of codes that are read at once, and rows beyond the last list, so that a block of them never begins too late.
PADDING = 512


def round_to_codes(vector: Array) -> tuple[Array, Array]:
    """Rounds a vector `[D]` to 8 bits: int8 codes `[D]` and their scale. A NaN in it makes the scale NaN."""
    scale = jnp.max(jnp.abs(vector), initial=0).astype(jnp.float32) / 127
    codes = jnp.round(vector.astype(jnp.float32) / jnp.where(scale > 0, scale, 1))
    return jnp.nan_to_num(codes).astype(jnp.int8), scale
