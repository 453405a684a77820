# SPDX-License-Identifier: Apache-2.0
"""Word embeddings with one dictionary for each role that a word can play."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks
from memjax.typing import Array


class Dictionaries(nnx.Module):
    """U of the paper: an embedding of each word for each role, D = (number of roles) |W|.

    A word of the question, of a memory that was found and of a candidate memory are three features in the paper,
    each with a column of U of its own.

    Args:
        num_words: W.
        features: n, the embedding's size.
        roles: names of the roles, one dictionary each.
        scale: deviation of the normal distribution that the weights start from.
        param_dtype: of the weights.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, or a role is named twice.

    Example:
        >>> words = Dictionaries(5, 4, ("question", "candidate"), rngs=nnx.Rngs(0))
        >>> words.embed("question", jnp.ones(5)).shape
        (4,)
        >>> words.match("candidate", jnp.ones(4)).shape
        (5,)

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: it does not state the initial weights.
    """

    def __init__(
        self,
        num_words: int,
        features: int,
        roles: tuple[str, ...],
        *,
        scale: float = 0.1,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _checks.positive("num_words", num_words)
        _checks.positive("features", features)
        if len(set(roles)) != len(roles):
            raise ValueError(f"roles: expected different names, got {roles}")
        self.roles = tuple(roles)
        shape = (len(roles), num_words, features)
        self.weights = nnx.Param(scale * jax.random.normal(rngs.params(), shape, param_dtype))  # [roles, W, n]

    def _of(self, role: str) -> Array:
        _checks.one_of("role", role, self.roles)
        return self.weights[self.roles.index(role)]  # [W, n]

    def embed(self, role: str, bag: Array) -> Array:
        """Embeds features: U Phi.

        Args:
            role: which dictionary.
            bag: `[..., W]`, word counts.

        Returns:
            `[..., n]`.
        """
        return bag @ self._of(role)

    def match(self, role: str, vector: Array) -> Array:
        """Scores each word of a dictionary against a vector: U^T v.

        The score of a bag of words is the sum of its words' scores, so this takes a query to the words once,
        whatever the number of memories.

        Args:
            role: which dictionary.
            vector: `[..., n]`.

        Returns:
            `[..., W]`.
        """
        return vector @ self._of(role).T
