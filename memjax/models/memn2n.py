# SPDX-License-Identifier: Apache-2.0
"""The end-to-end Memory Network: it learns what to read from the answers alone."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax.typing import DTypeLike

from memjax import _checks
from memjax.addressing import SoftHops, row_hops, weigh_linear, weigh_softmax
from memjax.encoding import PositionForm, position_bags, position_line
from memjax.memory import Memory
from memjax.nn import Activation, rectify
from memjax.typing import Array

#: Which matrices hops have in common.
Tying = Literal["adjacent", "layerwise"]


@struct.dataclass
class SoftAnswer:
    """What an end-to-end Memory Network answers.

    Attributes:
        scores: of each word of the vocabulary, before the softmax.
        hops: what each hop read.
    """

    scores: Array  # [W]
    hops: SoftHops


class MemN2N(nnx.Module):
    """An end-to-end Memory Network: m_i = A x_i, c_i = C x_i, u = B q; p = softmax(u . m); u + sum_i p_i c_i next.

    Sentences enter as `position_bags`, two counts of their words, and stories as rows of a table of different
    sentences: each is embedded once, and slots look their score up, so that no array grows with questions, slots and
    features together.

    Args:
        num_words: W; each answer is one of them.
        features: d.
        hops: K.
        num_ages: how many slots back a statement can be told from others by its age; older ones share the last row of
            T_A and T_C. 0: no temporal encoding.
        position: how words count by their place, see `memjax.encoding.position_bags`.
        longest: words of the longest sentence, and one more for its age, for `position="released"`.
        tying: `"adjacent"`, A of a hop is C of the one before it, B is the first A, and W the last C; or
            `"layerwise"`, all A are one and all C are one, a matrix H takes u from hop to hop, B and W are their own.
        activation: ReLU of no units of u after a hop, of half of them, or of all.
        nil_slots: stories are filled up to so many slots with null sentences, which have a score of 0, and nothing to
            read, and take their part of the softmax. 0: no null sentences.
        scale: deviation of the normal distribution that all weights start from.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is too small, or a switch has no such value.

    Example:
        >>> from memjax.memory import empty, write
        >>> model = MemN2N(num_words=6, features=8, rngs=nnx.Rngs(0))
        >>> sentence = jnp.array([2, 3, 4])
        >>> memory = write(empty(4, model.embed(sentence), sentence), model.embed(sentence), sentence)
        >>> answer = model(jnp.array([5, 2]), memory)
        >>> answer.scores.shape, answer.hops.weights.shape
        ((6,), (3, 4))

    Reference: Sukhbaatar et al. 2015, sections 2 and 4.1.
    Departs from the paper: `position="released"` is what the authors' code does.
    """

    def __init__(
        self,
        num_words: int,
        features: int = 20,
        *,
        hops: int = 3,
        num_ages: int = 50,
        position: PositionForm = "printed",
        longest: int = 1,
        tying: Tying = "adjacent",
        activation: Activation = "none",
        nil_slots: int = 0,
        scale: float = 0.1,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        for name, size in {"num_words": num_words, "features": features, "hops": hops, "longest": longest}.items():
            _checks.positive(name, size)
        _checks.at_least_zero("num_ages", num_ages)
        _checks.at_least_zero("nil_slots", nil_slots)
        _checks.one_of("position", position, get_args(PositionForm))
        _checks.one_of("tying", tying, get_args(Tying))
        _checks.one_of("activation", activation, get_args(Activation))
        self.num_words, self.features, self.hops, self.num_ages = num_words, features, hops, num_ages
        self.position: PositionForm = position
        self.longest, self.tying, self.activation, self.nil_slots = longest, tying, activation, nil_slots
        adjacent = tying == "adjacent"
        #: Which matrices are A and C of each hop, B and W.
        self.inputs = tuple(range(hops)) if adjacent else (0,) * hops
        self.outputs = tuple(range(1, hops + 1)) if adjacent else (1,) * hops
        self.question, self.answer = (0, hops) if adjacent else (2, 3)

        def normal(*shape: int) -> nnx.Param:
            return nnx.Param(scale * jax.random.normal(rngs.params(), shape, param_dtype))

        self.words = normal(hops + 1 if adjacent else 4, num_words, features)  # [L, W, d]
        self.ages = normal(hops + 1 if adjacent else 2, num_ages, features) if num_ages else None  # [L', ages, d]
        self.between = None if adjacent else normal(features, features)  # H

    def bags(self, tokens: Array) -> Array:
        """I: two counts of the words of a sentence, `[2, W]` for tokens `[S]`."""
        return position_bags(tokens, self.num_words, self.position, self.longest, self.words.dtype)

    def embed_bags(self, bags: Array) -> Array:
        """A sentence by each matrix: `[..., L, d]` for bags `[..., 2, W]`."""
        line = position_line(self.features, self.position, self.words.dtype)
        once, along = (jnp.einsum("...w,lwd->...ld", bags[..., part, :], self.words[...]) for part in (0, 1))
        return once + along * jnp.expand_dims(line, range(along.ndim - 1))

    def embed(self, tokens: Array) -> Array:
        """The key of a slot, `[L, d]`: what its sentence, tokens `[S]`, is for each hop, but for its age."""
        return self.embed_bags(self.bags(tokens))

    def __call__(self, question: Array, memory: Memory, linear: Array | bool = False) -> SoftAnswer:
        """Answers a question.

        Args:
            question: int `[S]`, token ids.
            memory: N slots with keys of `embed`; the latest write is the youngest.
            linear: whether hops go without their softmax, as at the start of training.

        Returns:
            Scores of the words, and the weights of each slot at each hop.
        """
        rows = jnp.arange(memory.num_slots, dtype=jnp.int32)
        younger = jnp.argsort(jnp.argsort(-memory.times)).astype(jnp.int32)
        ages = jnp.where(memory.times >= 0, younger, 0)  # not from the count: writes may have been dropped
        found = memory.replace(keys={"row": rows, "age": ages}, values={"row": rows, "age": ages})  # type: ignore[attr-defined]
        return self.read(self.bags(question), found, memory.keys, linear)

    def read(self, question: Array, memory: Memory, sentences: Array, linear: Array | bool = False) -> SoftAnswer:
        """Answers a question about a story that is rows of a table of sentences.

        Args:
            question: `[2, W]`, of `bags`.
            memory: N slots, keys and values `{"row": int32 [N], "age": int32 [N]}`: which sentence, and how many are
                younger.
            sentences: `[M, L, d]`, the different sentences, of `embed_bags`.
            linear: see `__call__`.

        Returns:
            See `__call__`.
        """
        sentences = jnp.moveaxis(sentences, 1, 0)  # [L, M, d]

        def weigh(scores: Array, where: Array) -> Array:
            nil = jnp.maximum(self.nil_slots - where.sum(), 0).astype(scores.dtype)
            return jnp.where(linear, weigh_linear(scores, where), weigh_softmax(scores, where, nil))

        def follow(query: Array, found: Array, hop: int) -> Array:
            query = (query if self.between is None else query @ self.between[...]) + found
            return rectify(query, self.activation)

        hops = row_hops(
            self.embed_bags(question)[self.question],
            memory,
            [sentences[matrix] for matrix in self.inputs],
            [sentences[matrix] for matrix in self.outputs],
            follow_fn=follow,
            input_ages=None if self.ages is None else [self.ages[matrix] for matrix in self.inputs],
            output_ages=None if self.ages is None else [self.ages[matrix] for matrix in self.outputs],
            weigh_fn=weigh,
        )
        return SoftAnswer(scores=self.words[self.answer] @ hops.query, hops=hops)
