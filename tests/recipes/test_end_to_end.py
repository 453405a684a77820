# SPDX-License-Identifier: Apache-2.0
"""End-to-end Memory Networks from a configuration: restarts, linear start, resuming to the same bits, answers."""

import dataclasses
import importlib
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from memjax.cli import main
from memjax.data import Example
from memjax.errors import RunError
from memjax.recipes import (
    Answerer,
    BabiTasks,
    EndToEndConfig,
    Simulation,
    load,
    load_end_to_end,
    train_end_to_end,
)
from memjax.recipes.config import from_json, to_json
from memjax.recipes.end_to_end import one_symbol
from memjax.recipes.end_to_end_program import Longest, build_end_to_end
from memjax.recipes.runs import open_run
from memjax.training import CountedStories, StoryBatch

fit_module = importlib.import_module("memjax.recipes.fit")

CONFIG = EndToEndConfig(
    corpus=Simulation(difficulty=1, objects=False, num_statements=60, num_questions=40),
    features=6,
    hops=2,
    memory=10,
    batch_size=8,
    epochs=4,
    linear_start="epochs",
    linear_epochs=2,
    restarts=2,
    select="valid",
)


class Killed(Exception):
    """Stands for a kill inside this process."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> pathlib.Path:
    """A run that nothing stopped; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "reference"
    train_end_to_end(CONFIG, folder=folder)
    return folder


def final_state(folder: pathlib.Path) -> list[bytes]:
    run = open_run(folder)
    program = build_end_to_end(run.config, run.vocabulary.num_words, Longest(1, 1), 5)
    checkpoints = run.checkpoints(read_only=True)
    state = checkpoints.restore(jax.eval_shape(program.init, jnp.asarray(run.seeds)))
    checkpoints.close()
    state = state.replace(train=state.train.replace(key=jax.random.key_data(state.train.key)))
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


@pytest.mark.thorough
def test_a_killed_run_goes_on_to_the_same_bits(reference, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "SAVE_SECONDS", 0)

    def die(done, epochs, metrics):
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        train_end_to_end(CONFIG, folder=tmp_path / "run", report=die)
    with pytest.raises(RunError, match="expected a run that has come to its end, found none; go on with --resume"):
        load_end_to_end(tmp_path / "run")
    train_end_to_end(CONFIG, folder=tmp_path / "run", resume=True)
    assert final_state(tmp_path / "run") == final_state(reference)
    for name in ("config.json", "vocabulary.json", "metrics.jsonl", "results.json"):
        assert (tmp_path / "run" / name).read_bytes() == (reference / name).read_bytes()


@pytest.mark.thorough
def test_restarts_differ_and_the_one_with_the_fewest_errors_is_chosen(reference):
    trained = load_end_to_end(reference)
    results = json.loads((reference / "results.json").read_text())
    found = trained.evaluate(CONFIG.corpus.examples("valid"))["accuracy"]
    assert results["valid"]["accuracy"] == found and trained.chosen == int(np.argmax(found))
    words = np.asarray(trained.params["words"])
    assert words.shape == (2, 3, trained.vocabulary.num_words, 6) and not np.allclose(words[0], words[1])
    with pytest.raises(RunError, match="expected a run over stories, found one of EndToEndConfig"):
        load(reference)


@pytest.mark.thorough
def test_a_restart_is_the_run_with_its_seed_alone(reference):
    alone = train_end_to_end(dataclasses.replace(CONFIG, restarts=1, seed=1))
    both = load_end_to_end(reference)
    np.testing.assert_allclose(alone.params["words"][0], both.params["words"][1], atol=1e-5)


@pytest.mark.thorough
def test_commands(reference, tmp_path, capsys):
    folder = shutil.copytree(reference, tmp_path / "run")
    assert main(["evaluate", str(folder), "--split", "valid"]) == 0
    assert "of the answers right" in capsys.readouterr().out
    (tmp_path / "story.txt").write_text("Fred went to the kitchen.\nWhere is Fred?\n")
    assert main(["ask", str(folder), "--story", str(tmp_path / "story.txt")]) == 0
    out = capsys.readouterr().out
    assert "-> " in out and "1. Fred went to the kitchen." in out


@pytest.mark.thorough
def test_answers_with_the_restart_that_was_chosen(reference):
    trained = load_end_to_end(reference)
    answerer = Answerer(trained)
    assert answerer.memory.num_slots == 10 and answerer.ask("Where is Fred?").answer == ""
    for statement in ("Fred went to the kitchen.", "Joe went to the office."):
        answerer.tell(statement)
    reply = answerer.ask("Where is Fred?")
    assert (reply.scores.sum(axis=1) > 0).all() and (reply.scores.sum(axis=1) < 1).all()  # null sentences have the rest
    assert reply.answer in trained.vocabulary.words and len(reply.supports) == 2
    other = Answerer(trained, seed_index=1 - trained.chosen)
    other.tell("Fred went to the kitchen.")
    with pytest.raises(ValueError, match="seed_index: expected 0 to 1, got 2"):
        Answerer(trained, seed_index=2)


