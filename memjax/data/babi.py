# SPDX-License-Identifier: Apache-2.0
"""The bAbI tasks: reader of the released files (version 1.2).

A line is `ID statement` or `ID question<TAB>answers<TAB>supporting ids`; ids restart at 1 with each story. Any file
that reads otherwise is a `DataError` that names the file and the line.
"""

import os
import pathlib

from memjax import _checks
from memjax.data._lines import read_lines, short
from memjax.data.stories import Example, tokenize
from memjax.errors import DataError

#: Short names of the tasks.
TASKS: dict[int, str] = {
    1: "single-supporting-fact",
    2: "two-supporting-facts",
    3: "three-supporting-facts",
    4: "two-arg-relations",
    5: "three-arg-relations",
    6: "yes-no-questions",
    7: "counting",
    8: "lists-sets",
    9: "simple-negation",
    10: "indefinite-knowledge",
    11: "basic-coreference",
    12: "conjunction",
    13: "compound-coreference",
    14: "time-reasoning",
    15: "basic-deduction",
    16: "basic-induction",
    17: "positional-reasoning",
    18: "size-reasoning",
    19: "path-finding",
    20: "agents-motivations",
}
#: Folders of the release: 1,000 or 10,000 training questions, without and with a validation split taken from them.
VARIANTS = ("en", "en-10k", "en-valid", "en-valid-10k")
SPLITS = ("train", "valid", "test")

_RELEASE = "tasks_1-20_v1-2"


def read(path: str | os.PathLike[str]) -> list[Example]:
    """Reads one bAbI file.

    Args:
        path: a text file, or a gzip of one if the name ends in `.gz`.

    Returns:
        One example for each question, with all statements of its story before it. Supports are indices of statements
        in the order of the file, which is the order of the hops. Answers are split at `,`, stripped and lower-case.

    Raises:
        DataError: if the file cannot be read, or a line is not as the format says.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "qa1_train.txt")
        ...     _ = path.write_text("1 Joe left.\\n2 Who left?\\tJoe\\t1\\n3 Al sat.\\n4 Who sat?\\tAl\\t3\\n")
        ...     read(path)[1]
        Example(statements=('Joe left.', 'Al sat.'), question='Who sat?', answers=('al',), supports=(1,), response='')

    Reference: Weston et al. 2015, "Towards AI-Complete Question Answering", section 3.
    Departs from the paper: nothing.
    """
    examples: list[Example] = []
    statements: list[str] = []
    index_of_id: dict[int, int] = {}
    previous = 0
    for line, raw in enumerate(read_lines(path), 1):
        if not raw.strip():
            continue
        try:
            number, text = _numbered(raw, previous)
            if number == 1:
                statements, index_of_id = [], {}
            if "\t" in text:
                examples.append(_question(text, statements, index_of_id, number))
            elif text.strip():
                index_of_id[number] = len(statements)
                statements.append(text.strip())
            else:
                raise _Bad("expected a statement after the number, got nothing; remove the line and number on")
        except _Bad as error:
            raise DataError(str(error), path, line) from None
        previous = number
    if not examples:
        raise DataError(
            f"expected at least one question, got {'none' if previous else 'an empty file'}; get it anew", path
        )
    return examples


def load(root: str | os.PathLike[str], task: int, split: str, variant: str = "en") -> list[Example]:
    """Reads one split of one task.

    Args:
        root: a folder that holds the variant's folder (as `en/`), or the release `tasks_1-20_v1-2/`, or
            `babi/tasks_1-20_v1-2/`; or the variant's folder itself.
        task: 1 to 20; see `TASKS`.
        split: "train", "test", or, for the variants with "valid" in their name, "valid".
        variant: one of `VARIANTS`.

    Returns:
        The examples in the order of the file; see `read`.

    Raises:
        ValueError: if there is no such task, split or variant.
        DataError: if a folder or the file is missing, or the file is not as the format says.

    Example:
        >>> load("data", 1, "dev")
        Traceback (most recent call last):
            ...
        ValueError: split: expected one of ['train', 'valid', 'test'], got 'dev'

    Reference: Weston et al. 2015, "Towards AI-Complete Question Answering", section 3.
    Departs from the paper: nothing.
    """
    if isinstance(task, bool) or task not in TASKS:
        raise ValueError(f"task: expected an integer from 1 to 20, got {task!r}")
    _checks.one_of("variant", variant, VARIANTS)
    _checks.one_of("split", split, SPLITS)
    if split == "valid" and "valid" not in variant:
        raise ValueError(f"split: expected 'train' or 'test' for {variant!r}, got 'valid'; use variant 'en-valid'")
    return read(_find(_folder(pathlib.Path(root), variant), task, split))


