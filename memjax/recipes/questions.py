# SPDX-License-Identifier: Apache-2.0
"""What the two readers of a knowledge base share: questions side by side, and how well they are answered."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from memjax.data.facts import KnowledgeGraph
from memjax.data.metaqa import Question

#: Words of a question, at most.
MAX_TOKENS = 64


class Encoded(NamedTuple):
    """A question as token ids."""

    tokens: list[int]
    entity: int  # that it is about; -1 where none is known
    unknown: list[str]  # words that training never met


class Encoder(Protocol):
    """What turns questions into token ids."""

    def question(self, text: str) -> tuple[list[int], int, list[str]]:
        """Token ids, the entity or -1, unknown words."""
        ...


def encode_questions(encoder: Encoder, texts: Sequence[str]) -> list[Encoded]:
    """Encodes questions.

    Raises:
        ValueError: if one has no words, or too many.
    """
    encoded = [Encoded(*encoder.question(text)) for text in texts]
    for text, question in zip(texts, encoded, strict=True):
        if not 0 < len(question.tokens) <= MAX_TOKENS:
            raise ValueError(f"question: expected 1 to {MAX_TOKENS} words, got {len(question.tokens)} in {text[:60]!r}")
    return encoded


def side_by_side(questions: Sequence[Encoded], most: int) -> Iterator[tuple[Sequence[Encoded], np.ndarray]]:
    """Cuts questions into parts of one size; a call has one shape, however many questions the last part has.

    Args:
        questions: Q of them.
        most: questions in a part, at most.

    Yields:
        the questions of a part, and their tokens `[size, MAX_TOKENS]`, zeros where there are none.

    Example:
        >>> questions = [Encoded([2, 3], -1, []), Encoded([4], 0, []), Encoded([5], 1, [])]
        >>> [(len(part), tokens.shape) for part, tokens in side_by_side(questions, 2)]
        [(2, (2, 64)), (1, (2, 64))]
    """
    size = max(min(most, len(questions)), 1)
    for start in range(0, len(questions), size):
        part = questions[start : start + size]
        tokens = np.zeros((size, MAX_TOKENS), np.int32)
        for row, question in enumerate(part):
            tokens[row, : len(question.tokens)] = question.tokens
        yield part, tokens


def entities_of(graph: KnowledgeGraph, questions: Sequence[Question]) -> frozenset[int]:
    """The entities that questions are about, those that the knowledge base has."""
    return frozenset(graph.entity(question.entity) for question in questions) - {-1}


def by_seen(
    metrics: dict[str, Sequence[float]], questions: Sequence[Question], graph: KnowledgeGraph, seen: frozenset[int]
) -> dict[str, float]:
    """Means in percent: over all questions, over those about entities of training questions, and over the others.

    Args:
        metrics: the values of each question by the metric's name.
        questions: Q of them.
        graph: their knowledge base.
        seen: the entities that training questions were about.

    Returns:
        By the metric's name, alone and with " seen" and " unseen" behind it; of what has no questions there is no mean.

    Example:
        >>> graph = KnowledgeGraph.build([("Film 1", "by", "Ann"), ("Film 2", "by", "Bob")])
        >>> asked = [Question("who made [Film 1]", ("Ann",)), Question("who made [Film 2]", ("Bob",))]
        >>> by_seen({"hits@1": [1.0, 0.0]}, asked, graph, frozenset([graph.entity("Film 1")]))
        {'hits@1': 50.0, 'hits@1 seen': 100.0, 'hits@1 unseen': 0.0}
    """
    met = np.array([graph.entity(question.entity) in seen for question in questions], bool)
    return {
        name + suffix: round(100 * float(np.mean(np.asarray(values, float)[rows])), 4)
        for suffix, rows in (("", met | True), (" seen", met), (" unseen", ~met))
        for name, values in metrics.items()
        if rows.any()
    }
