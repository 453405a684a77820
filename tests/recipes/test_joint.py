# SPDX-License-Identifier: Apache-2.0
"""One model for several tasks: vocabulary, order, bad input, evaluation; resumed to the same bits."""

import collections
import dataclasses
import json
import pathlib
import types
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax.cli import main
from memjax.errors import DataError
from memjax.recipes import (
    Answerer,
    AnsweringConfig,
    BabiTasks,
    BaselineConfig,
    Tasks,
    load,
    load_splits,
    train,
)
from memjax.recipes.joint import JointProgram, TaskBatches, join
from tests.interrupted import killed

STORIES = {
    1: ["1 Joe went to the hall.", "2 Fred went to the park.", "3 Where is Joe?\thall\t1", "4 Where is Fred?\tpark\t2"],
    15: ["1 Wolves are afraid of mice.", "2 Ann is a wolf.", "3 What is Ann afraid of?\tmouse\t2 1"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """Two tasks as files: 24 questions of one, 6 of the other."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "en-valid").mkdir()
    for task, lines in STORIES.items():
        for split, times in {"train": 6 if task == 15 else 12, "valid": 2, "test": 3}.items():
            (folder / "en-valid" / f"qa{task}_{split}.txt").write_text("\n".join(lines * times) + "\n")
    return str(folder)


@pytest.fixture
def config(folder) -> AnsweringConfig:
    """Small, with n-grams."""
    tasks = BabiTasks((1, 15), "en-valid", folder)
    return AnsweringConfig(corpus=tasks, features=4, ngrams=2, batch_size=4, epochs=4)


def test_one_vocabulary(config):
    splits = load_splits(config.corpus, 2)
    assert {"joe", "ann", "hall", "mouse"} <= set(splits.vocabulary.words)
    assert {"is joe", "a wolf"} <= set(splits.vocabulary.ngrams)
    assert [len(part) for part in splits.train.parts.values()] == [24, 6] and len(splits.train) == 30
    assert list(splits.valid.parts) == ["task 1", "task 15"]
    bound = load_splits(config.corpus, 2, variables=True).vocabulary
    assert {"where", "what", "is", "of"} <= set(bound.function_words)


@pytest.mark.parametrize("tasks", [(), (1, 1), (0,), (21,), (True,), ("1",)])
def test_no_such_tasks(tasks):
    with pytest.raises(ValueError, match=r"^tasks: expected one or more different integers from 1 to 20, got"):
        BabiTasks(tasks)


def test_what_several_tasks_cannot_have():
    with pytest.raises(ValueError, match=r"^response: expected 'word' for bAbI"):
        AnsweringConfig(corpus=BabiTasks(), response="lstm")
    with pytest.raises(ValueError, match=r"^corpus: expected one task for a baseline"):
        BaselineConfig(corpus=BabiTasks())


def test_a_task_that_is_not_there(folder):
    with pytest.raises(DataError, match=r"qa2_"):
        load_splits(BabiTasks((1, 2), "en-valid", folder))


def test_every_question_once_an_epoch_and_tasks_in_turn(config):
    taken = []

    def step(state, corpus, indices):
        taken.append((corpus, indices))
        state = types.SimpleNamespace(step=state.step + 1, key=state.key)
        return state, {"loss": jnp.full(2, float(len(taken)))}

    corpus = TaskBatches(("one", "other"), (24, 6), 4)
    state = types.SimpleNamespace(step=jnp.zeros(2, jnp.int32), key=jax.vmap(jax.random.key)(jnp.arange(2)))
    assert len(corpus) == (6 + 1) * 4
    program = JointProgram(types.SimpleNamespace(step=step))
    after, metrics = program.epoch(state, corpus)
    assert metrics["loss"].tolist() == [4.0, 4.0]  # of 1 to 7
    assert collections.Counter(task for task, _ in taken) == {"one": 6, "other": 1}
    asked = np.concatenate([indices for task, indices in taken if task == "one"], axis=1)  # [R, 24]
    assert sorted(asked[0]) == sorted(asked[1]) == list(range(24))
    assert asked[0].tolist() != asked[1].tolist()
    first = [(task, indices.tolist()) for task, indices in taken]
    taken.clear()
    program.epoch(state, corpus)
    assert [(task, indices.tolist()) for task, indices in taken] == first
    taken.clear()
    program.epoch(after, corpus)
    assert [(task, indices.tolist()) for task, indices in taken] != first


def test_tasks_are_put_on_the_device_in_like_sizes(config):
    splits = load_splits(config.corpus, 2)
    _, corpus = join(None, splits.train, splits.vocabulary, 4)
    assert corpus.sizes == (24, 6) and {len(task) for task in corpus.tasks} == {128}
    assert len({task.stories.slots.shape for task in corpus.tasks}) == 1
    words = splits.vocabulary.num_words
    for task in corpus.tasks:
        assert task.features[:words].tolist() == list(range(words))


@pytest.mark.thorough
def test_trained_stopped_resumed_evaluated_and_asked(tmp_path, config, capsys):
    config = dataclasses.replace(config, features=16, epochs=20)
    train(config, folder=tmp_path / "whole")
    killed(partial(train, config), tmp_path / "run", epochs=3)
    resumed = train(config, folder=tmp_path / "run", resume=True)
    for name in ("metrics.jsonl", "results.json", "vocabulary.json", "config.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    same = jax.tree.map(lambda a, b: (np.asarray(a) == b).all(), load(tmp_path / "whole").params, resumed.params)
    assert all(jax.tree.leaves(same))
    results = json.loads((tmp_path / "run" / "results.json").read_text())["valid"]
    assert results == {name: [100.0] for name in ("accuracy", "supports", "task 1", "task 15")}
    parts = config.corpus.examples("test").parts
    assert resumed.evaluate(Tasks({"task 15": parts["task 15"]}))["task 15"] == [100.0]

    assert main(["evaluate", str(tmp_path / "run"), "--data", config.corpus.data]) == 0
    assert "task 15: 100.00 %" in capsys.readouterr().out
    answerer = Answerer.load(tmp_path / "run")
    for text in ("Joe went to the hall.", "Wolves are afraid of mice.", "Ann is a wolf."):
        answerer.tell(text)
    assert [answerer.ask(text).answer for text in ("Where is Joe?", "What is Ann afraid of?")] == ["hall", "mouse"]


def test_by_the_command(capsys, tmp_path: pathlib.Path, folder):
    with pytest.raises(SystemExit):
        main(["train", "babi-tasks", "--help"])
    assert "--tasks" in capsys.readouterr().out
    with pytest.raises(SystemExit) as error:
        main(["train", "--run-folder", str(tmp_path / "run"), "babi-tasks", "--tasks", "1", "21"])
    assert error.value.code != 0
    message = " ".join(capsys.readouterr().err.split())
    assert "tasks: expected one or more different integers from 1 to 20, got [1, 21]" in message
    assert not (tmp_path / "run").exists()
