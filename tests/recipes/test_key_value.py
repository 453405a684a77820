# SPDX-License-Identifier: Apache-2.0
"""Training a key-value Memory Network over a small knowledge base, and asking it."""

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest

from memjax.data.facts import KnowledgeGraph
from memjax.data.key_values import KeyValueEncoder, build_key_value_vocabulary
from memjax.data.metaqa import Question
from memjax.errors import RunError
from memjax.recipes import (
    KeyValueConfig,
    KeyValueReader,
    KnowledgeBase,
    MetaQA,
    evaluate_key_value,
    load_key_value,
    measure_key_value,
    train_key_value,
)
from memjax.recipes.config import from_json, to_json
from memjax.recipes.key_value import encode_key_values, look_up
from tests.interrupted import killed

TRIPLES = [
    triple
    for i in range(8)
    for triple in (
        (f"Film {i}", "directed_by", f"Director {i // 2}"),
        (f"Film {i}", "starred_actors", f"Actor {i % 4}"),
    )
]
ASKED = [
    question
    for i in range(8)
    for question in (
        Question(f"who directed [Film {i}]", (f"Director {i // 2}",)),
        Question(f"who acted in [Film {i}]", (f"Actor {i % 4}",)),
        Question(f"what did [Actor {i % 4}] act in", (f"Film {i % 4}", f"Film {i % 4 + 4}")),
    )
]
GRAPH = KnowledgeGraph.build(TRIPLES)
CONFIG = KeyValueConfig(features=64, batch_size=8, memory=8, epochs=40, negatives=4, learning_rate=0.01)


@pytest.fixture(autouse=True)
def quick_compiles_here(quick_compiles):
    """A few triples: compiling costs more than running."""
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module")
def trained():
    jax.config.update("jax_disable_most_optimizations", True)
    asked = [question for question in ASKED if "Film 7" not in question.text]
    return train_key_value(CONFIG, seeds=(0, 1), graph=GRAPH, questions=asked)


def loop_over_keys(encoder, tokens, frequent):
    """The slots whose key shares a word with a question, the words of more than F keys left out."""
    counts = {token: int((encoder.keys == token).sum()) for token in tokens}
    use = {token for token in tokens if token > 1 and 0 < counts[token] <= frequent}
    return {slot for slot, key in enumerate(encoder.keys.tolist()) if use & set(key)}


@pytest.mark.thorough
@pytest.mark.parametrize("bag", ["phrases", "words", "both"])
def test_the_hash_finds_the_keys_that_share_a_word(bag):
    encoder = KeyValueEncoder(GRAPH, bag, build_key_value_vocabulary(GRAPH, ASKED, bag))
    known = encode_key_values(encoder)
    tokens = [encoder.question(question.text)[0] for question in ASKED]
    questions = np.array([row + [0] * (12 - len(row)) for row in tokens], np.int32)
    for frequent in (4, 1000):
        found = look_up(known, questions, 32, frequent)
        for row, slots in zip(tokens, found, strict=True):
            kept = slots[slots >= 0].tolist()
            assert len(set(kept)) == len(kept) and set(kept) == loop_over_keys(encoder, row, frequent)
    few = look_up(known, questions, 2, 1000)  # the keys with the rarest words in common are kept
    assert few.shape == (len(ASKED), 2)
    for kept, slots in zip(few, look_up(known, questions, 32, 1000), strict=True):
        assert set(kept.tolist()) <= {*slots.tolist(), -1}


@pytest.mark.thorough
def test_questions_about_entities_seen_and_unseen_are_answered(trained):
    results = measure_key_value(trained, ASKED)
    assert results["hits@1"] == results["hits@1 unseen"] == results["hits@1 read"] == [100.0, 100.0]
    reader = KeyValueReader(trained, seed_index=1)
    reply, nothing = reader.ask_all(["Who directed, pray, film 7?", "who directed [Film 9]"])
    assert reply.answer == reply.answer_read == "Director 3" and reply.entity == "Film 7" and reply.unknown == ("pray",)
    assert reply.supports[0] == ("Film 7", "directed_by", "Director 3") and reply.weights[0] > 0.5
    assert reply.candidates == 2
    # No triple names the entity, so the hash finds nothing.
    assert (nothing.answer, nothing.answer_read, nothing.supports, nothing.candidates) == ("", "", (), 0)
    with pytest.raises(ValueError, match="question: expected 1 to 64 words, got 0"):
        reader.ask("?")
    with pytest.raises(ValueError, match="seed_index: expected 0 to 1, got 2"):
        KeyValueReader(trained, seed_index=2)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "options",
    [
        {"names": "trained", "values": "A", "reads": 2, "targets": "drawn"},
        {"names": "trained", "negatives": 0},
        {"bag": "words", "reads": 2},
        {"bag": "both", "hop_matrices": False},
    ],
)
def test_every_variant_learns_its_training_questions(options):
    trained = train_key_value(dataclasses.replace(CONFIG, **options), graph=GRAPH, questions=ASKED)
    assert measure_key_value(trained, ASKED)["hits@1"] == [100.0]


