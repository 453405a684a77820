# SPDX-License-Identifier: Apache-2.0
"""Corpora that models read from the first word to the last: sentences to predict, to label, to compare."""

import dataclasses
from pathlib import Path

from memjax.data import ptb
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
