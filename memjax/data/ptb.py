# SPDX-License-Identifier: Apache-2.0
"""The Penn Treebank for language models: reader of Mikolov's files, one sentence a line, its words between spaces."""

import os

from memjax import _checks
from memjax.data._lines import find, read_texts
from memjax.errors import DataError

SPLITS = ("train", "valid", "test")
#: The word that models read as the end of a sentence; Mikolov's files do not hold it.
END = "<eos>"

_FOLDERS = ("ptb", "simple-examples/data")


def read(path: str | os.PathLike[str]) -> list[tuple[str, ...]]:
    """Reads a file of sentences.

    Args:
        path: a text file, or a gzip of one if the name ends in `.gz`.

    Returns:
        The words of each sentence as they stand (`<unk>` and `N` among them), without a mark of its end, which some
        copies have; lines without words are left out.

    Raises:
        DataError: if the file cannot be read, is not UTF-8, holds no sentence, or holds a mark within a line.

    Example:
        >>> import pathlib
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "ptb.valid.txt")
        ...     _ = path.write_text(" no it was n't black monday \\n the <unk> rose N N \\n")
        ...     read(path)
        [('no', 'it', 'was', "n't", 'black', 'monday'), ('the', '<unk>', 'rose', 'N', 'N')]
    """
    sentences = [words for line, text in read_texts(path) if (words := words_of(text, path, line))]
    if not sentences:
        raise DataError("expected at least one sentence, got an empty file; get it anew", path)
    return sentences


def words_of(text: str, path: str | os.PathLike[str], line: int) -> tuple[str, ...]:
    """The words of a line that holds something, without the mark of its end.

    Args:
        text: the line.
        path: of the file, for messages.
        line: its number there.

    Raises:
        DataError: if it holds a mark elsewhere.

    Example:
        >>> words_of("the cat sat <eos>", "cats.txt", 1)
        ('the', 'cat', 'sat')
    """
    words = tuple(text.split())
    words = words[:-1] if words[-1] == END else words
    if END in words:
        raise DataError(f"expected {END} at the end of a line only; put each sentence on a line of its own", path, line)
    return words


def load(folder: str | os.PathLike[str], split: str) -> list[tuple[str, ...]]:
    """Reads one split: `ptb.train.txt`, `ptb.valid.txt` or `ptb.test.txt`, plain or gzip.

    Args:
        folder: a folder that holds `ptb/` or the release `simple-examples/`, or the files themselves.
        split: "train", "valid" or "test".

    Returns:
        The sentences in the order of the file; see `read`.

    Raises:
        ValueError: if there is no such split.
        DataError: if the file is missing, or not as it should be.

    Example:
        >>> load("data", "dev")
        Traceback (most recent call last):
            ...
        ValueError: split: expected one of ['train', 'valid', 'test'], got 'dev'

    Reference: Cheng et al. 2016, section 5.1; the files are of Mikolov et al. 2010 (RNNLM).
    Departs from the paper: nothing.
    """
    _checks.one_of("split", split, SPLITS)
    return read(find(folder, "the Penn Treebank", _FOLDERS, f"ptb.{split}.txt"))