@pytest.mark.thorough
def test_seeds_side_by_side_are_those_alone(trained):
    asked = [question for question in ASKED if "Film 7" not in question.text]
    alone = train_key_value(CONFIG, seeds=(1,), graph=GRAPH, questions=asked)
    for one, other in zip(jax.tree.leaves(alone.params), jax.tree.leaves(trained.params), strict=True):
        np.testing.assert_allclose(one[0], other[1], rtol=1e-3, atol=1e-4)


def write_corpus(root):
    (root / "1-hop").mkdir(parents=True)
    (root / "kb.txt").write_text("".join("|".join(triple) + "\n" for triple in TRIPLES))
    for split in ("dev", "test"):
        lines = [f"{question.text}\t{'|'.join(question.answers)}\n" for question in ASKED]
        (root / "1-hop" / f"{split}.txt").write_text("".join(lines))
        (root / "1-hop" / f"qa_{split}_qtype.txt").write_text("movie_to_actor\n" * len(ASKED))
    return root


@pytest.mark.thorough
def test_a_run_is_kept_resumed_and_evaluated(tmp_path):
    data = write_corpus(tmp_path / "data")
    config = dataclasses.replace(CONFIG, epochs=3, corpus=MetaQA(data=str(data)))
    whole = train_key_value(config, seeds=(0, 3), folder=tmp_path / "whole")

    killed(partial(train_key_value, config, seeds=(0, 3)), tmp_path / "run")
    resumed = train_key_value(config, seeds=(0, 3), folder=tmp_path / "run", resume=True)
    for one, other in zip(jax.tree.leaves(whole.params), jax.tree.leaves(resumed.params), strict=True):
        np.testing.assert_array_equal(one, other)
    loaded = load_key_value(tmp_path / "run", str(data))
    assert loaded.config == config
    assert evaluate_key_value(tmp_path / "run", "test", str(data)) == measure_key_value(loaded, ASKED)
    with pytest.raises(RunError, match="expected a run over a knowledge base, found one of KeyValueConfig"):
        KnowledgeBase.load(tmp_path / "run", str(data))
    (data / "kb.txt").write_text("Film 0|directed_by|Nobody\n")
    with pytest.raises(RunError, match="the knowledge base or the training questions differ"):
        load_key_value(tmp_path / "run", str(data))


@pytest.mark.thorough
def test_questions_whose_answers_no_hash_finds_are_refused():
    nothing = [Question("who directed [Film 9]", ("Director 0",)), Question("who acted in [Film 0]", ("Director 3",))]
    with pytest.raises(ValueError, match="questions: expected at least one whose answer the hash finds, got none"):
        train_key_value(CONFIG, graph=GRAPH, questions=nothing)
    with pytest.raises(ValueError, match="questions: expected at least one, got none"):
        train_key_value(CONFIG, graph=GRAPH, questions=[])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bag", "letters", "bag: expected one of"),
        ("names", "coded", "names: expected one of"),
        ("memory", 0, "memory: expected an integer of at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate: expected"),
        ("corpus", MetaQA(hops=2), "corpus: expected questions of 1 hop, .* got 2; pass --hops 1"),
    ],
)
def test_configurations_are_checked(field, value, message):
    with pytest.raises(ValueError, match=message):
        KeyValueConfig(**{field: value})


def test_a_share_that_holds_out_no_question_is_refused_before_training(tmp_path):
    corpus = MetaQA(data=str(write_corpus(tmp_path / "data")), valid_part=0.001)
    for split in ("train", "valid"):
        with pytest.raises(ValueError, match="valid_part: expected a share that parts .* which holds out 0 of them"):
            corpus.questions(split)


def test_a_configuration_comes_back_from_json():
    with pytest.raises(ValueError, match="valid_part: expected a share above 0 and below 1, got 0"):
        MetaQA(valid_part=0)
    config = dataclasses.replace(CONFIG, names="trained", corpus=MetaQA(valid_part=0.2))
    assert from_json(to_json(config), "config.json") == config
