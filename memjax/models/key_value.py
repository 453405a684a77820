# SPDX-License-Identifier: Apache-2.0
"""The key-value Memory Network: memories are found by their keys, and what is read of them are their values."""

import dataclasses
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks
from memjax.addressing import SoftHops, soft_hops
from memjax.encoding import random_codes
from memjax.memory import Memory, map_keys
from memjax.models.memn2n import SoftAnswer
from memjax.scoring import inner_product
from memjax.typing import NUM_SPECIAL, Array

#: Which matrix embeds values.
ValueMatrix = Literal["A", "B"]


class KeyValueMemNN(nnx.Module):
    """p_i = softmax(A Phi(x) . A Phi(k_i)); o = sum_i p_i A Phi(v_i); R_j (q_j + o) next; q . B Phi(y) at the end.

    Questions, keys, values and candidate answers are bags of token ids. The first tokens have trained rows in A and in
    B. Others, if there are any, are names with a random code that is not trained, so that a name which training never
    met is read and answered as well as any.

    Args:
        num_tokens: W, all tokens.
        num_trained: T, the tokens with trained rows; they come first. All of them where it is None, as in the paper.
        features: d.
        hops: H.
        values: the matrix of values: A, as printed, or B, so that a value that was read matches the same answer.
        hop_matrices: whether hops have matrices R_j; q_j + o goes on as it is otherwise.
        code_scale: what codes of names are multiplied with before training, where they are values or answers.
        scale: deviation of the normal distribution that A and B start from.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is too small, there are more trained tokens than tokens, or a switch has no such value.

    Example:
        >>> from memjax.memory import empty, write
        >>> model = KeyValueMemNN(num_tokens=6, features=8, rngs=nnx.Rngs(0))
        >>> memory = empty(4, jnp.zeros(2, jnp.int32), jnp.zeros(1, jnp.int32))
        >>> memory = write(memory, jnp.array([2, 3]), jnp.array([4]))
        >>> answer = model(jnp.array([5, 2]), memory, candidates=jnp.array([[4], [6], [7]]))
        >>> answer.scores.shape, answer.hops.weights.shape
        ((3,), (2, 4))

    Reference: Miller et al. 2016, section 3.1.
    Departs from the paper: codes of names, `values="B"` and no `hop_matrices` are choices; R_j starts as the identity,
    the paper says nothing of it.
    """

    def __init__(
        self,
        num_tokens: int,
        num_trained: int | None = None,
        features: int = 128,
        *,
        hops: int = 2,
        values: ValueMatrix = "A",
        hop_matrices: bool = True,
        code_scale: float = 1.0,
        scale: float = 0.1,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        num_trained = num_tokens if num_trained is None else num_trained
        for name, size in {"num_trained": num_trained, "features": features, "hops": hops}.items():
            _checks.positive(name, size)
        _checks.one_of("values", values, get_args(ValueMatrix))
        if num_tokens < num_trained:
            raise ValueError(f"num_tokens: expected at least num_trained={num_trained}, got {num_tokens}")
        self.num_tokens, self.num_trained, self.features, self.hops = num_tokens, num_trained, features, hops
        self.values: ValueMatrix = values
        normal = jax.random.normal(rngs.params(), (2, num_trained, features), param_dtype)
        self.words = nnx.Param(scale * normal)  # [2, T, d]: A, B
        eye = jnp.broadcast_to(jnp.eye(features, dtype=param_dtype), (hops, features, features))
        self.between = nnx.Param(jnp.copy(eye)) if hop_matrices else None  # R_j
        coded = num_tokens > num_trained
        scales = (code_scale if values == "A" else 1.0, code_scale)
        self.code_scales = nnx.Param(jnp.asarray(scales, param_dtype)) if coded else None  # in A, in B

    def embed(self, matrix: ValueMatrix, tokens: Array) -> Array:
        """A Phi or B Phi of bags of tokens: `[..., d]` for ids `[..., S]`. Padding and unknown words count nowhere."""
        row = get_args(ValueMatrix).index(matrix)
        rows = self.words[row].at[jnp.clip(tokens - NUM_SPECIAL, 0, self.num_trained - 1)].get(mode="promise_in_bounds")
        trained = (tokens >= NUM_SPECIAL) & (tokens < NUM_SPECIAL + self.num_trained)
        vectors = jnp.where(trained[..., None], rows, 0).sum(axis=-2)
        if self.code_scales is None:
            return vectors
        # Where values are embedded as answers are, a name is another thing in a question than in an answer.
        ids = tokens + (self.num_tokens if row and self.values == "B" else 0)
        codes = random_codes(ids, self.features, self.words.dtype)
        coded = (tokens >= NUM_SPECIAL + self.num_trained) & (tokens < NUM_SPECIAL + self.num_tokens)
        return vectors + self.code_scales[row] * jnp.where(coded[..., None], codes, 0).sum(axis=-2)

    def __call__(self, question: Array, memory: Memory, candidates: Array) -> SoftAnswer:
        """Answers a question.

        Args:
            question: int `[S]`, token ids.
            memory: K slots, those that a hash found: keys int `[K, S']` and values int `[K, S'']`, token ids.
            candidates: int `[C, S'']`, token ids of possible answers.

        Returns:
            Scores of the candidates, and the weights of each slot at each hop. Of an empty memory zeros are read, and
            the question alone gives the scores.
        """
        hops = self.read(question, memory)
        return SoftAnswer(scores=self.embed("B", candidates) @ hops.query, hops=hops)

    def read(self, question: Array, memory: Memory) -> SoftHops:
        """The hops of a question, see `__call__`; q_{H+1} is their last query."""
        memory = map_keys(memory, lambda key: self.embed("A", key))
        memory = dataclasses.replace(memory, values=self.embed(self.values, memory.values))

        def follow(query: Array, found: Array, hop: int) -> Array:
            return query + found if self.between is None else self.between[hop] @ (query + found)

        return soft_hops(
            self.embed("A", question),
            memory,
            hops=self.hops,
            score_fn=lambda query, key, hop: inner_product(query, key),
            follow_fn=follow,
        )
