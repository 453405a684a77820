# SPDX-License-Identifier: Apache-2.0
"""I, the input feature map: from tokens to features."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from memjax import _checks
from memjax.typing import NUM_SPECIAL, Array


def bag_of_words(tokens: Array, num_words: int, dtype: DTypeLike = jnp.float32) -> Array:
    """Counts each word of a sentence: the features Phi of the paper's text model.

    Unbatched; lift with `jax.vmap` for many sentences. Padding and unknown words count nowhere, so a sentence
    without known words is the zero vector.

    Args:
        tokens: int `[S]`, ids as `memjax.data.Vocabulary` gives them: 0 padding, 1 unknown, then the words.
        num_words: W, the number of words with features of their own.
        dtype: of the result.

    Returns:
        `[W]` of `dtype`, the count of each word.

    Raises:
        ValueError: if `tokens` has another rank, or `num_words` is below 1.

    Example:
        >>> bag_of_words(jnp.array([2, 4, 2, 1, 0]), num_words=3)
        Array([2., 0., 1.], dtype=float32)

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: nothing; its unseen words (section 3.5) are left out of the bag here.
    """
    _checks.positive("num_words", num_words)
    _checks.rank("tokens", tokens, 1, "[S]")
    return jax.nn.one_hot(tokens - NUM_SPECIAL, num_words, dtype=dtype).sum(axis=0)  # [W]
