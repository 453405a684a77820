# SPDX-License-Identifier: Apache-2.0
"""From a corpus by name to its examples: training and validation together, the test set by itself."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from memjax import _checks
from memjax.data import (
    Example,
    Vocabulary,
    babi,
    bind,
    dialog,
    function_words,
    metaqa,
    reply_words,
    simulation,
    token_lists,
)
from memjax.data.facts import KnowledgeGraph
from memjax.data.streams import Stream


@dataclasses.dataclass(frozen=True)
class Tasks:
    """Examples of several tasks, which one model learns side by side.

    Attributes:
        parts: the examples of each task, by its name.
    """

    parts: Mapping[str, tuple[Example, ...]]

    def __iter__(self) -> Iterator[Example]:
        """All examples, one task after another."""
        return (example for part in self.parts.values() for example in part)

    def __len__(self) -> int:
        """The number of examples."""
        return sum(map(len, self.parts.values()))


#: Told sentence by sentence; or as a stream of words, which is cut into segments first; or of several tasks.
Told = tuple[Example, ...] | Stream | Tasks


@dataclasses.dataclass(frozen=True)
class Splits:
    """What a model may be chosen by: no test data.

    Attributes:
        train: examples to learn from; they make the vocabulary.
        valid: examples to choose by; empty where the corpus has none.
        vocabulary: the words of `train`.
    """

    train: Told
    valid: Told
    vocabulary: Vocabulary


@dataclasses.dataclass(frozen=True)
class Simulation:
    """The simulated world of the Memory Networks paper; needs no file and no network."""

    difficulty: int = 5
    """How many steps back the asked actor or object was last mentioned, at most."""
    objects: bool = True
    """Actors also take and drop objects, and questions ask for these."""
    before: bool = False
    """Also ask where an actor was before."""
    num_statements: int = 7000
    """Statements in a split."""
    num_questions: int = 3000
    """Questions in a split."""
    window: int = 128
    """Statements that a question sees."""
    bare_rooms: bool = False
    """Rooms go without an article at random, as objects do."""
    world_seed: int = 0
    """Which world."""
    stream: bool = False
    """Statements come as one stream of words without marks, joined by "and then" and the like; a segmenter cuts it."""

    def __post_init__(self) -> None:
        """Checks the seed, whose name is another one where the world is told."""
        _checks.at_least_zero("world_seed", self.world_seed)

    def examples(self, split: str) -> Told:
        """The examples of a split: train, valid or test."""
        settings: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("num_statements", "num_questions", "difficulty", "objects", "before", "window", "bare_rooms")
        }
        if self.stream:
            return simulation.generate_stream(self.world_seed, split, **settings)
        return tuple(simulation.generate(self.world_seed, split, **settings))

    @property
    def has_valid(self) -> bool:
        """Whether there is a validation split."""
        return True


@dataclasses.dataclass(frozen=True)
class Babi:
    """The bAbI tasks, from a folder that holds the release."""

    task: int = 1
    """1 to 20."""
    variant: str = "en"
    """en, en-10k, en-valid or en-valid-10k; only the latter two have validation questions."""
    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""

    def examples(self, split: str) -> tuple[Example, ...]:
        """The examples of a split: train, valid (of en-valid and en-valid-10k) or test."""
        return tuple(babi.load(find_data(self.data), self.task, split, self.variant))

    @property
    def has_valid(self) -> bool:
        """Whether there is a validation split."""
        return self.variant.startswith("en-valid")


@dataclasses.dataclass(frozen=True)
class BabiTasks:
    """Several bAbI tasks for one model, which learns them side by side; all 20 by default."""

    tasks: tuple[int, ...] = tuple(babi.TASKS)
    """Which tasks, 1 to 20."""
    variant: str = "en"
    """en, en-10k, en-valid or en-valid-10k; only the latter two have validation questions."""
    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""

    def __post_init__(self) -> None:
        """Checks the tasks."""
        object.__setattr__(self, "tasks", tuple(self.tasks))  # JSON has lists only
        unknown = [task for task in self.tasks if isinstance(task, bool) or task not in babi.TASKS]
        if unknown or not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks: expected one or more different integers from 1 to 20, got {list(self.tasks)}")

    def examples(self, split: str) -> Tasks:
        """The examples of a split, by task: train, valid (of en-valid and en-valid-10k) or test."""
        each = (Babi(task, self.variant, self.data) for task in self.tasks)
        return Tasks({f"task {corpus.task}": corpus.examples(split) for corpus in each})

    @property
    def has_valid(self) -> bool:
        """Whether there is a validation split."""
        return self.variant.startswith("en-valid")


@dataclasses.dataclass(frozen=True)
class MetaQA:
    """Questions over a knowledge base of films, from a folder that holds MetaQA."""

    hops: int = 1
    """1, 2 or 3: facts between a question and its answers."""
    paraphrases: bool = False
    """Train on machine paraphrases of the training questions too (1 hop)."""
    valid_part: float = 0.1
    """Of the dev questions, to choose by; the others are to learn from."""
    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""

    def __post_init__(self) -> None:
        """Checks the share that is held out."""
        if not 0 < self.valid_part < 1:
            raise ValueError(f"valid_part: expected a share above 0 and below 1, got {self.valid_part!r}")

    def graph(self) -> KnowledgeGraph:
        """The knowledge base."""
        return KnowledgeGraph.build(metaqa.load_triples(find_data(self.data)))

    def questions(self, split: str) -> tuple[metaqa.Question, ...]:
        """The questions of a split.

        Args:
            split: train or valid, parts of the dev file that are drawn once and for all; test; or paraphrased, machine
                paraphrases of the test questions (1 hop).

        Raises:
            ValueError: if there is no such split, or one of the two parts is empty.
            DataError: if a file is missing or damaged.
        """
        _checks.one_of("split", split, ("train", "valid", "test", "paraphrased"))
        root = find_data(self.data)
        if split in ("test", "paraphrased"):
            return tuple(metaqa.load_questions(root, self.hops, "test", paraphrases=split == "paraphrased"))
        questions = metaqa.load_questions(root, self.hops, "dev")
        order = np.random.default_rng(0).permutation(len(questions))
        num_valid = int(len(questions) * self.valid_part)
        if not 0 < num_valid < len(questions):
            raise ValueError(
                f"valid_part: expected a share that parts {len(questions)} dev questions in two, got "
                f"{self.valid_part}, which holds out {num_valid} of them; pass another --valid-part"
            )
        rows = order[:num_valid] if split == "valid" else order[num_valid:]
        chosen = [questions[row] for row in rows]
        if self.paraphrases and split == "train":
            others = metaqa.load_questions(root, self.hops, "dev", paraphrases=True)
            chosen += [others[row] for row in rows]
        return tuple(chosen)


#: Names of the splits, and those of the dialog bAbI tasks.
_DIALOG_SPLITS = {"train": "trn", "valid": "dev", "test": "tst", "oov": "tst-OOV"}


@dataclasses.dataclass(frozen=True)
class DialogBabi:
    """The dialog bAbI tasks, in which a bot books a table, from a folder that holds them."""

    task: int = 5
    """1 to 6: issue an api_call; change it; propose what it gave; give phone and address; all of that; real dialogs."""
    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""

    def __post_init__(self) -> None:
        """Checks the task."""
        if isinstance(self.task, bool) or self.task not in dialog.TASKS:
            raise ValueError(f"task: expected an integer from 1 to 6, got {self.task!r}")

    def dialogs(self, split: str) -> tuple[dialog.Dialog, ...]:
        """The dialogs of a split: train, valid, test, or (tasks 1 to 5) oov, test dialogs about entities of their own.

        Raises:
            ValueError: if there is no such split.
        """
        names = [name for name in _DIALOG_SPLITS if self.task != 6 or name != "oov"]
        if split not in names:
            raise ValueError(f"split: expected one of {names} for task {self.task}, got {split!r}")
        return tuple(dialog.load(find_data(self.data), self.task, _DIALOG_SPLITS[split]))

    def candidates(self) -> tuple[str, ...]:
        """The responses to choose from."""
        return tuple(dialog.load_candidates(find_data(self.data), self.task))

    def restaurants(self) -> dialog.Restaurants:
        """The knowledge base."""
        return dialog.load_restaurants(find_data(self.data), self.task)


Corpus = Simulation | Babi | BabiTasks


def find_data(folder: str | None) -> str:
    """The folder with the corpora: the one given, or that of the environment variable MEMJAX_DATA.

    Raises:
        ValueError: if there is neither.
    """
    folder = folder or os.environ.get("MEMJAX_DATA")
    if not folder:
        raise ValueError("data: expected a folder with the corpora; pass --data DIR or set MEMJAX_DATA")
    return folder


def load_splits(corpus: Corpus, ngrams: int = 1, variables: bool = False) -> Splits:
    """Reads what a model may learn from and be chosen by.

    Args:
        corpus: where the examples come from.
        ngrams: N, n-grams of 1 to N words have features of their own.
        variables: the vocabulary is that of examples with variables (`memjax.data.variables`).

    Example:
        >>> splits = load_splits(Simulation(num_statements=50, num_questions=10))
        >>> len(splits.train), len(splits.valid)
        (10, 10)
    """
    train = corpus.examples("train")
    return splits_of(train, corpus.examples("valid") if corpus.has_valid else (), ngrams, variables)


def splits_of(train: Told, valid: Told, ngrams: int = 1, variables: bool = False) -> Splits:
    """The splits of examples of one's own.

    Args:
        train: to learn from.
        valid: to choose by; may be empty.
        ngrams: as of `load_splits`.
        variables: likewise.

    Example:
        >>> splits_of((Example(("Joe left.",), "Who left?", ("joe",), (0,)),), ()).vocabulary.words
        ('joe', 'left', 'who')
    """
    if isinstance(train, Stream):
        if variables:
            raise ValueError("variables: expected False for a stream of words, got True; pass --no-variables")
        return Splits(train, valid, Vocabulary.build(train.token_lists(), ngrams))
    words = None
    if variables:  # a word that asks in one task asks in all
        parts = train.parts.values() if isinstance(train, Tasks) else [train]
        words = tuple(sorted({word for part in parts for word in function_words(part)}))
    read = train if words is None else [bind(example, words) for example in train]
    return Splits(train, valid, Vocabulary.build(token_lists(read), ngrams, words))


def with_replies(splits: Splits) -> Splits:
    """The same examples; the words of the sentences that answer the training questions join the vocabulary.

    Example:
        >>> splits = load_splits(Simulation(num_statements=50, num_questions=10))
        >>> "believe" in splits.vocabulary, "believe" in with_replies(splits).vocabulary
        (False, True)
    """
    asked = splits.train.questions if isinstance(splits.train, Stream) else splits.train
    words = {*splits.vocabulary.words, *(word for question in asked for word in reply_words(question))}
    return dataclasses.replace(splits, vocabulary=dataclasses.replace(splits.vocabulary, words=tuple(sorted(words))))


def load_test(corpus: Corpus) -> Told:
    """Reads the test set; only evaluation calls it."""
    return corpus.examples("test")
