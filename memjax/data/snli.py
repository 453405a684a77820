# SPDX-License-Identifier: Apache-2.0
"""The Stanford Natural Language Inference corpus: reader of the release's JSON lines, and of copies of parts of it.

The copies are tables between tabs, of several makers, and one JSON file. All are split into words by one rule, so that
a pair is the same pair in each of them. Any file that reads otherwise is a `DataError` that names the file and the
line.
"""

import csv
import dataclasses
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from memjax import _checks
from memjax.data._lines import find, look_for, read_text, read_texts, short
from memjax.data._words import WORD
from memjax.errors import DataError

SPLITS = ("train", "dev", "test")
#: Names of the labels 0 to 2.
LABELS = ("entailment", "neutral", "contradiction")

_FOLDERS = ("snli", "snli_1.0", "snli/snli_1.0")
_PARTS = tuple(f"train_subset_{name}" for name in ("a.tsv", "b.tsv", "c.tsv", "d.json", "e.jsonl"))
# Names of the columns that hold premise, hypothesis and label.
_COLUMNS = (("premise", "sentence1"), ("hypothesis", "sentence2"), ("label", "gold_label"))
_BY_NAME = {name: label for label, name in enumerate(LABELS)}
_BY_NUMBER = {"0": 0, "1": 1, "2": 2} | _BY_NAME
# Tables without names of columns count from 1, and in another order.
_WITHOUT_NAMES = {"1": 1, "2": 2, "3": 0}
_NO_LABEL = "-"