@pytest.mark.thorough
def test_the_linear_start_ends():
    stories = StoryBatch(
        sentences=jnp.zeros((2, 2), jnp.int32).at[1].set(2),
        slots=jnp.array([[1], [1]]),
        questions=jnp.full((2, 2), 2),
        supports=jnp.full((2, 1), -1),
        answers=jnp.full((2, 1), 3),
    )

    def start(linear_start):
        config = dataclasses.replace(CONFIG, linear_start=linear_start, hops=1)
        program = build_end_to_end(config, 3, Longest(1, 1), steps=5)
        return program, program.init(jnp.arange(2)), CountedStories.of(program.model, stories)

    program, state, corpus = start("epochs")
    for step, linear in ((5, True), (10, False)):
        state = state.replace(train=state.train.replace(step=jnp.full(2, step)))
        state = program.settle(state, corpus)
        assert state.linear.tolist() == [linear] * 2

    def rate(epoch):
        """Of the first step of an epoch; the softmax came back with epoch 2."""
        at = jax.tree.map(jnp.copy, state.replace(train=state.train.replace(step=jnp.full(2, 5 * epoch))))
        after, _ = program.step(at, corpus, jnp.zeros((2, 1), jnp.int32))
        return optax.tree_utils.tree_get(after.train.opt_state, "learning_rate").tolist()[0]

    assert [rate(epoch) for epoch in (2, 26, 27, 52)] == pytest.approx([0.005, 0.005, 0.0025, 0.00125])
    program, state, corpus = start("validation")
    state = program.settle(state, corpus)
    assert state.linear.tolist() == [True, True] and np.isfinite(state.lowest).all(), "the loss falls from infinity"
    stuck = program.settle(state.replace(lowest=state.lowest - jnp.array([1.0, -1.0])), corpus)
    assert stuck.linear.tolist() == [False, True], "each restart by its own loss"
    again = program.settle(stuck.replace(lowest=stuck.lowest + 9), corpus)
    assert again.linear.tolist() == [False, True], "what has ended does not begin again"


@pytest.mark.thorough
def test_the_linear_start_comes_before_the_epochs(reference):
    epochs = [json.loads(line)["epoch"] for line in (reference / "metrics.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, 1 + CONFIG.linear_epochs + CONFIG.epochs))


def test_nothing_to_train_on():
    with pytest.raises(ValueError, match="examples: expected at least one to train on, got none"):
        train_end_to_end(CONFIG, examples=())
    with pytest.raises(ValueError, match="seeds: expected one or more integers of 32 bits"):
        train_end_to_end(dataclasses.replace(CONFIG, seed=2**31 - 1))


def test_what_a_question_sees():
    example = Example(("a", "b", "c"), "Where?", ("Big Apple", "milk"), (0,))
    assert one_symbol(example, 2) == Example(("b", "c"), "Where?", ("big+apple+milk",), ())
    assert one_symbol(dataclasses.replace(example, answers=()), 9).answers == ()


def test_configurations_survive_json_and_bad_ones_are_named():
    assert from_json(to_json(CONFIG), "config.json") == CONFIG
    for settings, message in (
        ({"linear_start": "always"}, "linear_start: expected one of"),
        ({"valid_part": 1.0}, "valid_part: expected a share of at least 0 and below 1, got 1.0"),
        ({"corpus": Simulation(stream=True)}, "expected statements told one by one, got a stream"),
        (
            {"corpus": BabiTasks((1, 2)), "linear_start": "validation"},
            "linear_start: expected 'epochs' or 'none' for several tasks",
        ),
        ({"linear_start": "none"}, "linear_epochs: expected no other than 20 with linear_start 'none', got 2"),
        ({"restarts": 0}, "restarts: expected an integer of at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(CONFIG, **settings)


@pytest.mark.thorough
def test_one_model_for_several_tasks(tmp_path):
    stories = {
        1: ["1 Joe went to the hall.", "2 Fred went to the park.", "3 Where is Joe?\thall\t1"],
        8: ["1 Joe got the milk.", "2 Joe got the ham.", "3 What is Joe carrying?\tmilk,ham\t1 2"],
    }
    (tmp_path / "en").mkdir()
    for task, lines in stories.items():
        for split, times in {"train": 20, "test": 3}.items():
            (tmp_path / "en" / f"qa{task}_{split}.txt").write_text("\n".join(lines * times) + "\n")
    corpus = BabiTasks((1, 8), "en", str(tmp_path))
    config = dataclasses.replace(CONFIG, corpus=corpus, epochs=30, learning_rate=0.05)
    trained = train_end_to_end(config)
    assert "milk+ham" in trained.vocabulary.words
    found = trained.evaluate(corpus.examples("test"))
    assert found["accuracy"][trained.chosen] == 100 and set(found) == {"accuracy", "task 1", "task 8"}


@pytest.mark.thorough
def test_it_learns_what_to_read():
    world = Simulation(difficulty=1, objects=False, num_statements=800, num_questions=600)
    config = EndToEndConfig(corpus=world, memory=10, hops=1, epochs=40, restarts=3, linear_start="epochs")
    trained = train_end_to_end(config)
    assert trained.evaluate(world.examples("test"))["accuracy"][trained.chosen] > 90
