# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.facts`."""

import importlib.util
import pathlib

import numpy as np
import pytest

from memjax.data.facts import FactEncoder, KnowledgeGraph, build_vocabulary, f1, num_trained, paths_to_answers
from memjax.data.metaqa import Question

_spec = importlib.util.spec_from_file_location("reference", pathlib.Path(__file__).parents[1] / "reference.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

TRIPLES = [
    ("The Man", "starred_actors", "Al Bo"),
    ("The Man", "written_by", "Al Bo"),
    ("The Man Who Knew", "starred_actors", "Al Bo"),
    ("The Man Who Knew", "starred_actors", "Cy"),
    ("Cy", "has_genre", "al bo"),
]
GRAPH = KnowledgeGraph.build(TRIPLES)


def test_paths_lead_where_loops_over_the_triples_lead():
    rng = np.random.default_rng(0)
    triples = [(str(s), f"r{r}", str(o)) for s, r, o in rng.integers(0, (6, 3, 6), (20, 3))]
    graph = KnowledgeGraph.build(triples)
    for _ in range(40):
        start, steps = int(rng.integers(len(graph.entities))), rng.integers(0, graph.num_steps, rng.integers(1, 4))
        assert graph.expand(start, steps) == reference.answers(graph.triples.tolist(), start, steps.tolist())
    assert graph.expand("nobody", (0,)) == set() and graph.expand(0, (-1,)) == set()


@pytest.mark.parametrize(
    ("question", "rest", "name"),
    [
        ("who acted in [The Man]?", "who acted in  ?", "The Man"),
        ("who acted in the man who knew?", "who acted in", "The Man Who Knew"),
        ("what did Al Bo write", "what did write", "Al Bo"),
        ("what is al bo", "what is", "al bo"),
        ("who is it", "who is it", None),
        ("who is [Nobody]", "who is  ", None),
        ("who acted in [the man]", "who acted in  ", "The Man"),
        ("who is [?]", "who is  ", None),
    ],
)
def test_mentions_are_found(question, rest, name):
    found = GRAPH.find_mention(question)
    assert found[0].split() == rest.split()
    assert found[1] == (-1 if name is None else GRAPH.entity(name))


def test_a_name_of_common_words_comes_last():
    graph = KnowledgeGraph.build([("What?", "directed_by", "Roman"), ("Made", "directed_by", "Jon")])
    assert graph.entities[graph.find_mention("what is Made")[1]] == "What?"
    assert graph.entities[graph.find_mention("what is Made", {"what", "is"})[1]] == "Made"
    assert graph.entities[graph.find_mention("what is", {"what", "is"})[1]] == "What?"


def test_right_facts_are_those_that_lead_to_the_answers():
    question = Question("what did [Al Bo] do", ("The Man", "The Man Who Knew"))
    acted, wrote = GRAPH.steps((("starred_actors", "object"), ("written_by", "object")))
    assert paths_to_answers(GRAPH, question) == [(acted,)]
    assert paths_to_answers(GRAPH, Question("what did [Al Bo] do", ("The Man",))) == [(wrote,)]
    assert paths_to_answers(GRAPH, Question("what did [Al Bo] do", ("Nothing",))) == []
    assert GRAPH.steps((("unheard_of", "subject"),)) == (-1,)
    assert f1({1}, set()) == 0 == f1(set(), set())


@pytest.mark.parametrize("bag", ["words", "phrases", "both"])
def test_triples_and_questions_are_bags_of_the_same_tokens(bag):
    vocabulary = build_vocabulary(GRAPH, [Question("who acted in [The Man]", ("Al Bo",))], bag)
    encoder = FactEncoder(GRAPH, bag, vocabulary)
    words = ["the", "man"] * (bag != "phrases") + ["entity|The Man"] * (bag != "words")
    tokens, entity, unknown = encoder.question("who played in [The Man]")
    assert vocabulary.decode(tokens) == ["who", "<unknown>", "in", *words] and unknown == ["played"]
    assert GRAPH.entities[entity] == "The Man"
    assert encoder.question("who played in [No Man]")[1:] == (-1, ["played", "no"] + ["man"] * (bag == "phrases"))
    row = encoder.keys[GRAPH.triples[:, 0] == entity][0]
    relation = ["starred", "actors"] * (bag != "phrases") + ["relation|starred_actors"] * (bag != "words")
    assert vocabulary.decode(row)[: len(words) + len(relation)] == words + relation
    trained = vocabulary.words[: num_trained(vocabulary)]
    assert not any(word.startswith("entity|") for word in trained) and "who" in trained
    starts, rows = encoder.buckets()
    for token in range(2, len(vocabulary)):
        assert set(rows[starts[token] : starts[token + 1]]) == set(np.flatnonzero((encoder.keys == token).any(axis=1)))


def test_a_graph_of_nothing_is_refused():
    with pytest.raises(ValueError, match="triples: expected at least one, got none"):
        KnowledgeGraph.build([])
