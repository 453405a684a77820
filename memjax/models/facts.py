# SPDX-License-Identifier: Apache-2.0
"""The Memory Network over a knowledge base: each triple is a memory, and names are matched whether seen or not."""

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax.typing import DTypeLike

from memjax import _checks
from memjax.encoding import random_codes
from memjax.typing import NUM_SPECIAL, Array

#: What a token matches itself with, before training: words, and phrase tokens.
INITIAL_MATCH = (1.0, 8.0)


@struct.dataclass
class FactQuery:
    """[x, m_o1, ..]: a question and the facts found so far.

    Attributes:
        embedded: U_x Phi(x), and what was found in its own dictionary.
        tokens: ids that a memory can match exactly.
        weights: what each of them adds to the score of a memory that holds it.
    """

    embedded: Array  # [n]
    tokens: Array  # int32 [S]
    weights: Array  # [S]


class FactMemNN(nnx.Module):
    """Scores the facts of a knowledge base, s(x, m) = sum of w over the token ids of m, one hop after another.

    w = U_y^T U_x Phi(x) + lambda Phi(x) is a vector over the vocabulary, so that a memory needs no embedding: `vector`
    gives it to a search. Words and relations have trained embeddings, which begin alike in both dictionaries; a phrase
    token, one for each name, has a random code that is not trained, so that a name that training never met matches
    itself as well as any other.

    Args:
        num_tokens: W, all tokens.
        num_trained: T, the tokens with embeddings of their own; they come first.
        num_steps: kinds of steps from an entity to another: relation and side.
        features: n, size of the embeddings.
        match: whether exact matches count, lambda Phi(x)^T Phi(y); embeddings alone otherwise.
        code_scale: what a phrase's code matches itself with, before training.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, or there are more trained tokens than tokens.

    Example:
        >>> model = FactMemNN(num_tokens=9, num_trained=5, num_steps=2, features=8, rngs=nnx.Rngs(0))
        >>> query = model.query(jnp.array([2, 3, 8]))                    # two words and a phrase
        >>> model.score(query, jnp.array([[8, 4, 9], [10, 4, 9]])).argmax()
        Array(0, dtype=int32)
        >>> model.vector(query).shape
        (9,)

    Reference: Weston et al. 2015, sections 3.1, 3.6 (exact matches) and 5.1.
    Departs from the paper: phrase tokens and their codes (after Bordes et al. 2014, whose facts are symbols of
    entities and relations); lambda is trained, one for words and one for phrases; a fact that was found adds its step
    from a dictionary of its own, its open side with a trained weight, and its known side with another one.
    """

    def __init__(
        self,
        num_tokens: int,
        num_trained: int,
        num_steps: int,
        features: int = 128,
        *,
        match: bool = True,
        code_scale: float = 3.0,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        for name, size in {"num_trained": num_trained, "num_steps": num_steps, "features": features}.items():
            _checks.positive(name, size)
        if num_tokens < num_trained:
            raise ValueError(f"num_tokens: expected at least num_trained={num_trained}, got {num_tokens}")
        self.num_tokens = num_tokens
        self.num_trained = num_trained
        self.features = features
        self.match = match
        # The same weights in both dictionaries: a word matches itself before it is trained.
        start = jax.random.normal(rngs.params(), (num_trained, features), param_dtype) / features**0.5
        self.words = nnx.Param(jnp.stack([start, start]))  # [2, T, n]: of the question, of a memory
        steps = 0.1 * jax.random.normal(rngs.params(), (num_steps, features), param_dtype)
        self.steps = nnx.Param(steps)  # [steps, n]
        self.code_scale = nnx.Param(jnp.asarray(code_scale, param_dtype))
        self.follow_weights = nnx.Param(jnp.asarray([1.0, -1.0], param_dtype))  # open side, known side
        self.match_weights = nnx.Param(jnp.asarray(INITIAL_MATCH, param_dtype)) if match else None

    def query(self, tokens: Array) -> FactQuery:
        """The query of the first hop.

        Args:
            tokens: int `[S]`, the question.
        """
        return FactQuery(self._embed(0, tokens), tokens, self._match(tokens))

    def follow(self, query: FactQuery, step: Array, open_tokens: Array, known_tokens: Array) -> FactQuery:
        """The query of the next hop, [x, m_o1]: away from the entity that was known, on to the one that was found.

        Args:
            query: of this hop.
            step: int scalar, relation and side of the fact that was found.
            open_tokens: int `[S']`, the name of the entity that it leads to.
            known_tokens: int `[S']`, the name of the entity that it was found by.

        Returns:
            A query with 2 S' more tokens.
        """
        names = jnp.stack([open_tokens, known_tokens])
        weights = self.follow_weights[...]
        embedded = jax.vmap(lambda tokens: self._embed(0, tokens))(names)  # [2, n]
        return FactQuery(
            query.embedded + self.steps[step] + weights @ embedded,
            jnp.concatenate([query.tokens, names.ravel()]),
            jnp.concatenate([query.weights, (weights[:, None] * self._match(names)).ravel()]),
        )

    def score(self, query: FactQuery, keys: Array) -> Array:
        """Scores memories, without a vector over the vocabulary.

        Args:
            query: a query.
            keys: int `[K, S]`, their token ids.

        Returns:
            `[K]`.
        """
        scores = jax.vmap(lambda key: self._embed(1, key))(keys) @ query.embedded
        if self.match_weights is None:
            return scores
        same = (keys[:, :, None] == query.tokens[None, None]) & (keys >= NUM_SPECIAL)[:, :, None]
        return scores + jnp.sum(same * query.weights[None, None], axis=(1, 2))

    def vector(self, query: FactQuery) -> Array:
        """w: what each token of the vocabulary adds to the score of a memory.

        Args:
            query: a query.

        Returns:
            `[W]`; token t is at t - 2.
        """
        vector = self.token_vectors() @ query.embedded  # [W]
        if self.match_weights is None:
            return vector
        known = query.tokens >= NUM_SPECIAL
        places = jnp.where(known, query.tokens - NUM_SPECIAL, self.num_tokens)
        return vector.at[places].add(jnp.where(known, query.weights, 0), mode="drop")

    def token_vectors(self) -> Array:
        """U_y: the embedding of each token of a memory, `[W, n]`; token t is at t - 2. Cluster hashes take them."""
        phrases = jnp.arange(self.num_trained, self.num_tokens) + NUM_SPECIAL
        return jnp.concatenate([self.words[1], random_codes(phrases, self.features, self.words.dtype)])

    def _embed(self, role: int, tokens: Array) -> Array:
        """The sum of the embeddings `[n]` of tokens `[S]`, for the question (role 0) or a memory (1)."""
        weights = self.words[role]
        is_word = (tokens >= NUM_SPECIAL) & (tokens < NUM_SPECIAL + self.num_trained)
        rows = weights.at[jnp.clip(tokens - NUM_SPECIAL, 0, self.num_trained - 1)].get(mode="promise_in_bounds")
        words = jnp.where(is_word[:, None], rows, 0).sum(axis=0)
        is_phrase = tokens >= NUM_SPECIAL + self.num_trained
        codes = jnp.where(is_phrase[:, None], random_codes(tokens, self.features, weights.dtype), 0).sum(axis=0)
        return words + (self.code_scale[...] * codes if role == 0 else codes)

    def _match(self, tokens: Array) -> Array:
        """lambda of each token; 0 for padding, unknown words, and without exact matches."""
        if self.match_weights is None:
            return jnp.zeros(tokens.shape, self.words.dtype)
        word, phrase = self.match_weights[0], self.match_weights[1]
        weights = jnp.where(tokens >= NUM_SPECIAL + self.num_trained, phrase, word)
        return jnp.where(tokens >= NUM_SPECIAL, weights, 0)
