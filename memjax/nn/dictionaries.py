# SPDX-License-Identifier: Apache-2.0
"""Word embeddings with one dictionary for each role that a word can play."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks
from memjax.typing import Array

#: E(x): the sum of word vectors, two layers of tanh over it, or tanh of a sum of vectors that their places turn.
EmbeddingForm = Literal["linear", "nonlinear", "multilinear"]
#: What a word that is in both x and y adds to s(x, y): nothing, a weight lambda, or a feature of its own.
ExactMatch = Literal["none", "lambda", "features"]


class Dictionaries(nnx.Module):
    """U of the paper: an embedding of each word for each role, D = (number of roles) |W|.

    A word of the question, of a memory that was found and of a candidate memory are three features in the paper,
    each with a column of U of its own. What is embedded may have several parts, such as [x, m_o1], each in a role of
    its own: `embed` gives the sum U Phi of a part, the parts are added up, and `activate` makes E of them.

    Args:
        num_words: W.
        features: n, the embedding's size.
        roles: names of the roles, one dictionary each.
        form: `"linear"`, E(x) = U Phi; `"nonlinear"`, E(x) = tanh(V tanh(U Phi)); or `"multilinear"`,
            E(x) = tanh(sum_i P_p(i) U Phi(x_i)), with a matrix for each place p that a word can have.
        places: of `"multilinear"`, P_sz.
        exact_match: what words in both x and y add: see `match_exactly`.
        contexts: also hold dictionaries of the words that stand left and right of a word, for `with_unseen`: one pair
            for all roles, and one for the matching features.
        scale: deviation of the normal distribution that U starts from.
        param_dtype: of the weights.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, a role is named twice, there is no such form or match, or words are to match
            that are counted for each place.

    Example:
        >>> words = Dictionaries(5, 4, ("question", "candidate"), rngs=nnx.Rngs(0))
        >>> words.embed("question", jnp.ones(5)).shape
        (4,)
        >>> words.rows("candidate").shape
        (5, 4)

    Reference: Weston et al. 2015, sections 3.1, 3.5 and 3.6; Weston et al. 2016 (bAbI), appendix A.2, nonlinear
    embedding and multilinear map.
    Departs from the paper: it does not state the initial weights; V and each P_p start near the identity, and lambda,
    which is trained, from 1.
    """

    def __init__(
        self,
        num_words: int,
        features: int,
        roles: tuple[str, ...],
        *,
        form: EmbeddingForm = "linear",
        places: int = 1,
        exact_match: ExactMatch = "none",
        contexts: bool = False,
        scale: float = 0.1,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _checks.positive("num_words", num_words)
        _checks.positive("features", features)
        _checks.positive("places", places)
        _checks.one_of("form", form, get_args(EmbeddingForm))
        _checks.one_of("exact_match", exact_match, get_args(ExactMatch))
        if exact_match != "none" and form == "multilinear":
            raise ValueError(
                f"exact_match: expected 'none' with form 'multilinear', which tells places apart, got {exact_match!r}"
            )
        if len(set(roles)) != len(roles):
            raise ValueError(f"roles: expected different names, got {roles}")
        self.roles = (*roles, "match") if exact_match == "features" else tuple(roles)
        shape = (len(self.roles), num_words, features)
        self.weights = nnx.Param(scale * jax.random.normal(rngs.params(), shape, param_dtype))  # [roles, W, n]

        def near_identity(*shape: int) -> nnx.Param:
            noise = jax.random.normal(rngs.params(), shape, param_dtype) / features**0.5
            return nnx.Param(jnp.broadcast_to(jnp.eye(features, dtype=param_dtype), shape) + scale * noise)

        self.layer = near_identity(features, features) if form == "nonlinear" else None  # V [n, n]
        self.places = near_identity(places, features, features) if form == "multilinear" else None  # P [p, n, n]
        self.match_weight = nnx.Param(jnp.ones((), param_dtype)) if exact_match == "lambda" else None
        pairs = 2 if "match" in self.roles else 1
        self.contexts = (
            nnx.Param(scale * jax.random.normal(rngs.params(), (pairs, 2, num_words, features), param_dtype))
            if contexts
            else None
        )  # [pairs, 2, W, n]

    def with_unseen(self, unseen: Array, bags: Array) -> "Dictionaries":
        """Dictionaries in which a word that was never met is what stands around it.

        Args:
            unseen: bool `[W]`.
            bags: `[2, W, W]`, of `memjax.encoding.context_bags`; unseen words in them count nothing.

        Returns:
            The same dictionaries, but for the unseen words: their vectors are the sums of the context vectors of the
            words to their left and to their right, in every role.

        Raises:
            ValueError: if these hold no context dictionaries.

        Reference: Weston et al. 2015, section 3.5; 3.6 for `"match"`.
        """
        if self.contexts is None:
            raise ValueError("contexts: expected dictionaries with contexts=True for unseen words, got False")
        known = jnp.where(unseen, 0, bags)  # [2, W, W]
        rows = jnp.einsum("swv,psvn->pwn", known, self.contexts[...])  # [pairs, W, n]
        of_role = jnp.stack([rows[int(role == "match")] for role in self.roles])  # [roles, W, n]
        changed: Dictionaries = nnx.clone(self)
        changed.weights = nnx.Param(jnp.where(unseen[:, None], of_role, self.weights[...]))
        return changed

    def narrowed(self, features: Array) -> "Dictionaries":
        """The dictionaries of some features only.

        Args:
            features: int `[W']`, which.

        Example:
            >>> words = Dictionaries(5, 4, ("question",), rngs=nnx.Rngs(0))
            >>> words.narrowed(jnp.array([0, 3])).rows("question").shape
            (2, 4)
        """
        changed: Dictionaries = nnx.clone(self)
        changed.weights = nnx.Param(self.weights[...][:, features])
        if self.contexts is not None:
            changed.contexts = nnx.Param(self.contexts[...][:, :, features])
        return changed

    def _of(self, role: str) -> Array:
        _checks.one_of("role", role, self.roles)
        return self.weights[self.roles.index(role)]  # [W, n]

    def embed(self, role: str, bag: Array) -> Array:
        """Embeds features: U Phi.

        Args:
            role: which dictionary.
            bag: `[..., W]`, word counts; `[..., p W]`, counts for each place, with `"multilinear"`.

        Returns:
            `[..., n]`.
        """
        if self.places is None:
            return bag @ self._of(role)
        num_words, features = self._of(role).shape
        by_place = bag.reshape(*bag.shape[:-1], -1, num_words) @ self._of(role)  # [..., p, n]
        size = by_place.shape[-2] * features
        return by_place.reshape(*bag.shape[:-1], size) @ self.places[...].reshape(size, features)

    def rows(self, role: str) -> Array:
        """U Phi of each word as a sentence of its own, `[W, n]`."""
        return self._of(role) if self.places is None else self._of(role) @ self.places[-1]

    def activate(self, vector: Array) -> Array:
        """E of the sum of `embed` over the parts, `[..., n]`."""
        if self.layer is not None:
            return jnp.tanh(jnp.tanh(vector) @ self.layer[...])
        return vector if self.places is None else jnp.tanh(vector)

    def match(self, role: str, vector: Array) -> Array:
        """Scores each word against an embedded query: E(w) . E(x).

        Args:
            role: which dictionary.
            vector: `[..., n]`, E(x).

        Returns:
            `[..., W]`.
        """
        return vector @ self.activate(self.rows(role)).T

    def match_exactly(self, vector: Array, bag: Array) -> Array | None:
        """What each word adds to a score for being in x as well.

        Args:
            vector: `[..., n]`, E(x).
            bag: `[..., W]`, counts of the words of x.

        Returns:
            `[..., W]`: lambda Phi_x(x), or the score of a word's matching feature where it is in x; None without exact
            matches. Its product with the bag of y adds to s(x, y).

        Reference: Weston et al. 2015, section 3.6, both ways.
        Departs from the paper: a word that y has twice has its matching feature twice.
        """
        if self.match_weight is not None:
            return self.match_weight * bag
        return jnp.where(bag > 0, vector @ self._of("match").T, 0) if "match" in self.roles else None
