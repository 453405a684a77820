# SPDX-License-Identifier: Apache-2.0
"""A knowledge base as arrays: who stands in which triples, and which token ids triples, names and questions are."""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence, Set
from typing import Any, Literal

import numpy as np

from memjax.data.metaqa import Question, Step, Triple, split_mention
from memjax.data.stories import tokenize
from memjax.data.vocabulary import Vocabulary

#: What a triple and a question are bags of: words, phrase tokens (one for each name and each relation), or both.
Bag = Literal["words", "phrases", "both"]


@dataclasses.dataclass(frozen=True, eq=False)
class KnowledgeGraph:
    """N triples over E entities and R relations.

    A step from an entity to others is an integer: 2 * relation, plus 1 where the entity is the triple's object.

    Args:
        entities: names, sorted.
        relations: names, sorted.
        triples: int32 `[N, 3]`, rows of `entities`, `relations`, `entities`.

    Example:
        >>> graph = KnowledgeGraph.build([("Fuzz", "written_by", "Evan Hunter"), ("Fuzz", "has_genre", "Comedy")])
        >>> graph.names(graph.expand("Evan Hunter", graph.steps((("written_by", "object"), ("has_genre", "subject")))))
        ['Comedy']
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    triples: np.ndarray
    _ids: dict[str, int] = dataclasses.field(init=False, repr=False)
    _starts: np.ndarray = dataclasses.field(init=False, repr=False)
    _rows: np.ndarray = dataclasses.field(init=False, repr=False)
    _by_words: dict[tuple[str, ...], list[int]] = dataclasses.field(init=False, repr=False)
    _most_words: int = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Sorts the triples by entity and step."""
        steps = 2 * len(self.relations)
        subjects, relations, objects = self.triples.T
        groups = np.concatenate([subjects * steps + 2 * relations, objects * steps + 2 * relations + 1])
        order = np.argsort(groups, kind="stable")
        starts = np.searchsorted(groups[order], np.arange(len(self.entities) * steps + 1))
        object.__setattr__(self, "_ids", {name: i for i, name in enumerate(self.entities)})
        object.__setattr__(self, "_starts", starts.astype(np.int32))
        object.__setattr__(self, "_rows", (order % len(self.triples)).astype(np.int32))
        by_words: dict[tuple[str, ...], list[int]] = {}
        for i, name in enumerate(self.entities):
            if words := tuple(tokenize(name)):
                by_words.setdefault(words, []).append(i)
        object.__setattr__(self, "_by_words", by_words)
        object.__setattr__(self, "_most_words", max(map(len, by_words), default=0))

    @classmethod
    def build(cls, triples: Iterable[Triple]) -> "KnowledgeGraph":
        """Numbers the entities and relations of triples.

        Raises:
            ValueError: if there is no triple.
        """
        triples = list(triples)
        if not triples:
            raise ValueError("triples: expected at least one, got none; read a knowledge base first")
        entities = tuple(sorted({name for subject, _, obj in triples for name in (subject, obj)}))
        relations = tuple(sorted({relation for _, relation, _ in triples}))
        entity, relation = ({name: i for i, name in enumerate(names)} for names in (entities, relations))
        rows = [(entity[s], relation[r], entity[o]) for s, r, o in triples]
        return cls(entities, relations, np.array(rows, np.int32))

    @property
    def num_steps(self) -> int:
        """Different steps: twice the relations."""
        return 2 * len(self.relations)

    @property
    def groups(self) -> tuple[np.ndarray, np.ndarray]:
        """Starts int32 `[E * num_steps + 1]` and rows int32 `[2 N]`: the triples of entity * num_steps + step."""
        return self._starts, self._rows

    def entity(self, name: str) -> int:
        """The row of a name; -1 where there is no such entity."""
        return self._ids.get(name, -1)

    def names(self, entities: Iterable[int]) -> list[str]:
        """The names of rows, sorted."""
        return sorted(self.entities[i] for i in entities)

    def steps(self, path: Sequence[Step]) -> tuple[int, ...]:
        """The integers of a path's steps; -1 for a relation that no triple has."""
        known = {name: 2 * i for i, name in enumerate(self.relations)}
        return tuple(known[name] + (side == "object") if name in known else -1 for name, side in path)

    def rows(self, entity: int, step: int) -> np.ndarray:
        """The triples in which an entity takes a step."""
        group = entity * self.num_steps + step
        return self._rows[self._starts[group] : self._starts[group + 1]]

    def expand(self, entity: int | str, steps: Iterable[int]) -> set[int]:
        """The entities at the end of a path. It does not go back to where it began.

        Args:
            entity: a row of `entities`, or a name.
            steps: of `steps`.

        Returns:
            Rows of `entities`; empty for an entity that is not there.
        """
        start = self.entity(entity) if isinstance(entity, str) else entity
        current = {start} - {-1}
        for step in steps:
            found = [self.triples[self.rows(i, step), 0 if step % 2 else 2] for i in current] if step >= 0 else []
            current = set(np.concatenate(found).tolist()) - {start} if found else set()
        return current

    def find_mention(self, text: str, common: Set[str] = frozenset()) -> tuple[str, int]:
        """Finds the entity that a question is about.

        Brackets mark it; without them it is the longest name whose words stand in the question. A name that is spelt
        the same way, capitals included, comes before others of the same words.

        Args:
            text: a question.
            common: words that questions are made of; a name of such words alone (there is a film "What?") comes last.

        Returns:
            The rest of the question, and a row of `entities`, or -1.

        Example:
            >>> graph = KnowledgeGraph.build([("Fuzz", "written_by", "Evan Hunter"), ("Evan", "has_genre", "Comedy")])
            >>> rest, entity = graph.find_mention("what did evan hunter write?")
            >>> rest, graph.entities[entity]
            ('what did write', 'Evan Hunter')
        """
        rest, name = split_mention(text)
        if name:
            [other, *_] = self._by_words.get(tuple(tokenize(name)), [-1])
            return rest, self._ids.get(name, other)
        words = tokenize(text)
        spans = [
            (any(word not in common for word in words[start:end]), end - start, -start)
            for start in range(len(words))
            for end in range(start + 1, min(start + self._most_words, len(words)) + 1)
            if tuple(words[start:end]) in self._by_words
        ]
        if not spans:
            return text, -1
        _, length, start = max(spans)
        start, end = -start, length - start
        found = self._by_words[tuple(words[start:end])]
        exact = [i for i in found if self.entities[i] in text]
        return " ".join(words[:start] + words[end:]), (exact or found)[0]


