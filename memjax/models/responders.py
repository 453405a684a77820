# SPDX-License-Identifier: Apache-2.0
"""R, the response: a supporting sentence, or words chosen by their scores."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks
from memjax import memory as memory_lib
from memjax.memory import Memory
from memjax.nn import Dictionaries, EmbeddingForm, ExactMatch
from memjax.typing import NUM_SPECIAL, PAD, Array, PyTree


def supporting_memory(memory: Memory, slots: Array, which: Literal["first", "last"] = "last") -> PyTree:
    """Answers with a memory that was found, as it is stored: r = m_ok.

    Args:
        memory: N slots.
        slots: int32 `[P]`, what `memjax.addressing.hard_hops` found; -1 where a hop found nothing.
        which: the first memory found, or the last.

    Returns:
        The value of that slot; zeros where nothing was found.

    Raises:
        ValueError: if `which` is neither.

    Example:
        >>> from memjax.memory import empty, write
        >>> memory = write(empty(2, jnp.zeros(1), jnp.int32(0)), jnp.ones(1), jnp.int32(5))
        >>> supporting_memory(memory, jnp.array([0, -1]))
        Array(5, dtype=int32)

    Reference: Weston et al. 2015, section 3.1.
    """
    _checks.one_of("which", which, ("first", "last"))
    at = 0 if which == "first" else _last(slots >= 0)
    return jax.tree.map(lambda leaf: leaf[0], memory_lib.gather(memory, slots[at][None]).values)


def _last(found: Array) -> Array:
    """Index of the last hop that found a memory, or 0."""
    return jnp.maximum(found.sum() - 1, 0)


class WordResponder(nnx.Module):
    """R as words: r = argmax_w s_R([x, m_o1, .., m_ok], w) over all known words.

    With `max_words` above 1 it answers with several: each word is conditioned on the words so far, until the stop
    word w_0 wins.

    Args:
        num_words: W.
        features: n, size of the embeddings.
        max_words: of an answer.
        last_support: whether the memory found last has a dictionary of its own. Without it a bag cannot tell the
            memory that holds the answer from those that led there.
        num_ngrams: features beyond the words, which are no answers.
        form: of the embedding, see `memjax.nn.Dictionaries`.
        places: of the form `"multilinear"`.
        exact_match: what words in x add as answers.
        contexts: hold dictionaries for words never met.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, or there is no such form or match.

    Example:
        >>> respond = WordResponder(5, 4, rngs=nnx.Rngs(0))
        >>> respond(jnp.ones(5), jnp.zeros((2, 5)), jnp.array([False, False])).shape
        (1,)

    Reference: Weston et al. 2015, equation 4, sections 3.5 and 3.6; Weston et al. 2016 (bAbI), appendix A.2.
    Departs from the paper: `last_support`; the words so far have a dictionary of their own, which it leaves open.
    """

    def __init__(
        self,
        num_words: int,
        features: int,
        *,
        max_words: int = 1,
        last_support: bool = True,
        num_ngrams: int = 0,
        form: EmbeddingForm = "linear",
        places: int = 1,
        exact_match: ExactMatch = "none",
        contexts: bool = False,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _checks.positive("max_words", max_words)
        self.num_words = num_words
        self.max_words = max_words
        self.last_support = last_support
        roles = ["question", "support", "response"]
        roles += ["last_support"] if last_support else []
        roles += ["answered"] if max_words > 1 else []
        self.words = Dictionaries(
            num_words + num_ngrams,
            features,
            tuple(roles),
            form=form,
            places=places,
            exact_match=exact_match,
            contexts=contexts,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self.stop_word = (
            nnx.Param(0.1 * jax.random.normal(rngs.params(), (features,), param_dtype)) if max_words > 1 else None
        )

    def scores(self, question: Array, supports: Array, found: Array, answered: Array) -> Array:
        """s_R([x, m_o1, .., m_ok, the words so far], w) for each word w.

        Args:
            question: `[F]`, features of x.
            supports: `[P, F]`, features of the memories found, in the order of the hops.
            found: bool `[P]`, the hops that found one; those come first.
            answered: `[W]`, the words so far; not looked at with `max_words=1`.

        Returns:
            `[W]`, and the score of the stop word as element W with `max_words` above 1.
        """
        supports = jnp.where(found[:, None], supports, 0)
        everything = supports.sum(axis=0)  # [F]
        query = self.words.embed("question", question)
        if self.last_support:
            last = supports[_last(found)]
            query = query + self.words.embed("support", everything - last) + self.words.embed("last_support", last)
        else:
            query = query + self.words.embed("support", everything)
        if self.stop_word is not None:
            query = query + answered @ self.words.rows("answered")[: self.num_words]
        query = self.words.activate(query)
        scores = self.words.match("response", query)
        exact = self.words.match_exactly(query, question + everything)
        scores = (scores if exact is None else scores + exact)[: self.num_words]
        return scores if self.stop_word is None else jnp.append(scores, query @ self.stop_word[...])  # [W + 1]

    def __call__(self, question: Array, supports: Array, found: Array) -> Array:
        """Answers.

        Args:
            question: `[F]`, features of x.
            supports: `[P, F]`, features of the memories found.
            found: bool `[P]`.

        Returns:
            int32 `[max_words]`, token ids of the answer; padding after its end.
        """

        def speak(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
            answered, going = carry
            word = jnp.argmax(self.scores(question, supports, found, answered)).astype(jnp.int32)
            going = going & (word < self.num_words)
            spoken = jax.nn.one_hot(word, self.num_words, dtype=answered.dtype) * going
            return (answered + spoken, going), jnp.where(going, word + NUM_SPECIAL, PAD)

        start = (jnp.zeros(self.num_words, question.dtype), jnp.bool_(True))
        return jax.lax.scan(speak, start, length=self.max_words)[1]
