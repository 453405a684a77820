# SPDX-License-Identifier: Apache-2.0
"""A trained model that tells the labels of lines: of sentences, or of pairs with a tab between them."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memjax import data
from memjax.recipes.labelling import TrainedLabeller, load_labeller
from memjax.recipes.program import params_of_seed
from memjax.recipes.reading import like_lengths, take_words
from memjax.recipes.texts import Words
from memjax.training import with_params


@dataclasses.dataclass(frozen=True)
class Label:
    """What a model says of a line.

    Attributes:
        name: of the most probable label.
        probabilities: of each label, by name.
        unknown: words that it does not know, and reads as nothing.
    """

    name: str
    probabilities: dict[str, float]
    unknown: tuple[str, ...]


class Labeller:
    """Tells the labels of sentences, or of pairs of sentences.

    Args:
        trained: of `memjax.recipes.train_labeller` or `load_labeller`.
        seed_index: which of the models that were trained side by side.

    Raises:
        ValueError: if there is no such model.

    Example:
        `Labeller.load("runs/sst").label(["a gripping, funny film", "it drags"])`
    """

    def __init__(self, trained: TrainedLabeller, seed_index: int = 0):
        self.names: tuple[str, ...] = trained.config.corpus.names
        self.vocabulary = trained.vocabulary
        self._split = trained.config.corpus.split_line
        self._program = trained.program
        self._params = params_of_seed(trained.params, seed_index)

    @classmethod
    def load(cls, folder: str | Path, seed_index: int = 0) -> "Labeller":
        """Loads a model of a run folder.

        Raises:
            RunError: if there is no run, or no checkpoint in it.
            ValueError: if the run has no such model.
        """
        return cls(load_labeller(Path(folder)), seed_index)

    def split(self, line: str) -> tuple[Words, ...]:
        """The words of a line's sentences, as the corpus has them.

        Raises:
            ValueError: if a line of a model of pairs has not one tab.
        """
        return self._split(line.rstrip("\r\n"))

    def label(self, lines: Iterable[str]) -> list[Label]:
        """Tells the labels of lines.

        Lines are read side by side, those of like length together; what is compiled is compiled once for each power of
        two of words, for one line and for many.

        Args:
            lines: sentences; or, of a model of pairs, premise and hypothesis with a tab between them. A line without
                words has a label too.

        Returns:
            One for each line, in their order.

        Raises:
            ValueError: if a line of a model of pairs has not one tab.
        """
        return self.label_texts([self.split(line) for line in lines])

    def label_texts(self, texts: Sequence[tuple[Words, ...]]) -> list[Label]:
        """As `label`, of lines whose words `split` gave."""
        if not texts:
            return []
        parts = list(zip(*texts, strict=True))
        longest = np.array([max(map(len, text)) for text in texts])
        found = np.zeros((len(texts), len(self.names)))
        for batch in like_lengths(longest):
            inputs = _inputs([take_words(part, batch, self.vocabulary) for part in parts])
            rows = batch.rows[batch.rows >= 0]
            found[rows] = np.asarray(self._program.probabilities(self._params, inputs))[: len(rows)]
        return [self._said(text, row) for text, row in zip(texts, found, strict=True)]

    def attention(self, line: str) -> tuple[tuple[Words, ...], Any]:
        """What each word of a line reads of the words before it; of a pair, of the premise too.

        Args:
            line: as in `label`, with words in each sentence.

        Returns:
            The words of its sentences; the weights: `[L, T, T]`, or `memjax.nn.FusedAttention` of a pair.

        Raises:
            ValueError: if the core is an LSTM, which has none, or a sentence has no words.
        """
        text = self.split(line)
        if not all(text):
            raise ValueError(f"line: expected words in each sentence, got {line!r}")
        inputs = [jnp.asarray([self.vocabulary.encode(words)], jnp.int32) for words in text]
        weights = with_params(self._program.model, self._params).attention(*inputs)
        return text, jax.tree.map(lambda leaf: leaf[:, 0], weights)

    def _said(self, text: tuple[Words, ...], probabilities: np.ndarray) -> Label:
        words = dict.fromkeys(word for words in text for word in words)
        unknown = tuple(word for word in words if word not in self.vocabulary)
        shares = {name: float(share) for name, share in zip(self.names, probabilities, strict=True)}
        return Label(self.names[int(probabilities.argmax())], shares, unknown)


def _inputs(parts: list[data.Sequences]) -> tuple[jax.Array, ...]:
    """What the model is called with: tokens of each sentence, then lengths of each."""
    return (*(jnp.asarray(part.tokens) for part in parts), *(jnp.asarray(part.lengths) for part in parts))
