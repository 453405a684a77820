# SPDX-License-Identifier: Apache-2.0
"""The Memory Network that answers in sentences."""

import jax.numpy as jnp
from flax import nnx

from memjax import _checks
from memjax.memory import Memory, gather
from memjax.models.memnn import Answer, MemNN
from memjax.models.output_map import OutputMap
from memjax.models.sentence_responder import SentenceResponder, join_sentences
from memjax.typing import Array, SearchFn


class SentenceMemNN(nnx.Module):
    """A Memory Network whose R reads [x, m_o1, .., m_ok] word by word and writes a sentence.

    O is that of a `MemNN`, which goes on answering in words beside the sentences; both R have parameters of their own.

    Args:
        network: finds the supporting memories.
        writer: R, over the same vocabulary.
        beam: sentences that are kept side by side in writing; 1 is greedy search.

    Raises:
        ValueError: if the vocabularies differ in size, or `beam` is below 1.

    Example:
        >>> import jax
        >>> from memjax.memory import empty
        >>> rngs = nnx.Rngs(0)
        >>> model = SentenceMemNN(MemNN(6, 8, rngs=rngs), SentenceResponder(6, 8, 8, max_words=5, rngs=rngs))
        >>> sentence = jnp.array([2, 3, 4])
        >>> memory = empty(4, model.embed(sentence), sentence)
        >>> jax.eval_shape(model, jnp.array([5, 2]), memory).words.shape
        (5,)

    Reference: Weston et al. 2015, section 3.1: R as a recurrent network that is fed the output of O.
    Departs from the paper: a memory that several hops found is read once.
    """

    def __init__(self, network: MemNN, writer: SentenceResponder, *, beam: int = 1):
        _checks.positive("beam", beam)
        if network.num_words != writer.num_words:
            raise ValueError(
                f"writer: expected {network.num_words} words, as the network, got {writer.num_words}; "
                "build both with the same number"
            )
        self.network, self.writer, self.beam = network, writer, beam

    @property
    def num_words(self) -> int:
        """W."""
        return self.network.num_words

    @property
    def output(self) -> OutputMap:
        """O."""
        return self.network.output

    def features(self, tokens: Array) -> Array:
        """I, as `MemNN.features`."""
        return self.network.features(tokens)

    def embed(self, tokens: Array) -> dict[str, Array]:
        """The key under which a sentence is stored, as `MemNN.embed`."""
        return self.network.embed(tokens)

    def prompt(self, question: Array, supports: Array) -> Array:
        """What R reads: [x, m_o1, .., m_ok] as one sequence.

        Args:
            question: int `[S]`, token ids.
            supports: int `[P, S']`, token ids in the order of the hops; a row of padding leaves no trace.

        Returns:
            int32 `[(S + 1) + P (S' + 1)]`, see `join_sentences`.
        """
        return join_sentences(self.writer.end, question[None], supports)

    def __call__(
        self, question: Array, memory: Memory, where: Array | None = None, search: SearchFn | None = None
    ) -> Answer:
        """Answers one question with a sentence.

        Args:
            question: int `[S]`, token ids.
            memory: N slots with keys of `embed` and the sentences' token ids as values.
            where: as of `MemNN`.
            search: likewise.

        Returns:
            The words of the sentence and the memories behind it. Without a memory it is written after the question
            alone.
        """
        hops = self.network(question, memory, where, search).hops
        again = jnp.tril(hops.slots[:, None] == hops.slots[None], -1).any(axis=1)
        supports = gather(memory, jnp.where(again, -1, hops.slots)).values  # [P, S']
        prompts = self.prompt(question, supports)[None]  # [1, J]
        return Answer(words=self.writer.write(prompts, self.beam).words[0], hops=hops)
