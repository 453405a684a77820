# SPDX-License-Identifier: Apache-2.0
"""Corpora that models read from the first word to the last: sentences to predict, to label, to compare."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from memjax.data import ptb, snli, sst
from memjax.errors import DataError
from memjax.recipes.corpora import find_data

#: One sentence's words.
Words = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class PennTreebank:
    """Mikolov's Penn Treebank, from a folder that holds it."""

    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""

    def sentences(self, split: str) -> list[Words]:
        """The sentences of a split: train, valid or test."""
        return ptb.load(find_data(self.data), split)


@dataclasses.dataclass(frozen=True)
class TextFiles:
    """Your own texts: `train.txt`, `valid.txt` and `test.txt` in a folder: a sentence a line, spaces between words."""

    data: str | None = None
    """The folder; the environment variable MEMJAX_DATA where it is not given."""

    def sentences(self, split: str) -> list[Words]:
        """The sentences of a split: train, valid or test."""
        return ptb.read(Path(find_data(self.data)) / f"{split}.txt")


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """Q texts of one or two sentences each, and their labels.

    Attributes:
        sentences: for each text, the words of its sentences.
        labels: index into the names of the corpus' labels.
    """

    sentences: Sequence[tuple[Words, ...]]
    labels: Sequence[int]

    def __len__(self) -> int:
        """The number of texts, Q."""
        return len(self.labels)

    def words(self) -> list[Words]:
        """The words of all sentences."""
        return [words for text in self.sentences for words in text]


@dataclasses.dataclass(frozen=True)
class SST:
    """The Stanford Sentiment Treebank, from a folder that holds it."""

    fine: bool = True
    """Five labels, from very negative to very positive; otherwise two, and what is neutral is left out."""
    phrases: bool = False
    """Train on every phrase of the trees; otherwise on whole sentences."""
    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the labels."""
        return sst.LABELS if self.fine else sst.BINARY_LABELS

    def texts(self, split: str) -> LabelledTexts:
        """The sentences of a split: train, valid or test."""
        phrases = self.phrases and split == "train"
        read = sst.load(find_data(self.data), _named(split), fine=self.fine, phrases=phrases)
        return LabelledTexts([(one.words,) for one in read], [one.label for one in read])

    def split_line(self, line: str) -> tuple[Words, ...]:
        """The words of a line, as the corpus has them."""
        return (sst.tokenize(line),)


@dataclasses.dataclass(frozen=True)
class SNLI:
    """The Stanford Natural Language Inference corpus, or what a folder holds of it."""

    source: Literal["files", "tfds"] = "files"
    """The corpus' own files, or what there is of them; or TFDS's own snli, all of it, which wants a network once."""
    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the labels."""
        return snli.LABELS

    def texts(self, split: str) -> LabelledTexts:
        """The pairs of a split: train, valid or test."""
        folder = find_data(self.data)
        if self.source == "tfds":
            from memjax.data.builders import download_snli

            read = download_snli(Path(folder) / "tensorflow_datasets", _named(split))
        else:
            read = snli.load(folder, _named(split))
        return LabelledTexts([(one.premise, one.hypothesis) for one in read], [one.label for one in read])

    def split_line(self, line: str) -> tuple[Words, ...]:
        """The words of premise and hypothesis, with a tab between them.

        Raises:
            ValueError: if there is not one tab.
        """
        parts = line.split("\t")
        if len(parts) != 2:
            raise ValueError(f"line: expected a premise, a tab and a hypothesis, got {line!r}")
        return tuple(snli.tokenize(part) for part in parts)


def _named(split: str) -> str:
    """The split's name in corpora that call validation texts dev."""
    return "dev" if split == "valid" else split


def find_vectors(vectors: str, data: str | None) -> Path:
    """The file of vectors of words.

    Args:
        vectors: its path, or "glove" for the one in `glove/` in the folder with the corpora.
        data: that folder.

    Raises:
        DataError: if there is no such file, or more than one.
    """
    if vectors != "glove":
        return Path(vectors)
    folder = Path(find_data(data)) / "glove"
    found = sorted(path for path in folder.glob("glove*") if path.name.endswith((".txt", ".txt.gz")))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"expected one file glove*.txt or glove*.txt.gz, got {names}; pass --vectors PATH", folder)
    return found[0]
