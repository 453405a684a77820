# SPDX-License-Identifier: Apache-2.0
"""Training over a small knowledge base, and asking it."""

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest

from memjax import hashing
from memjax.data.facts import KnowledgeGraph
from memjax.data.metaqa import Question
from memjax.errors import RunError
from memjax.recipes import (
    Answerer,
    KnowledgeBase,
    KnowledgeConfig,
    MetaQA,
    evaluate_knowledge,
    load_knowledge,
    measure_knowledge,
    train_knowledge,
)
from memjax.search import hashed
from memjax.typing import NUM_SPECIAL
from tests.interrupted import killed

#: The command over a knowledge base (tests/cli) goes the same way, and always runs.
pytestmark = pytest.mark.thorough

#: Films, of which film 3 has no genre: a dead end.
TRIPLES = [
    triple
    for i in range(8)
    for triple in (
        (f"Film {i}", "directed_by", f"Director {i // 2}"),
        (f"Film {i}", "starred_actors", f"Actor {i % 4}"),
        (f"Film {i}", "has_genre", f"Genre {i % 3}"),
    )
    if triple[:2] != ("Film 3", "has_genre")
]
ONE_HOP = [
    question
    for i in range(8)
    for question in (
        Question(f"who directed [Film {i}]", (f"Director {i // 2}",), (("directed_by", "subject"),)),
        Question(f"who acted in [Film {i}]", (f"Actor {i % 4}",), (("starred_actors", "subject"),)),
        Question(
            f"what did [Actor {i % 4}] act in", (f"Film {i % 4}", f"Film {i % 4 + 4}"), (("starred_actors", "object"),)
        ),
    )
]
TWO_HOPS = [
    Question(
        f"which genres are the films of actor [Actor {i}] in",
        tuple({f"Genre {i % 3}", f"Genre {(i + 4) % 3}"} if i != 3 else {"Genre 1"}),
        (("starred_actors", "object"), ("has_genre", "subject")),
    )
    for i in range(4)
] + [
    Question(
        f"who directed the films of actor [Actor {i}]",
        (f"Director {i // 2}", f"Director {(i + 4) // 2}"),
        (("starred_actors", "object"), ("directed_by", "subject")),
    )
    for i in range(4)
]
CONFIG = KnowledgeConfig(features=32, batch_size=8, epochs=15)


def write_corpus(root):
    (root / "1-hop").mkdir(parents=True)
    (root / "kb.txt").write_text("".join("|".join(triple) + "\n" for triple in TRIPLES))
    kinds = {"directed_by": "movie_to_director", "starred_actors": "movie_to_actor"}
    for split in ("dev", "test"):
        lines = [f"{question.text}\t{'|'.join(question.answers)}\n" for question in ONE_HOP]
        (root / "1-hop" / f"{split}.txt").write_text("".join(lines))
        types = [
            "actor_to_movie" if question.path[0][1] == "object" else kinds[question.path[0][0]] for question in ONE_HOP
        ]
        (root / "1-hop" / f"qa_{split}_qtype.txt").write_text("\n".join(types))
    return root


@pytest.fixture(autouse=True)
def quick_compiles_here(quick_compiles):
    """A few triples: compiling costs more than running."""
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module")
def graph():
    return KnowledgeGraph.build(TRIPLES)


@pytest.fixture(scope="module")
def one_hop(graph):
    jax.config.update("jax_disable_most_optimizations", True)
    asked = [question for question in ONE_HOP if "Film 7" not in question.text]
    return train_knowledge(dataclasses.replace(CONFIG, epochs=60), seeds=(0, 1), graph=graph, questions=asked)


