# SPDX-License-Identifier: Apache-2.0
"""A trained language model to use: it goes on with sentences, scores them, and shows what it attends to."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memjax import _checks, data
from memjax.data.ptb import END
from memjax.models import LanguageModel
from memjax.models.language_model import Tapes
from memjax.nn import LSTMN
from memjax.recipes.language import TrainedLanguageModel, load_language_model
from memjax.recipes.language_course import known_words, window_parts
from memjax.recipes.language_program import span_of
from memjax.recipes.program import params_of_seed
from memjax.recipes.reading import like_lengths, take_words
from memjax.training import TextBatch, with_params
from memjax.typing import NUM_SPECIAL, UNKNOWN, Array


@dataclasses.dataclass(frozen=True)
class ScoredWords:
    """A sentence, and how probable each word was after those before it.

    Attributes:
        words: as they were read, see `known_words`; the end of the sentence comes last.
        log_probs: natural logarithms, one for each word; NaN of a word that stays unknown.
    """

    words: tuple[str, ...]
    log_probs: tuple[float, ...]

    @property
    def perplexity(self) -> float:
        """exp of the mean of -log p, over the words that are known."""
        return float(np.exp(-np.nanmean(self.log_probs)))


class Reader:
    """One of the models of a run, in use.

    Sentences are read by themselves, or each after those before it where the model's tape is carried.

    Args:
        trained: trained language models.
        seed_index: which of them, in the order of the seeds.

    Raises:
        ValueError: if there is no such model.

    Example:
        >>> import tempfile
        >>> from memjax.recipes import LanguageConfig, TextFiles, train_language_model
        >>> folder = Path(tempfile.mkdtemp())
        >>> for split in ("train", "valid"):
        ...     _ = (folder / f"{split}.txt").write_text("the cat sat \\n" * 2)
        >>> config = LanguageConfig(TextFiles(str(folder)), "lstm", features=4, hidden_features=8, epochs=1)
        >>> reader = Reader(train_language_model(config))
        >>> reader.generate("the cat", max_words=3).startswith("the cat")
        True
        >>> reader.score("the cow sat").words
        ('the', '<unknown>', 'sat', '<eos>')
    """

    def __init__(self, trained: TrainedLanguageModel, seed_index: int = 0):
        self.model: LanguageModel = with_params(trained.program.model, params_of_seed(trained.params, seed_index))
        self.vocabulary = trained.vocabulary
        self._config = trained.config
        (self._end,) = self.vocabulary.encode([END])

    @classmethod
    def load(cls, folder: Path | str, seed_index: int = 0) -> "Reader":
        """Loads a model of a run folder.

        Raises:
            RunError: if there is no run or no checkpoint, or the run is none of a language model.
            ValueError: if the run has no such model.
            DataError: if a file is damaged.
        """
        return cls(load_language_model(Path(folder)), seed_index)

    def generate(
        self, prompt: str = "", *, max_words: int = 30, temperature: float = 1.0, top_k: int = 0, seed: int = 0
    ) -> str:
        """Goes on with a sentence, a word at a time on the carried tape, to its end.

        Args:
            prompt: how the sentence begins, words between spaces.
            max_words: that are added, at most.
            temperature: that scores are divided by; towards 0 the likeliest word always.
            top_k: only so many of the likeliest words are drawn from; 0 for all.
            seed: of what is drawn.

        Returns:
            The prompt and what follows.

        Raises:
            ValueError: if a number is out of range.
        """
        _checks.positive("max_words", max_words)
        _checks.above_zero("temperature", temperature)
        _checks.at_least_zero("top_k", top_k)
        words = prompt.split()
        tokens = jnp.asarray([self._end, *self.vocabulary.encode(known_words(words, self.vocabulary))], jnp.int32)
        top_k = min(top_k or len(self.vocabulary), len(self.vocabulary) - NUM_SPECIAL)
        drawn = _generate(self.model, tokens, jax.random.key(seed), temperature, max_words, top_k)
        added = np.asarray(drawn).tolist()
        if self._end in added:
            added = added[: added.index(self._end)]
        return " ".join([*words, *self.vocabulary.decode(added)])

    def score(self, sentence: str) -> ScoredWords:
        """How probable the words of a sentence are, and its end.

        Args:
            sentence: words between spaces.
        """
        return self.score_all([sentence])[0]

    def score_all(self, sentences: Sequence[str]) -> list[ScoredWords]:
        """How probable the words of sentences are; see `score`.

        Where the tape is carried, the sentences are one text, and each is read after those before it, as training and
        evaluation read them (of a long text evaluation reads up to 20 parts side by side); a sentence alone begins the
        text. Otherwise those of like length are read side by side.

        Args:
            sentences: words between spaces.
        """
        if not sentences:
            return []
        words = [known_words(sentence.split(), self.vocabulary) for sentence in sentences]
        if self._config.tape == "carried":
            ends = np.cumsum([len(sentence) + 1 for sentence in words])[:-1]
            tokens, log_probs = (np.split(values, ends) for values in self._read_stream(words))
            return [self._scored(*each) for each in zip(tokens, log_probs, strict=True)]
        scored: list[Any] = [None] * len(words)
        lengths = np.array([len(sentence) + 1 for sentence in words])
        for batch in like_lengths(lengths):
            inputs, targets = data.next_words(take_words(words, batch, self.vocabulary), self._end)
            given, following = (part.tokens[:, : batch.num_steps] for part in (inputs, targets))
            found = np.asarray(_log_probs(self.model, jnp.asarray(given), jnp.asarray(following)))
            for row, tokens, log_probs in zip(batch.rows, following, found, strict=True):
                if row >= 0:
                    scored[row] = self._scored(tokens[: lengths[row]], log_probs[: lengths[row]])
        return scored

    def _read_stream(self, words: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """The words of a text and the marks between them, int `[Q]`, and the log-probability of each."""
        encoded = data.encode_sequences(words, self.vocabulary)
        windows = data.windows(encoded, self._end, 1, self._config.window)
        tapes, found = self.model.empty_tapes(1, span_of(self._config) or 1), []
        for part in window_parts(windows):
            tapes, log_probs = _stream_log_probs(self.model, tapes, part)
            found.append(np.asarray(log_probs))
        following = data.running_text(encoded, self._end)
        return following, np.concatenate(found).reshape(-1)[: len(following)]

    def _scored(self, tokens: np.ndarray, log_probs: np.ndarray) -> ScoredWords:
        told = np.where(tokens == UNKNOWN, np.nan, log_probs)
        return ScoredWords(tuple(self.vocabulary.decode(tokens.tolist())), tuple(map(float, told)))

    def attention(self, sentence: str) -> tuple[tuple[str, ...], np.ndarray]:
        """What each word of a sentence attends to.

        Args:
            sentence: words between spaces.

        Returns:
            The mark of the beginning and the words, T; the weights `[L, T, T]` of each layer: row t over the words
            before it.

        Raises:
            ValueError: if the model is an LSTM, which has no attention.
        """
        if not isinstance(self.model.core, LSTMN):
            raise ValueError("core: expected an LSTMN to show the attention of, got another one; plot another run")
        words = known_words(sentence.split(), self.vocabulary)
        tokens = jnp.asarray([self._end, *self.vocabulary.encode(words)], jnp.int32)
        maps = self.model.core.attention(self.model.embedding(tokens[None]))  # [L, 1, T, T]
        return (END, *sentence.split()), np.asarray(maps[:, 0])


@jax.jit
def _log_probs(model: LanguageModel, inputs: Array, targets: Array) -> Array:
    return model.log_probs(inputs, targets)


@jax.jit
def _stream_log_probs(model: LanguageModel, tapes: Tapes, windows: TextBatch) -> tuple[Tapes, Array]:
    """Reads windows one after another, P of one row; the log-probabilities are `[P, 1, T]`."""

    def one(tapes: Tapes, window: TextBatch) -> tuple[Tapes, Array]:
        return model.log_probs(window.inputs, window.targets, window.lengths, tapes, return_tape=True)[::-1]

    return jax.lax.scan(one, tapes, windows)


@functools.partial(jax.jit, static_argnums=(4, 5))
def _generate(model: LanguageModel, prompt: Array, key: Array, temperature: float, max_words: int, top_k: int) -> Array:
    """Words that follow a prompt, int `[max_words]`."""
    state, _ = jax.lax.scan(
        lambda state, token: (model.step(state, token[None])[0], None),
        model.start(1, prompt.shape[0] + max_words),
        prompt[:-1],
    )

    def one(carry: tuple[object, Array], key: Array) -> tuple[tuple[object, Array], Array]:
        state, token = carry
        state, scores = model.step(state, token[None])
        best, words = jax.lax.top_k(scores[0, NUM_SPECIAL:], top_k)
        token = words[jax.random.categorical(key, best / temperature)] + NUM_SPECIAL
        return (state, token), token

    return jax.lax.scan(one, (state, prompt[-1]), jax.random.split(key, max_words))[1]
