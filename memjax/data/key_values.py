# SPDX-License-Identifier: Apache-2.0
"""A knowledge base as keys and values: subject and relation are the key of the object, and the other way round."""

from collections.abc import Iterable

import numpy as np

from memjax.data.facts import Bag, FactEncoder, KnowledgeGraph, build_vocabulary, num_trained, relation_words
from memjax.data.metaqa import Question, Triple
from memjax.data.vocabulary import Vocabulary
from memjax.typing import NUM_SPECIAL


class KeyValueEncoder:
    """Triples as 2 N pairs of key and value, and questions as bags of token ids.

    Pair i < N is triple i, (subject + relation, object); pair N + i is its inverse, (object + inverse relation,
    subject). A value is an entity.

    Args:
        graph: the knowledge base, N triples.
        bag: what keys and questions are bags of.
        vocabulary: of `build_key_value_vocabulary`.

    Example:
        >>> graph = KnowledgeGraph.build([("Fuzz", "written_by", "Al")])
        >>> asked = [Question("who wrote [Fuzz]", ("Al",))]
        >>> encoder = KeyValueEncoder(graph, "phrases", build_key_value_vocabulary(graph, asked))
        >>> encoder.vocabulary.words
        ('who', 'wrote', 'relation|written_by', 'inverse|written_by', 'entity|Al', 'entity|Fuzz')
        >>> encoder.keys.tolist(), encoder.values.tolist()
        ([[7, 4], [6, 5]], [0, 1])
        >>> encoder.question("who wrote [Fuzz]?")[0], encoder.triple(1)
        ([2, 3, 7], ('Fuzz', 'written_by', 'Al'))

    Reference: Miller et al. 2016, section 3.2, KB triple.
    """

    def __init__(self, graph: KnowledgeGraph, bag: Bag, vocabulary: Vocabulary):
        self.graph = graph
        self.bag = bag
        self.vocabulary = vocabulary
        self._facts = FactEncoder(graph, bag, vocabulary)
        self.question = self._facts.question
        size = max(len(relation_words(name)) for name in graph.relations) + 1
        relations = np.zeros((2, len(graph.relations), size), np.int32)
        for row, name in enumerate(graph.relations):
            words = [] if bag == "phrases" else relation_words(name)
            phrases = [f"relation|{name}"] if bag != "words" else []
            for side, tokens in enumerate(([*words, *phrases], [*words, f"inverse|{name}"])):
                relations[side, row, : len(tokens)] = vocabulary.encode(tokens)
        relations = relations[:, :, : max(int((relations > 0).sum(axis=2).max()), 1)]
        subjects, kinds, objects = graph.triples.T
        names = self._facts.names
        sides = ((subjects, relations[0]), (objects, relations[1]))
        self.keys = np.concatenate([np.hstack([names[known], of[kinds]]) for known, of in sides])  # int32 [2 N, S]
        self.values = np.concatenate([objects, subjects])  # int32 [2 N], rows of `graph.entities`
        first = num_trained(vocabulary) + NUM_SPECIAL
        self.symbols = (first + np.arange(len(graph.entities), dtype=np.int32))[:, None]  # int32 [E, 1]

    @property
    def num_trained(self) -> int:
        """Words and relations: the tokens that stand before the phrase tokens of entities."""
        return num_trained(self.vocabulary)

    def triple(self, pair: int) -> Triple:
        """The names of a pair's triple."""
        graph = self.graph
        subject, relation, obj = graph.triples[pair % len(graph.triples)].tolist()
        return graph.entities[subject], graph.relations[relation], graph.entities[obj]


def build_key_value_vocabulary(
    graph: KnowledgeGraph, questions: Iterable[Question], bag: Bag = "phrases"
) -> Vocabulary:
    """The words, relations and inverse relations, then the phrase tokens of entities, which values always are.

    Args:
        graph: the knowledge base; all of it is known at any time.
        questions: the training questions.
        bag: what bags are of.
    """
    known = build_vocabulary(graph, questions, bag)
    inverse = (f"inverse|{name}" for name in graph.relations)
    entities = (f"entity|{name}" for name in graph.entities)
    return Vocabulary((*known.words[: num_trained(known)], *inverse, *entities))