class FactEncoder:
    """I for a knowledge base: triples, names and questions as bags of token ids.

    The words and relations come first in the vocabulary, the phrase tokens of entities after them; `num_trained` of
    a vocabulary of this kind tells them apart.

    Args:
        graph: the knowledge base.
        bag: what they are of.
        vocabulary: of `build_vocabulary`.

    Example:
        >>> graph = KnowledgeGraph.build([("Fuzz", "written_by", "Evan Hunter")])
        >>> encoder = FactEncoder(graph, "phrases", build_vocabulary(graph, [Question("who wrote [Fuzz]", ("?",))]))
        >>> encoder.vocabulary.words
        ('who', 'wrote', 'relation|written_by', 'entity|Evan Hunter', 'entity|Fuzz')
        >>> encoder.keys.tolist(), encoder.question("who wrote [Fuzz]?")[0]
        ([[6, 4, 5]], [2, 3, 6])
    """

    def __init__(self, graph: KnowledgeGraph, bag: Bag, vocabulary: Vocabulary):
        self.graph = graph
        self.bag = bag
        self.vocabulary = vocabulary
        # Words of questions; where names are bags of words too, these cannot be told from words of names.
        self._common = frozenset(vocabulary.words[: num_trained(vocabulary)]) if bag == "phrases" else frozenset()
        names = [vocabulary.encode(_name_tokens(name, bag)) for name in graph.entities]
        relations = [vocabulary.encode(_relation_tokens(name, bag)) for name in graph.relations]
        self.names = _pad(names)  # int32 [E, S']
        self.keys = _pad([names[s] + relations[r] + names[o] for s, r, o in graph.triples.tolist()])  # int32 [N, S]

    @property
    def num_trained(self) -> int:
        """Words and relations: the tokens that stand before the phrase tokens of entities."""
        return num_trained(self.vocabulary)

    def question(self, text: str) -> tuple[list[int], int, list[str]]:
        """Encodes a question.

        Returns:
            Token ids, the row of its entity or -1, and the words that are left out: those that are not in the
            vocabulary, and those of a name in brackets that is no entity's, where names are tokens of their own.
        """
        rest, entity = self.graph.find_mention(text, self._common)
        tokens, left_out = tokenize(rest), []
        if entity >= 0:
            tokens += _name_tokens(self.graph.entities[entity], self.bag)
        elif self.bag != "phrases":
            tokens += tokenize(split_mention(text)[1])
        else:
            left_out = tokenize(split_mention(text)[1])
        return self.vocabulary.encode(tokens), entity, self.vocabulary.unknown(tokens) + left_out

    def buckets(self) -> tuple[np.ndarray, np.ndarray]:
        """The triples that hold each token: starts int32 `[V + 1]` and rows int32 `[total]`."""
        flat = self.keys.ravel()
        order = np.argsort(flat, kind="stable")
        starts = np.searchsorted(flat[order], np.arange(len(self.vocabulary) + 1))
        return starts.astype(np.int32), (order // self.keys.shape[1]).astype(np.int32)


def build_vocabulary(graph: KnowledgeGraph, questions: Iterable[Question], bag: Bag = "phrases") -> Vocabulary:
    """The words and relations that have embeddings of their own, then the phrase tokens of entities.

    Args:
        graph: the knowledge base; all of it is known at any time.
        questions: the training questions.
        bag: what bags are of; words of names are left out where they are of phrases only.
    """
    words = {word for question in questions for word in tokenize(split_mention(question.text)[0])}
    if bag != "phrases":
        words |= {word for name in graph.entities for word in tokenize(name)}
        words |= {word for name in graph.relations for word in relation_words(name)}
    phrases: list[str] = []
    if bag != "words":
        phrases = [f"relation|{name}" for name in graph.relations] + [f"entity|{name}" for name in graph.entities]
    return Vocabulary((*sorted(words), *phrases))


def relation_words(name: str) -> list[str]:
    """The words of a relation's name.

    Example:
        >>> relation_words("written_by"), relation_words("_hypernym")
        (['written', 'by'], ['hypernym'])
    """
    return [word for word in name.split("_") if word]


def num_trained(vocabulary: Vocabulary) -> int:
    """How many words of a vocabulary of `build_vocabulary` stand before the phrase tokens of entities."""
    return sum(1 for _ in itertools.takewhile(lambda word: not word.startswith("entity|"), vocabulary.words))


def paths_to_answers(graph: KnowledgeGraph, question: Question) -> list[tuple[int]]:
    """The single steps that lead from a question's entity to its answers.

    Args:
        graph: the knowledge base.
        question: its entity and answers count, its path does not.

    Returns:
        All steps with the highest F1 between what they lead to and the answers; none where no step leads to any.

    Example:
        >>> graph = KnowledgeGraph.build([("Fuzz", "written_by", "Al"), ("Fuzz", "directed_by", "Al")])
        >>> paths_to_answers(graph, Question("who wrote [Fuzz]", ("Al",)))
        [(0,), (2,)]
    """
    gold = {graph.entity(name) for name in question.answers}
    scores = [f1(graph.expand(question.entity, (step,)), gold) for step in range(graph.num_steps)]
    best = max(scores)
    return [(step,) for step, score in enumerate(scores) if score == best > 0]


def f1(found: Set[Any], gold: Set[Any]) -> float:
    """The harmonic mean of precision and recall of a set of answers: 2 |both| / (|found| + |gold|).

    Example:
        >>> f1({1, 2, 3}, {3})
        0.5
    """
    return 2 * len(found & gold) / max(len(found) + len(gold), 1)


def _name_tokens(name: str, bag: Bag) -> list[str]:
    words = [] if bag == "phrases" else tokenize(name)
    return words if bag == "words" else [*words, f"entity|{name}"]


def _relation_tokens(name: str, bag: Bag) -> list[str]:
    words = [] if bag == "phrases" else relation_words(name)
    return words if bag == "words" else [*words, f"relation|{name}"]


def _pad(rows: Sequence[Sequence[int]]) -> np.ndarray:
    array = np.zeros((len(rows), max(1, *map(len, rows)) if rows else 1), np.int32)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array
