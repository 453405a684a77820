# SPDX-License-Identifier: Apache-2.0
"""R as a recurrent network: a language model that reads a prompt and writes a sentence."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax.typing import DTypeLike

from memjax import _checks
from memjax.nn import LSTM, RNN
from memjax.typing import NUM_SPECIAL, PAD, Array

CELLS: dict[str, Any] = {"rnn": RNN, "lstm": LSTM}

#: Words of a sentence that is written, at most.
MAX_SENTENCE_WORDS = 16


@struct.dataclass
class Sentences:
    """What was written after B prompts.

    Attributes:
        words: token ids; padding after the end of the sentence.
        scores: the sum of the log-probabilities of the words and of the end, where it was written.
    """

    words: Array  # int32 [B, max_words]
    scores: Array  # [B]


def _check_tokens(name: str, tokens: Array) -> None:
    """Raises `ValueError` unless `tokens` are integers with two axes."""
    if jnp.ndim(tokens) != 2 or not jnp.issubdtype(jnp.result_type(tokens), jnp.integer):
        raise ValueError(
            f"{name}: expected token ids with axes [batch, words], got shape {jnp.shape(tokens)} of "
            f"{jnp.result_type(tokens)}; one sequence is a batch of 1"
        )


def join_sentences(end: int, *groups: Array) -> Array:
    """Joins sentences to one sequence of words, each followed by the mark of its end; empty ones leave no trace.

    Args:
        end: token id of the mark.
        groups: int `[K, S]` each, token ids of words, then features that are none (n-grams, ids from `end` on), then
            padding. K and S may differ between groups.

    Returns:
        int32 `[sum of K (S + 1)]`, padding at the end.

    Example:
        >>> join_sentences(9, jnp.array([[2, 3, 0]]), jnp.array([[4, 0], [0, 0]]))
        Array([2, 3, 9, 4, 9, 0, 0, 0, 0, 0], dtype=int32)

    Reference: Weston et al. 2015, section 3.1: [x, o1, o2, r] as a sequence of words.
    Departs from the paper: the mark between sentences, of which it says nothing.
    """
    marked = []
    for group in groups:
        words = jnp.pad(jnp.where(group < end, group, PAD), ((0, 0), (0, 1)))
        lengths = (words != PAD).sum(axis=1)[:, None]  # [K, 1]
        ends = (jnp.arange(words.shape[1])[None] == lengths) & (lengths > 0)
        marked.append(jnp.where(ends, end, words).reshape(-1))  # [K (S + 1)]
    words = jnp.concatenate(marked).astype(jnp.int32)
    kept = words != PAD
    places = jnp.where(kept, jnp.cumsum(kept) - 1, words.shape[0])  # what is padding goes past the end
    return jnp.zeros_like(words).at[places].set(words, mode="drop")


class SentenceResponder(nnx.Module):
    """R as a language model: p(r | prompt), one word after another until the mark of the end.

    Fed [x, m_o1, .., m_ok] it is the responder of a Memory Network; fed a whole story and the question it is the
    baseline without a memory. Ids are those of a vocabulary of W words; W + 2 is the mark `end`, which also follows
    each sentence of a prompt (`join_sentences`). Like the recurrent layers it takes a batch.

    Args:
        num_words: W.
        features: n, size of the embeddings.
        hidden_features: H.
        cell: `"rnn"` or `"lstm"`.
        max_words: of a sentence that is written.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, or there is no such cell.

    Example:
        >>> respond = SentenceResponder(6, 4, 8, rngs=nnx.Rngs(0))
        >>> prompts = join_sentences(respond.end, jnp.array([[2, 3]]), jnp.array([[4, 5]]))[None]
        >>> jax.eval_shape(respond.scores, prompts, jnp.array([[6, 7]])).shape           # two words and the end
        (1, 3)
        >>> jax.eval_shape(respond.write, prompts).words.shape
        (1, 16)

    Reference: Weston et al. 2015, section 3.1, and section 5.2 for the baselines.
    Departs from the paper: sizes and initial weights, which it does not state; an LSTM starts with a forget bias of 1;
    an unknown word is read as zeros.
    """

    def __init__(
        self,
        num_words: int,
        features: int,
        hidden_features: int,
        *,
        cell: Literal["rnn", "lstm"] = "lstm",
        max_words: int = MAX_SENTENCE_WORDS,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        for name, size in (("num_words", num_words), ("features", features), ("max_words", max_words)):
            _checks.positive(name, size)
        _checks.one_of("cell", cell, CELLS)
        self.num_words = num_words
        self.end = num_words + NUM_SPECIAL
        self.max_words = max_words

        def normal(rows: int, columns: int, scale: float) -> nnx.Param:
            return nnx.Param(scale * jax.random.normal(rngs.params(), (rows, columns), param_dtype))

        self.words = normal(num_words + 1, features, 1.0)
        self.cell = CELLS[cell](features, hidden_features, param_dtype=param_dtype, rngs=rngs)
        if cell == "lstm":
            bias = self.cell.layers[0].gates_bias
            bias[...] = bias[...].at[hidden_features : 2 * hidden_features].set(1.0)
        self.output = normal(hidden_features, num_words + 1, hidden_features**-0.5)
        self.output_bias = nnx.Param(jnp.zeros(num_words + 1, param_dtype))

    def _embed(self, tokens: Array) -> Array:
        """The rows of words, `[.., n]` for ids `[..]`; zeros for padding and unknown words."""
        rows = self.words[jnp.maximum(tokens - NUM_SPECIAL, 0)]
        return jnp.where((tokens >= NUM_SPECIAL)[..., None], rows, 0)

    def _read(self, prompts: Array) -> tuple[Array, Any]:
        """The hidden state `[B, H]` after each prompt, and the tapes to go on from."""
        _check_tokens("prompts", prompts)
        _, tapes = self.cell(self._embed(prompts), (prompts != PAD).sum(axis=1), return_tape=True)
        return tapes[0].hidden[:, -1], tapes

    def _log_probabilities(self, hidden: Array) -> Array:
        """log p(w | ..) of each word, and of the end as element W: `[.., W + 1]` for hidden states `[.., H]`."""
        logits = hidden @ self.output[...]
        return jax.nn.log_softmax(logits + jnp.broadcast_to(self.output_bias[...], logits.shape))

    def scores(self, prompts: Array, replies: Array) -> Array:
        """log p(r_t | prompt, r_1, .., r_(t-1)) for each word of known replies (teacher forcing), and for their end.

        Args:
            prompts: int `[B, J]`, of `join_sentences`.
            replies: int `[B, S]`, token ids; padding at the end.

        Returns:
            `[B, S + 1]`: the words of the reply, then its end, then zeros. An unknown word has 0 too, since there is
            no probability for it.

        Raises:
            ValueError: if an array has another number of axes, or no integers.
        """
        _check_tokens("replies", replies)
        start, tapes = self._read(prompts)
        after = self.cell(self._embed(replies), None, tapes)
        hidden = jnp.concatenate([start[:, None], after], axis=1)  # [B, S + 1, H]
        lengths = (replies != PAD).sum(axis=1)[:, None]
        place = jnp.arange(replies.shape[1] + 1)[None]
        words = jnp.where(place == lengths, self.end, jnp.pad(replies, ((0, 0), (0, 1)))) - NUM_SPECIAL  # [B, S + 1]
        chosen = jnp.take_along_axis(self._log_probabilities(hidden), jnp.maximum(words, 0)[..., None], axis=2)
        return jnp.where(words >= 0, chosen[..., 0], 0)

    def write(self, prompts: Array, width: int = 1) -> Sentences:
        """Writes the likeliest sentence after each prompt, as a beam search finds it.

        Args:
            prompts: int `[B, J]`, of `join_sentences`.
            width: K, sentences that are kept side by side; 1 is greedy search.

        Returns:
            The best of K sentences by the sum of the log-probabilities of its words and end, which is not divided by
            its length. A sentence of `max_words` is cut there and needs no end.

        Raises:
            ValueError: if `width` is below 1, or prompts have another number of axes or no integers.
        """
        _checks.positive("width", width)
        batch, num_choices = prompts.shape[0], self.num_words + 1
        hidden, tapes = self._read(prompts)
        scores = jnp.full((batch, width), -jnp.inf, hidden.dtype).at[:, 0].set(0)  # one empty sentence each
        words = jnp.zeros((batch, width, self.max_words), jnp.int32)
        going = jnp.ones((batch, width), bool)
        # A sentence that ended goes on with nothing, at no cost.
        ended = jnp.full(num_choices, -jnp.inf, hidden.dtype).at[-1].set(0)

        def step(carry: Any, place: Array) -> tuple[Any, None]:
            scores, words, going, hidden, tapes = carry
            nexts = self._log_probabilities(hidden).reshape(batch, width, num_choices)
            totals = scores[..., None] + jnp.where(going[..., None], nexts, ended[None, None])
            scores, best = jax.lax.top_k(totals.reshape(batch, width * num_choices), width)
            parent, word = best // num_choices, best % num_choices  # [B, K]
            going = jnp.take_along_axis(going, parent, axis=1) & (word < num_choices - 1)
            tokens = jnp.where(going, word + NUM_SPECIAL, PAD).astype(jnp.int32)
            words = jnp.take_along_axis(words, parent[..., None], axis=1).at[:, :, place].set(tokens)
            rows = (jnp.arange(batch)[:, None] * width + parent).reshape(-1)  # [B K]
            tapes = jax.tree.map(lambda leaf: leaf[rows], tapes)
            _, tapes = self.cell(self._embed(tokens.reshape(-1, 1)), None, tapes, return_tape=True)
            return (scores, words, going, tapes[0].hidden[:, -1], tapes), None

        hidden, tapes = jax.tree.map(lambda leaf: jnp.repeat(leaf, width, axis=0), (hidden, tapes))
        start = (scores, words, going, hidden, tapes)
        scores, words, *_ = jax.lax.scan(step, start, jnp.arange(self.max_words))[0]
        return Sentences(words[:, 0], scores[:, 0])