_TOKEN = re.compile(WORD)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two sentences and how they stand to each other.

    Args:
        premise: words of what is the case.
        hypothesis: words of what may follow from it.
        label: index into `LABELS`.
    """

    premise: tuple[str, ...]
    hypothesis: tuple[str, ...]
    label: int


def tokenize(text: str) -> tuple[str, ...]:
    """Splits a sentence into lower-case words as vectors of words know them.

    Marks are words of their own, but within words, numbers and abbreviations; `n't`, `'s`, `'re` and their like are
    split off, as in the Penn Treebank. The words are those of the release's parses, in all of 2,000 sentences compared,
    but for the forms of quotes and brackets.

    Example:
        >>> tokenize("The boy's T-shirt doesn't say \\"5,000 m\\".")
        ('the', 'boy', "'s", 't-shirt', 'does', "n't", 'say', '"', '5,000', 'm', '"', '.')
    """
    return tuple(_TOKEN.findall(text.lower().replace("\u2019", "'")))


def read(path: str | os.PathLike[str]) -> list[Pair]:
    """Reads a file of pairs; those that have no label ("-", for want of a majority) are left out.

    Args:
        path: its name says its format, with or without `.gz` behind. `.jsonl`: the release's, whose `sentence1`,
            `sentence2` and `gold_label` are read. `.json`: `instances` with `support`, `question` and answer.
            Otherwise a table between tabs, quoted as CSV: with names of columns (premise, hypothesis, label, or the
            release's) and labels by name or from 0; or without, of label, label, premise and hypothesis, where labels
            are from 1 and 3 is entailment.

    Returns:
        The pairs in the order of the file.

    Raises:
        DataError: if the file cannot be read or holds no pair, or something in it is not as the format says.

    Example:
        >>> import pathlib
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "dev.tsv")
        ...     _ = path.write_text("premise\\thypothesis\\tlabel\\nA dog runs.\\tIt sleeps.\\t2\\n")
        ...     read(path)
        [Pair(premise=('a', 'dog', 'runs', '.'), hypothesis=('it', 'sleeps', '.'), label=2)]

    Reference: Bowman et al. 2015, "A large annotated corpus for learning natural language inference", section 2.
    """
    name = os.fspath(path).removesuffix(".gz")
    rows = _json_lines if name.endswith(".jsonl") else _json if name.endswith(".json") else _table
    pairs = []
    line: int | None
    for line, premise, hypothesis, label, labels in rows(path):
        if label == _NO_LABEL:
            continue
        if label not in labels:
            raise DataError(f"expected a label of {', '.join(labels)}, got {short(label)}; correct it", path, line)
        pair = Pair(tokenize(premise), tokenize(hypothesis), labels[label])
        if not pair.premise or not pair.hypothesis:
            raise DataError("expected a premise and a hypothesis, got an empty one; remove the pair", path, line)
        pairs.append(pair)
    if not pairs:
        raise DataError("expected at least one pair with a label, got none; get the file anew", path)
    return pairs


def load(folder: str | os.PathLike[str], split: str) -> list[Pair]:
    """Reads one split: the release's `snli_1.0_train.jsonl` (or dev, test), or else the part of it that is there.

    That part is `dev.tsv` or `test.tsv`, which hold all pairs of the release that have a label; for training it is
    `train_subset_a.tsv`, `_b.tsv`, `_c.tsv`, `_d.json` and `_e.jsonl`, as far as they are there, without pairs that
    repeat and without pairs of dev and test. Each may be a gzip.

    Args:
        folder: a folder that holds `snli/` or `snli_1.0/`, or the files themselves.
        split: "train", "dev" or "test".

    Returns:
        The pairs in the order of the files; see `read`.

    Raises:
        ValueError: if there is no such split.
        DataError: if no file is there, or one is not as its format says.

    Example:
        >>> load("data", "valid")
        Traceback (most recent call last):
            ...
        ValueError: split: expected one of ['train', 'dev', 'test'], got 'valid'

    Reference: Cheng et al. 2016, section 5.3.
    Departs from the paper: nothing; the paper does not say how it splits into words.
    """
    _checks.one_of("split", split, SPLITS)
    release = _names(split)[0]
    if split != "train" or look_for(folder, _FOLDERS, release):
        return read(find(folder, "SNLI", _FOLDERS, *_names(split)))
    paths = [path for name in _PARTS if (path := look_for(folder, _FOLDERS, name))]
    if not paths:
        find(folder, "SNLI", _FOLDERS, release, *_PARTS)
    held = [path for other in SPLITS[1:] if (path := look_for(folder, _FOLDERS, *_names(other)))]
    seen = {(pair.premise, pair.hypothesis) for path in held for pair in read(path)}
    pairs = []
    for pair in (pair for path in paths for pair in read(path)):
        if (pair.premise, pair.hypothesis) not in seen:
            seen.add((pair.premise, pair.hypothesis))
            pairs.append(pair)
    return pairs


_Row = tuple[int | None, str, str, str, dict[str, int]]


def _names(split: str) -> tuple[str, str]:
    """The release's file and a copy's."""
    return f"snli_1.0_{split}.jsonl", f"{split}.tsv"


def _table(path: str | os.PathLike[str]) -> Iterator[_Row]:
    """The rows of a table, with the labels that it may hold."""
    columns: Sequence[int] = (2, 3, 0)
    width, labels = 4, _WITHOUT_NAMES
    for number, (line, text) in enumerate(read_texts(path)):
        try:
            (fields,) = csv.reader([text], delimiter="\t", strict=True)
        except csv.Error as error:
            message = f"expected fields between tabs, quoted as CSV, got {short(text)} ({error}); correct the quotes"
            raise DataError(message, path, line) from None
        if number == 0 and any(name in fields for names in _COLUMNS for name in names):
            columns, width, labels = _columns(fields, path, line), len(fields), _BY_NUMBER
            continue
        if len(fields) != width:
            raise DataError(f"expected {width} fields between tabs, got {len(fields)}; correct the line", path, line)
        premise, hypothesis, label = (fields[column] for column in columns)
        yield line, premise, hypothesis, label, labels


def _columns(fields: list[str], path: str | os.PathLike[str], line: int) -> list[int]:
    found = []
    for names in _COLUMNS:
        here = [fields.index(name) for name in names if name in fields]
        if not here:
            raise DataError(
                f"expected a column {' or '.join(names)}, got the columns {', '.join(fields)}; name it", path, line
            )
        found.append(here[-1])
    return found


def _json_lines(path: str | os.PathLike[str]) -> Iterator[_Row]:
    """The rows of the release's format."""
    for line, text in read_texts(path):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise DataError(f"expected a line of JSON, got {short(text)}; get the file anew", path, line) from None
        for _, name in _COLUMNS:
            value = content.get(name) if isinstance(content, dict) else None
            if not isinstance(value, str):
                raise DataError(f"expected a text {name!r}, got {value!r}; correct the line", path, line)
        yield line, content["sentence1"], content["sentence2"], content["gold_label"], _BY_NAME


def _json(path: str | os.PathLike[str]) -> Iterator[_Row]:
    """The rows of a file of the Jack reader."""
    try:
        content: Any = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise DataError(f"expected JSON, got something else ({error}); get it anew", path, line) from None
    number = 0
    try:
        for instance in content["instances"]:
            number += 1
            for question in instance["questions"]:
                premise, hypothesis = instance["support"][0]["text"], question["question"]
                label = question["answers"][0]["text"]
                if not all(isinstance(text, str) for text in (premise, hypothesis, label)):
                    raise TypeError
                yield None, premise, hypothesis, label, _BY_NAME
    except (KeyError, IndexError, TypeError):
        what = "expected instances with the texts of a support, of a question and of its answer"
        raise DataError(f"{what}, got otherwise at number {number}; correct it", path) from None
