# SPDX-License-Identifier: Apache-2.0
"""Vectors of words, one word after another, for layers that read sequences."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks
from memjax.nn import _weights
from memjax.typing import NUM_SPECIAL, PAD, Array


class Embedding(nnx.Module):
    """A vector for each token id; padding is zeros.

    Args:
        num_words: W; ids are those of a vocabulary of W words, 0 is padding and 1 is unknown.
        features: D.
        scale: initial values are uniform in [-scale, scale].
        param_dtype: of the vectors.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1.

    Attributes:
        table: `[W + 2, D]`; the row of padding is not used. Put pretrained vectors here.

    Example:
        >>> embed = Embedding(3, 4, rngs=nnx.Rngs(0))
        >>> embed(jnp.array([[2, 4, 0]])).shape
        (1, 3, 4)

    Departs from the paper: Cheng et al. 2016 do not state how vectors that are not pretrained start.
    """

    def __init__(
        self,
        num_words: int,
        features: int,
        *,
        scale: float = 0.1,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _weights.check_sizes(num_words=num_words, features=features)
        shape = (num_words + NUM_SPECIAL, features)
        self.table = nnx.Param(rngs.params.uniform(shape, param_dtype, -scale, scale))

    def __call__(self, tokens: Array) -> Array:
        """Looks words up.

        Args:
            tokens: token ids, int of any shape `[...]`. Ids of no word of this vocabulary mean nothing.

        Returns:
            `[..., D]`.

        Raises:
            ValueError: if they are no integers.
        """
        _checks.integers("tokens", tokens)
        vectors = self.table[...][tokens]
        return jnp.where((tokens != PAD)[..., None], vectors, jnp.zeros((), vectors.dtype))
