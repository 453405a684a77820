# SPDX-License-Identifier: Apache-2.0
"""MetaQA: reader of the knowledge base of films and of the questions about it.

A line of the knowledge base is `subject|relation|object`; a line of questions is `question with [entity]<TAB>answer|
answer`; a line of question types is as `actor_to_movie_to_year`. Any file that reads otherwise is a `DataError` that
names the file and the line.
"""

import dataclasses
import os
from typing import Literal

from memjax import _checks
from memjax.data._lines import find, read_texts, short
from memjax.errors import DataError

Triple = tuple[str, str, str]
#: A step from an entity to others: a relation, and the side of it on which the entity stands.
Step = tuple[str, Literal["subject", "object"]]

SPLITS = ("dev", "test")
#: The relation behind each word of a question type.
RELATIONS = {
    "actor": "starred_actors",
    "director": "directed_by",
    "genre": "has_genre",
    "imdbrating": "has_imdb_rating",
    "imdbvotes": "has_imdb_votes",
    "language": "in_language",
    "tag": "has_tags",
    "tags": "has_tags",
    "writer": "written_by",
    "year": "release_year",
}

_FOLDERS = ("metaqa", "MetaQA")


@dataclasses.dataclass(frozen=True)
class Question:
    """A question about an entity of the knowledge base.

    Args:
        text: the question, the entity in brackets.
        answers: names of the entities that answer it.
        path: the steps from the entity to the answers; () where unknown.
    """

    text: str
    answers: tuple[str, ...]
    path: tuple[Step, ...] = ()

    @property
    def entity(self) -> str:
        """The name in brackets; empty without one.

        Example:
            >>> Question("who wrote [Fuzz]", ("Evan Hunter",)).entity
            'Fuzz'
        """
        return split_mention(self.text)[1]


def split_mention(text: str) -> tuple[str, str]:
    """Takes a question apart: its words around the brackets, and the name in them.

    Names can hold brackets of their own, so the outermost ones count.

    Example:
        >>> split_mention("who acted in [[REC]] first")
        ('who acted in   first', '[REC]')
        >>> split_mention("who wrote Fuzz")
        ('who wrote Fuzz', '')
    """
    start, end = text.find("["), text.rfind("]")
    return (text, "") if end < start or start < 0 else (f"{text[:start]} {text[end + 1 :]}", text[start + 1 : end])


def read_triples(path: str | os.PathLike[str]) -> list[Triple]:
    """Reads a knowledge base.

    Args:
        path: the release's `kb.txt`, or a file of its format; a gzip if the name ends in `.gz`.

    Returns:
        The different triples, in the order of the file.

    Raises:
        DataError: if the file cannot be read or is empty, or a line is no triple.

    Example:
        >>> import pathlib
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "kb.txt")
        ...     _ = path.write_text("Fuzz|written_by|Evan Hunter\\n")
        ...     read_triples(path)
        [('Fuzz', 'written_by', 'Evan Hunter')]
    """
    triples: dict[Triple, None] = {}
    for line, text in read_texts(path):
        parts = text.split("|")
        if len(parts) != 3 or not all(part.strip() for part in parts):
            raise DataError(f"expected subject|relation|object, got {short(text)}; correct the line", path, line)
        triples[parts[0].strip(), parts[1].strip(), parts[2].strip()] = None
    if not triples:
        raise DataError("expected at least one triple, got an empty file; get it anew", path)
    return list(triples)


def read_questions(path: str | os.PathLike[str], types_path: str | os.PathLike[str] | None = None) -> list[Question]:
    """Reads questions.

    Args:
        path: a file of questions; a gzip if the name ends in `.gz`.
        types_path: the file of their types, which give `Question.path`.

    Returns:
        The questions in the order of the file.

    Raises:
        DataError: if a file cannot be read, a line is not as the format says, or there is not one type a question.

    Reference: Zhang et al. 2018, "Variational Reasoning for Question Answering with Knowledge Graph", section 4.
    """
    questions = []
    for line, text in read_texts(path):
        question, tab, answers = text.partition("\t")
        names = tuple(name.strip() for name in answers.split("|"))
        if not tab or not question.strip() or not all(names):
            raise DataError(f"expected question<TAB>answer|answer, got {short(text)}; correct the line", path, line)
        if not split_mention(question)[1].strip():
            raise DataError(f"expected an entity in brackets, got {short(question)}; mark it", path, line)
        questions.append(Question(question.strip(), names))
    if not questions:
        raise DataError("expected at least one question, got an empty file; get it anew", path)
    if types_path is None:
        return questions
    paths = [_steps(text, types_path, line) for line, text in read_texts(types_path)]
    if len(paths) != len(questions):
        raise DataError(
            f"expected {len(questions)} types, one for each question of {path}, got {len(paths)}; get both anew",
            types_path,
        )
    return [dataclasses.replace(question, path=path) for question, path in zip(questions, paths, strict=True)]


def load_triples(root: str | os.PathLike[str]) -> list[Triple]:
    """Reads the knowledge base of a folder: `kb.txt`, or `kb_union.txt`, plain or gzip.

    Args:
        root: a folder that holds the corpus, or its folder `metaqa/` or `MetaQA/`.

    Raises:
        DataError: if there is none, or it is not as the format says.
    """
    return read_triples(find(root, "MetaQA", _FOLDERS, "kb.txt", "kb_union.txt"))


def load_questions(root: str | os.PathLike[str], hops: int, split: str, *, paraphrases: bool = False) -> list[Question]:
    """Reads the questions of a folder, with their types.

    Args:
        root: a folder that holds the corpus, or its folder `metaqa/` or `MetaQA/`.
        hops: 1, 2 or 3.
        split: "dev" or "test".
        paraphrases: read the machine paraphrases of the 1-hop questions (`ntm/`) in their place.

    Raises:
        ValueError: if there is no such split.
        DataError: if a file is missing, or not as the format says.

    Example:
        >>> load_questions("data", 4, "dev")
        Traceback (most recent call last):
            ...
        ValueError: hops: expected 1, 2 or 3, got 4
    """
    if hops not in (1, 2, 3):
        raise ValueError(f"hops: expected 1, 2 or 3, got {hops}")
    _checks.one_of("split", split, SPLITS)
    if paraphrases and hops != 1:
        raise ValueError(f"paraphrases: expected hops=1, which alone have paraphrases, got hops={hops}")
    names = [f"{hops}-hop/ntm/qa_{split}.txt"] if paraphrases else []
    names += [] if paraphrases else [f"{hops}-hop/{split}.txt", f"{hops}-hop/vanilla/qa_{split}.txt"]
    types = f"{hops}-hop/qa_{split}_qtype.txt"
    return read_questions(find(root, "MetaQA", _FOLDERS, *names), find(root, "MetaQA", _FOLDERS, types))


def _steps(text: str, path: str | os.PathLike[str], line: int) -> tuple[Step, ...]:
    """The steps of a question type: each pair of neighbours is a film and something of it, in either order."""
    words = text.strip().split("_to_")
    steps: list[Step] = []
    for known, found in zip(words, words[1:], strict=False):
        other = found if known == "movie" else known
        if "movie" not in (known, found) or other not in RELATIONS:
            break
        steps.append((RELATIONS[other], "subject" if known == "movie" else "object"))
    if len(words) < 2 or len(steps) != len(words) - 1:
        kinds = ", ".join(RELATIONS)
        raise DataError(
            f"expected a type such as actor_to_movie, of movie and {kinds}, got {short(text)}; correct the line",
            path,
            line,
        )
    return tuple(steps)
