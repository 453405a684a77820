# SPDX-License-Identifier: Apache-2.0
"""Recipes whose models write sentences."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from memjax.recipes import (
    Answerer,
    AnsweringConfig,
    BaselineConfig,
    Simulation,
    evaluate,
    load_splits,
    train,
    train_baseline,
)
from memjax.recipes.corpora import with_replies
from memjax.recipes.program import build_program, encode_taught
from memjax.typing import UNKNOWN

WORLD = Simulation(difficulty=1, objects=False, num_statements=60, num_questions=40)
CONFIG = AnsweringConfig(corpus=WORLD, features=8, batch_size=8, epochs=30, response="rnn", response_features=8)


@pytest.mark.thorough
def test_a_program_answers_in_sentences():
    """Traced, not compiled: what goes in and what comes out."""
    splits = with_replies(load_splits(WORLD))
    program = build_program(CONFIG, splits.vocabulary, len(splits.train))
    taught = encode_taught(CONFIG, splits.train, splits.vocabulary)
    assert not (taught.replies == UNKNOWN).any()
    state = jax.eval_shape(program.init, jnp.arange(2))
    after, metrics = jax.eval_shape(program.epoch, state, taught)
    assert jax.tree.leaves(after.params) == jax.tree.leaves(state.params)
    assert {name: value.shape for name, value in metrics.items()} == dict.fromkeys(
        ("answer", "hops", "loss", "sentence"), (2,)
    )
    assert set(jax.eval_shape(program.evaluate, state.params, taught.stories)) == {"accuracy", "supports"}


@pytest.mark.thorough
def test_a_network_learns_to_answer_in_sentences():
    losses = []
    answerer = Answerer(train(CONFIG, report=lambda done, epochs, metrics: losses.append(metrics["sentence"].item())))
    assert losses[-1] < losses[0] / 2
    assert answerer.ask("Where is Joe?").answer == ""  # there is no memory to answer from
    answerer.tell("Fred went to the kitchen")
    answerer.tell("Joe went to the office")
    reply = answerer.ask("Where is Joe?")
    assert reply.supports[0].text == "Joe went to the office"
    words = reply.answer.split()
    assert {"in", "the"} <= set(words) and all(word in answerer.vocabulary for word in words)


@pytest.mark.thorough
def test_a_run_is_evaluated_by_its_sentences(tmp_path):
    folder = tmp_path / "run"
    larger = dataclasses.replace(
        CONFIG, response="lstm", features=32, response_features=32, response_beam=2, epochs=200
    )
    trained = train(larger, folder=folder)
    results = trained.evaluate(WORLD.examples("train"))
    assert results["accuracy"][0] > 90 and results["supports"][0] > 90
    assert evaluate(folder, "train") == results


@pytest.mark.thorough
@pytest.mark.parametrize("stream", [False, True])
def test_a_baseline_reads_sentences_and_streams(stream):
    world = dataclasses.replace(WORLD, stream=stream)
    config = BaselineConfig(corpus=world, cell="rnn", answer="sentence", statements=1, batch_size=8, epochs=150)
    assert train_baseline(config).evaluate(world.examples("train"))["accuracy"][0] > 80


def test_switches_are_checked():
    with pytest.raises(ValueError, match="response: expected one of .*, got 'lstmn'; did you mean 'lstm'"):
        AnsweringConfig(response="lstmn")
    with pytest.raises(ValueError, match="statements: expected an integer of at least 1, got 0"):
        BaselineConfig(statements=0)
    with pytest.raises(ValueError, match="learning_rate: expected a number above 0, got 0"):
        BaselineConfig(learning_rate=0)
    with pytest.raises(ValueError, match="answer: expected one of"):
        BaselineConfig(answer="words")
