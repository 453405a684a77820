# SPDX-License-Identifier: Apache-2.0
"""Vectors of words that were trained elsewhere, as GloVe's: a line is a word and its D numbers, between spaces."""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np

from memjax.data._lines import read_lines, short
from memjax.errors import DataError

Missing = Literal["random", "neighbours"]

MISSING = ("random", "neighbours")

_EMPTY = "expected at least one vector, got an empty file; get it anew"


@dataclasses.dataclass(frozen=True, eq=False)
class Vectors:
    """One vector for each of W words.

    Args:
        values: float32 `[W, D]`.
        found: bool `[W]`, whether a file has the word; what it has not is made up.
    """

    values: np.ndarray
    found: np.ndarray


def read_vectors(
    path: str | os.PathLike[str],
    words: Sequence[str],
    *,
    missing: Missing = "random",
    deviation: float | None = None,
    sentences: Iterable[Sequence[str]] = (),
    seed: int = 0,
) -> Vectors:
    """Reads the vectors of some words, line by line: no others are held, and only theirs are read as numbers.

    A word that the file has not takes the vector of its lower-case form; where that is missing too, it is made up.

    Args:
        path: a text file, or a gzip of one if the name ends in `.gz`. Words with spaces in them, which GloVe's largest
            file has, are passed over.
        words: W words, as `Vocabulary.words`.
        missing: "random": N(0, deviation²). "neighbours": the mean vector of those of the words that were found and
            stand in one sentence with it, as often as they do; random where there are none.
        deviation: of the random numbers; None: that of the numbers found, so that no vectors stand out by their length.
        sentences: lists of words, for "neighbours".
        seed: of the random numbers.

    Returns:
        The vectors in the order of the words, and which were found.

    Raises:
        ValueError: if there is no such rule for missing words.
        DataError: if the file cannot be read, a line has another number of numbers than the first one, one that is
            needed is no finite number, a word that is needed comes twice, or none of the words is there.

    Example:
        >>> import pathlib
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "vectors.txt")
        ...     _ = path.write_text("the 1.0 0.5\\nran 0.0 -1.5\\nbig 9.0 9.0\\n")
        ...     words = ["The", "fyce", "ran"]
        ...     vectors = read_vectors(path, words, missing="neighbours", sentences=[["The", "fyce", "ran"]])
        >>> vectors.values.tolist(), vectors.found.tolist()
        ([[1.0, 0.5], [0.5, -0.5], [0.0, -1.5]], [True, False, True])

    Reference: Cheng et al. 2016, section 5.3; "neighbours" is advice of its authors, given with their code.
    Departs from the paper: there, random vectors have deviation 1, which is `deviation=1.0`; GloVe's have less.
    """
    if missing not in MISSING:
        raise ValueError(f"missing: expected one of {list(MISSING)}, got {missing!r}")
    rows = _read(path, {form for word in words for form in (word, word.lower())})
    chosen = [rows.get(word, rows.get(word.lower())) for word in words]
    found = np.array([row is not None for row in chosen], bool)
    if not found.any():
        raise DataError(f"expected vectors for some of {len(words)} words, got none; pass another file or words", path)
    known = np.stack([row for row in chosen if row is not None])
    values = np.zeros((len(words), known.shape[1]), np.float32)
    values[found] = known
    scale = float(known.std()) if deviation is None else deviation
    values[~found] = scale * np.random.default_rng(seed).standard_normal(values[~found].shape, np.float32)
    if missing == "neighbours":
        index = {word: i for i, word in enumerate(words)}
        for i, mean in _means(sentences, index, values, found):
            values[i] = mean
    return Vectors(values, found)


