# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.key_values`."""

import numpy as np
import pytest

from memjax.data.facts import KnowledgeGraph
from memjax.data.key_values import KeyValueEncoder, build_key_value_vocabulary
from memjax.data.metaqa import Question

TRIPLES = [("The Man", "starred_actors", "Al Bo"), ("The Man", "written_by", "Al Bo"), ("Cy", "has_genre", "al bo")]
GRAPH = KnowledgeGraph.build(TRIPLES)
ASKED = [Question("who is in [The Man]", ("Al Bo",))]


@pytest.mark.parametrize(
    ("bag", "forward", "inverse"),
    [
        ("phrases", {"entity|The Man", "relation|written_by"}, {"entity|Al Bo", "inverse|written_by"}),
        ("words", {"the", "man", "written", "by"}, {"al", "bo", "written", "by", "inverse|written_by"}),
        (
            "both",
            {"the", "man", "entity|The Man", "written", "by", "relation|written_by"},
            {"al", "bo", "entity|Al Bo", "written", "by", "inverse|written_by"},
        ),
    ],
)
def test_each_triple_is_a_pair_in_both_directions(bag, forward, inverse):
    encoder = KeyValueEncoder(GRAPH, bag, build_key_value_vocabulary(GRAPH, ASKED, bag))
    words = encoder.vocabulary.words
    row = [encoder.triple(i) for i in range(3)].index(("The Man", "written_by", "Al Bo"))
    for pair, expected, value in ((row, forward, "Al Bo"), (row + 3, inverse, "The Man")):
        assert {words[token - 2] for token in encoder.keys[pair] if token} == expected
        assert GRAPH.entities[encoder.values[pair]] == value
        assert encoder.triple(pair) == ("The Man", "written_by", "Al Bo")
    assert [words[token - 2] for token in encoder.symbols[:, 0]] == [f"entity|{name}" for name in GRAPH.entities]
    assert encoder.keys.dtype == encoder.values.dtype == encoder.symbols.dtype == np.int32
    assert words[encoder.num_trained :] == tuple(f"entity|{name}" for name in GRAPH.entities)


def test_a_question_about_what_is_in_no_triple_keeps_its_words():
    encoder = KeyValueEncoder(GRAPH, "phrases", build_key_value_vocabulary(GRAPH, ASKED))
    tokens, entity, unknown = encoder.question("who is in [Nothing]")
    assert (len(tokens), entity, unknown) == (3, -1, ["nothing"])
    assert encoder.question("?")[0] == []


def test_relations_may_begin_with_the_mark_between_words():
    graph = KnowledgeGraph.build([("dog", "_hypernym", "animal"), ("dog", "has__part", "tail")])
    asked = [Question("what is a [dog]", ("animal",))]
    encoder = KeyValueEncoder(graph, "both", build_key_value_vocabulary(graph, asked, "both"))
    assert {"hypernym", "has", "part", "relation|_hypernym"} <= set(encoder.vocabulary.words)
