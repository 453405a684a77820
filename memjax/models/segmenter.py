# SPDX-License-Identifier: Apache-2.0
"""From a stream of words to segments, and from there into memory."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax.typing import DTypeLike

from memjax import _checks
from memjax.memory import Memory, oldest_slot, write
from memjax.nn import Dictionaries
from memjax.typing import NUM_SPECIAL, PAD, Array, PyTree, SlotFn


@struct.dataclass
class Hearing:
    """What was heard since the last break: all that a stream must keep from word to word.

    Attributes:
        words: token ids of the running segment from the left; padding after them.
        length: how many there are.
        score: seg(c) of them.
    """

    words: Array  # int32 [S]
    length: Array  # int32 []
    score: Array  # []


@struct.dataclass
class Cuts:
    """Where a stream was cut.

    Attributes:
        ends: whether a segment ends with this word.
        scores: seg(c) of the running segment with this word.
    """

    ends: Array  # bool [T]
    scores: Array  # [T]


class Segmenter(nnx.Module):
    """seg(c) = W_seg^T U_S Phi_seg(c): whether the words c since the last break are a segment.

    Features are a bag of words, so the score of the running segment is a running sum of one number a word, and a word
    costs the same however long the stream is. A segment ends with the word that takes its score above the threshold,
    or that is its `longest`-th: a stream in which nothing ever fires is stored in pieces of that length. Padding is no
    word; an unknown word is one, without a score.

    Args:
        num_words: W, the words of the vocabulary.
        features: n, size of the embeddings.
        threshold: gamma; a score above it is a segment.
        longest: S, the most words of a segment.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> segmenter = Segmenter(num_words=3, features=4, longest=2, rngs=nnx.Rngs(0))
        >>> hearing, cuts = segmenter.segment(jnp.array([1, 1, 1, 0]))   # unknown words never fire
        >>> cuts.ends.tolist(), hearing.length.tolist()
        ([False, True, False, False], 1)

    Reference: Weston et al. 2015, section 3.2 and Appendix B.
    Departs from the paper: `longest`; the paper's segments have no bound.
    """

    def __init__(
        self,
        num_words: int,
        features: int = 100,
        *,
        threshold: float = 0.1,
        longest: int = 64,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _checks.positive("longest", longest)
        self.num_words = num_words
        self.threshold = threshold
        self.longest = longest
        self.words = Dictionaries(num_words, features, ("segment",), param_dtype=param_dtype, rngs=rngs)  # U_S
        self.weights = nnx.Param(0.1 * jax.random.normal(rngs.params(), (features,), param_dtype))  # W_seg [n]

    def __call__(self, bag: Array) -> Array:
        """seg(c).

        Args:
            bag: `[..., W]`, word counts of c.

        Returns:
            `[...]`.
        """
        return bag @ self.word_scores()

    def word_scores(self) -> Array:
        """What each word adds to the score of its segment: U_S^T W_seg, `[W]`."""
        return self.words.match("segment", self.weights[...])

    def silence(self) -> Hearing:
        """Nothing heard yet."""
        return Hearing(
            jnp.zeros(self.longest, jnp.int32), jnp.zeros((), jnp.int32), jnp.zeros((), self.weights[...].dtype)
        )

    def segment(self, tokens: Array, hearing: Hearing | None = None) -> tuple[Hearing, Cuts]:
        """Cuts a stream; one `lax.scan`.

        Args:
            tokens: int `[T]`, token ids; T may be 0.
            hearing: what was heard before; nothing by default.

        Returns:
            What is left after the last cut, and the cuts.
        """
        step = self._step()

        def one(hearing: Hearing, token: Array) -> tuple[Hearing, Cuts]:
            _, hearing, cut = step(hearing, token)
            return hearing, cut

        _checks.rank("tokens", tokens, 1, "[T]")
        return jax.lax.scan(one, self.silence() if hearing is None else hearing, tokens)

    def listen(
        self,
        memory: Memory,
        tokens: Array,
        embed_fn: Callable[[Array], PyTree],
        hearing: Hearing | None = None,
        slot_fn: SlotFn = oldest_slot,
    ) -> tuple[Memory, Hearing, Cuts]:
        """Cuts a stream and writes each segment into memory as it ends; the same scan.

        Args:
            memory: N slots, token ids `[S]` as values.
            tokens: int `[T]`, token ids; T may be 0.
            embed_fn: I, from the token ids `[S]` of a segment to the key of its slot, e.g. `MemNN.embed`.
            hearing: what was heard before; nothing by default.
            slot_fn: H, chooses the slot.

        Returns:
            The memory, what is left after the last cut (not in memory yet), and the cuts.

        Raises:
            ValueError: if a key or a segment does not fit the memory.

        Example:
            >>> from memjax.memory import empty
            >>> segmenter = Segmenter(num_words=3, features=4, longest=2, rngs=nnx.Rngs(0))
            >>> memory = empty(4, jnp.float32(0), jnp.zeros(2, jnp.int32))
            >>> memory, hearing, cuts = segmenter.listen(memory, jnp.ones(3, jnp.int32), lambda words: jnp.float32(0))
            >>> memory.values.tolist(), int(memory.count)
            ([[1, 1], [0, 0], [0, 0], [0, 0]], 1)

        Reference: Weston et al. 2015, section 3.2: "the segment is written to memory".
        Departs from the paper: nothing.
        """
        step = self._step()

        def one(carry: tuple[Memory, Hearing], token: Array) -> tuple[tuple[Memory, Hearing], Cuts]:
            memory, hearing = carry
            words, hearing, cut = step(hearing, token)
            memory = write(memory, embed_fn(words), words, slot_fn, where=cut.ends)
            return (memory, hearing), cut

        _checks.rank("tokens", tokens, 1, "[T]")
        start = (memory, self.silence() if hearing is None else hearing)
        (memory, left), cuts = jax.lax.scan(one, start, tokens)
        return memory, left, cuts

    def _step(self) -> Callable[[Hearing, Array], tuple[Array, Hearing, Cuts]]:
        """One word: the words of the running segment with it, what is kept for the next word, whether it ends here."""
        word_scores = self.word_scores()

        def step(hearing: Hearing, token: Array) -> tuple[Array, Hearing, Cuts]:
            is_word = token != PAD
            added = word_scores.at[jnp.where(token < NUM_SPECIAL, self.num_words, token - NUM_SPECIAL)].get(
                mode="fill", fill_value=0
            )
            words = hearing.words.at[jnp.where(is_word, hearing.length, self.longest)].set(token, mode="drop")
            length, score = hearing.length + is_word.astype(jnp.int32), hearing.score + added
            ends = is_word & ((score > self.threshold) | (length == self.longest))
            kept = jax.tree.map(
                lambda new, old: jnp.where(ends, new, old), self.silence(), Hearing(words, length, score)
            )
            return words, kept, Cuts(ends, score)

        return step