def test_questions_about_entities_seen_and_unseen_are_answered(one_hop):
    results = measure_knowledge(one_hop, ONE_HOP)
    assert results["hits@1"] == results["f1"] == results["f1 unseen"] == [100.0, 100.0]
    assert results["candidates"] == [len(TRIPLES)] * 2
    knowledge = KnowledgeBase(one_hop, seed_index=1)
    reply = knowledge.ask("Who directed, pray, film 7?")
    assert reply.answers == ("Director 3",) and reply.entity == "Film 7" and reply.unknown == ("pray",)
    assert reply.supports == (("Film 7", "directed_by", "Director 3"),)
    assert knowledge.ask("what did [Actor 1] act in").answers == ("Film 1", "Film 5")
    nobody = knowledge.ask("who directed [Foo Bar]")  # whose facts are nobody else's
    assert nobody.answers == nobody.supports == () and nobody.answer == "" and nobody.unknown == ("foo", "bar")
    with pytest.raises(ValueError, match="question: expected 1 to 64 words, got 0"):
        knowledge.ask("?")
    with pytest.raises(ValueError, match="seed_index: expected 0 to 1, got 2"):
        KnowledgeBase(one_hop, seed_index=2)


def test_facts_are_found_through_an_index(one_hop):
    def word_hash(model, memory):
        index = hashing.build(memory, hashing.word_buckets(model.num_tokens + NUM_SPECIAL))
        return lambda k: hashed(index, k, width=16)

    results = measure_knowledge(one_hop, ONE_HOP, word_hash)
    assert results["hits@1"] == results["f1"] == [100.0, 100.0]
    assert max(results["candidates"]) < len(TRIPLES) / 4


def test_chains_find_their_way_around_a_dead_end(graph):
    config = dataclasses.replace(CONFIG, corpus=MetaQA(hops=2), supervision="types", epochs=40, beam=4)
    trained = train_knowledge(config, graph=graph, questions=TWO_HOPS)
    knowledge = KnowledgeBase(trained)
    reply = knowledge.ask("which genres are the films of actor [Actor 3] in")
    assert reply.answer == "Genre 1" and reply.answers == ("Genre 1",)
    assert [triple[1] for triple in reply.supports] == ["starred_actors", "has_genre"]
    assert reply.candidates > 2 * len(TRIPLES)
    assert knowledge.measure(TWO_HOPS)["f1"] == 100


def test_a_run_is_kept_resumed_and_evaluated(tmp_path, graph):
    data = write_corpus(tmp_path / "data")
    config = dataclasses.replace(CONFIG, epochs=2, corpus=MetaQA(data=str(data)))
    whole = train_knowledge(config, folder=tmp_path / "whole")

    killed(partial(train_knowledge, config), tmp_path / "run")
    resumed = train_knowledge(config, folder=tmp_path / "run", resume=True)
    for one, other in zip(jax.tree.leaves(whole.params), jax.tree.leaves(resumed.params), strict=True):
        np.testing.assert_array_equal(one, other)
    loaded = load_knowledge(tmp_path / "run", str(data))
    assert loaded.config == config
    results = evaluate_knowledge(tmp_path / "run", "test", str(data))
    assert results == measure_knowledge(loaded, ONE_HOP)
    with pytest.raises(RunError, match="expected a run over stories, found one of KnowledgeConfig"):
        Answerer.load(tmp_path / "run")
    (data / "kb.txt").write_text("Film 0|directed_by|Nobody\n")
    with pytest.raises(RunError, match="the knowledge base or the training questions differ"):
        load_knowledge(tmp_path / "run", str(data))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bag", "letters", "bag: expected one of"),
        ("beam", 0, "beam: expected an integer of at least 1, got 0"),
        ("tolerance", -1.0, "tolerance: expected a number of at least 0"),
        ("beam", 2, "beam: expected no other than 8 with one hop, which keeps one chain, got 2"),
        ("corpus", MetaQA(hops=2), "supervision: expected 'types' with 2 hops, .* got 'answers'; pass --supervision"),
    ],
)
def test_configurations_are_checked(field, value, message):
    with pytest.raises(ValueError, match=message):
        KnowledgeConfig(**{field: value})