class _Bad(Exception):
    """What is wrong with a line; `read` adds the place."""


def _numbered(raw: bytes, previous: int) -> tuple[int, str]:
    """Returns the id and the rest of a line."""
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise _Bad(f"expected UTF-8 text, got byte {raw[error.start]:#04x}; convert the file to UTF-8") from None
    head, _, rest = text.partition(" ")
    number = _integer(head)
    if number is None:
        raise _Bad(f"expected a line that begins with its number and a space, got {short(text)}")
    if number != 1 and number != previous + 1:
        expected = f"{previous + 1} or, for a new story, 1" if previous else "1"
        raise _Bad(f"expected line number {expected}, got {number}; number the lines of a story in sequence")
    return number, rest


def _question(text: str, statements: list[str], index_of_id: dict[int, int], number: int) -> Example:
    """Returns the example of a question's line, without its number."""
    question, answer, *more = text.split("\t")
    if len(more) > 1:
        raise _Bad(f"expected question, answer and supporting ids between tabs, got {2 + len(more)} fields")
    if not question.strip():
        raise _Bad("expected a question before the tab, got nothing")
    if not statements:
        raise _Bad("expected a statement before the first question of a story, got a question; check the numbering")
    answers = tuple(word.strip().lower() for word in answer.split(","))
    if not all(map(tokenize, answers)):
        raise _Bad(f"expected an answer after the question, words separated by ',', got {short(answer)}")
    supports = []
    for word in more[0].split() if more else ():
        support = _integer(word)
        if support is None:
            raise _Bad(f"expected supporting ids that are integers, got {short(word)}; separate them by spaces")
        if support not in index_of_id:
            found = f"{support}, " + (
                "which is no line of a story"
                if support < 1
                else "a question's line"
                if support <= number
                else "which is not told before the question"
            )
            raise _Bad(f"expected supporting ids of statements told before the question, got {found}")
        supports.append(index_of_id[support])
    return Example(tuple(statements), question.strip(), answers, tuple(supports))


def _integer(text: str) -> int | None:
    """Returns a decimal integer of at most nine ASCII digits; None for all else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _folder(root: pathlib.Path, variant: str) -> pathlib.Path:
    """Returns the folder of a variant."""
    places = [root / variant, root / _RELEASE / variant, root / "babi" / _RELEASE / variant]
    for place in places:
        if place.is_dir():
            return place
    # The variant's folder itself, under its own name or one that is no other variant's.
    name = root.resolve().name
    if root.is_dir() and (name == variant or (name not in VARIANTS and any(root.glob("qa*.txt*")))):
        return root
    looked = ", ".join(map(str, places))
    raise DataError(
        f"expected a folder that holds the bAbI folder {variant!r}, got none; looked for {looked}; "
        "unpack the release 'tasks_1-20_v1-2.tar.gz' there or pass another folder",
        root,
    )


def _find(folder: pathlib.Path, task: int, split: str) -> pathlib.Path:
    """Returns the file of one split; the plain one where its gzip lies beside it."""
    patterns = (f"qa{task}_*_{split}.txt", f"qa{task}_{split}.txt")
    for suffix in ("", ".gz"):
        found = sorted({path for pattern in patterns for path in folder.glob(pattern + suffix)})
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise DataError(f"expected one file {patterns[0]}[.gz], got {names}; leave one of them", folder)
        if found:
            return found[0]
    raise DataError(
        f"no file {patterns[0]}[.gz] or {patterns[1]}[.gz] in {folder}; the copy of the release lacks it, "
        "get it or use another variant",
        folder,
    )