def vector_words(path: str | os.PathLike[str], limit: int) -> list[str]:
    """The first words of a file of vectors, which are the most frequent ones in GloVe's.

    Args:
        path: as for `read_vectors`.
        limit: words to read, at most.

    Returns:
        The words that are UTF-8 and hold no space.

    Raises:
        DataError: if the file cannot be read, or is none of vectors.

    Example:
        >>> import pathlib
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "vectors.txt")
        ...     _ = path.write_text("the 1.0 0.5\\nran 0.0 -1.5\\nbig 9.0 9.0\\n")
        ...     vector_words(path, 2)
        ['the', 'ran']
    """
    words: dict[str, None] = {}
    width = 0
    for line, raw in enumerate(read_lines(path), 1):
        if len(words) >= limit:
            break
        text = raw.rstrip()
        if not text:
            continue
        width = width or _width(text, path, line)
        if text.count(b" ") == width:
            with contextlib.suppress(UnicodeDecodeError):
                words[text.partition(b" ")[0].decode()] = None
    if limit and not width:
        raise DataError(_EMPTY, path)
    words.pop("", None)
    return list(words)


def _read(path: str | os.PathLike[str], wanted: set[str]) -> dict[str, np.ndarray]:
    """The float32 `[D]` of each wanted word that the file has."""
    by_bytes = {word.encode(errors="surrogatepass"): word for word in wanted}
    rows: dict[str, np.ndarray] = {}
    lines: dict[str, int] = {}
    width = 0
    for line, raw in enumerate(read_lines(path), 1):
        text = raw.rstrip()
        if not text:
            continue
        spaces = text.count(b" ")
        if not width:
            width = _width(text, path, line)
        if spaces != width:
            fields = text.split(b" ")
            if b"" in fields:
                raise DataError("expected one space between numbers, got two; remove one", path, line)
            # More fields are a word with spaces in it, but where the word would end in a number.
            if spaces < width or _numbers(fields[-width - 1 : -width]) is not None:
                what = f"expected a word and {width} numbers, as in the first line, got {spaces}"
                raise DataError(f"{what}; get the file anew, or correct the line", path, line)
            continue
        key, _, rest = text.partition(b" ")
        word = by_bytes.get(key)
        if word is None:
            continue
        if word in rows:
            what = f"expected each word once, got {short(word)} again after line {lines[word]}"
            raise DataError(f"{what}; remove one of them", path, line)
        row = _numbers(rest.split(b" "))
        if row is None or not np.isfinite(row).all():
            bad = next(field for field in rest.split(b" ") if not _finite(field)).decode(errors="replace")
            raise DataError(f"expected finite numbers after the word, got {short(bad)}; remove the line", path, line)
        rows[word], lines[word] = row, line
    if not width:
        raise DataError(_EMPTY, path)
    return rows


def _width(text: bytes, path: str | os.PathLike[str], line: int) -> int:
    """D, the numbers of the first line."""
    fields = text.split(b" ")
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        shown = short(text.decode())
        raise DataError(f"expected a word and its numbers, got the header {shown} of word2vec; remove it", path, line)
    if len(fields) < 2 or _numbers(fields[1:]) is None:
        shown = short(text.decode(errors="replace"))
        raise DataError(f"expected a word and its numbers between spaces, got {shown}; pass a text file", path, line)
    return len(fields) - 1


def _numbers(fields: Sequence[bytes]) -> np.ndarray | None:
    """The fields as float32; None if one is no number."""
    if any(b"_" in field for field in fields):  # Python's own numbers may have them
        return None
    try:
        with np.errstate(over="ignore"):
            return np.array([float(field) for field in fields], np.float32)
    except ValueError:
        return None


def _finite(field: bytes) -> bool:
    number = _numbers([field])
    return number is not None and bool(np.isfinite(number).all())


def _means(
    sentences: Iterable[Sequence[str]], index: dict[str, int], values: np.ndarray, found: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """For each word not found, the mean of those found around it."""
    sums: dict[int, np.ndarray] = {}
    counts: dict[int, int] = {}
    for sentence in sentences:
        ids = [index[word] for word in sentence if word in index]
        around = [i for i in ids if found[i]]
        for i in ids if around else ():
            if not found[i]:
                sums[i] = sums.get(i, 0) + values[around].sum(0, dtype=np.float64)
                counts[i] = counts.get(i, 0) + len(around)
    for i, total in sums.items():
        yield i, total / counts[i]
