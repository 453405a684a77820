# SPDX-License-Identifier: Apache-2.0
"""Training that survives a kill to the same bits, and seeds side by side."""

import dataclasses
import importlib
import json
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import memjax
from memjax.data import Example, Vocabulary
from memjax.errors import DataError, RunError
from memjax.recipes import AnsweringConfig, Simulation, Splits, Trained, evaluate, load, load_splits, progress, train
from memjax.recipes.program import build_program, encode
from memjax.recipes.runs import alone, keep_results, open_run
from memjax.training.files import read_json

fit_module = importlib.import_module("memjax.recipes.fit")

EPOCHS = 6
CONFIG = AnsweringConfig(
    corpus=Simulation(difficulty=1, objects=False, num_statements=60, num_questions=40),
    features=8,
    batch_size=8,
    epochs=EPOCHS,
)
STEPS = 5  # of an epoch: 40 questions, 8 at a time

#: Trains as `memjax train` does, saves after each epoch, and hangs after the epoch `last`.
SCRIPT = """
import importlib, pathlib, sys, time
import jax
from memjax.recipes import AnsweringConfig, Simulation, train

folder, resume, last, cache = pathlib.Path(sys.argv[1]), sys.argv[2] == "resume", int(sys.argv[3]), sys.argv[4]
jax.config.update("jax_compilation_cache_dir", cache)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
importlib.import_module("memjax.recipes.fit").SAVE_SECONDS = 0
world = Simulation(difficulty=1, objects=False, num_statements=60, num_questions=40)
config = AnsweringConfig(corpus=world, features=8, batch_size=8, epochs=6)
train(config, folder=folder, resume=resume, report=lambda done, epochs, metrics: time.sleep(600 * (done == last)))
"""


class Killed(Exception):
    """Stands for a kill inside this process."""


def die_after(epoch: int):
    """A report function that ends the run after an epoch."""

    def report(done, epochs, metrics):
        if done == epoch:
            raise Killed

    return report


def final_state(folder: pathlib.Path) -> list[tuple[str, str, bytes]]:
    """Name, type and bytes of all arrays of the newest checkpoint: step, parameters, optimizer, key."""
    run = open_run(folder)
    program = build_program(run.config, run.vocabulary, 40)
    checkpoints = run.checkpoints(read_only=True)
    state = checkpoints.restore(jax.eval_shape(program.init, jnp.asarray(run.seeds)))
    checkpoints.close()
    state = state.replace(key=jax.random.key_data(state.key))
    return [
        (jax.tree_util.keystr(path), str(leaf.dtype), np.asarray(leaf).tobytes())
        for path, leaf in jax.tree.leaves_with_path(state)
    ]


def assert_same_run(folder: pathlib.Path, reference: pathlib.Path) -> None:
    """The same bits in the checkpoint, the same metrics and results, and nothing left of a killed save."""
    assert final_state(folder) == final_state(reference)
    for name in ("config.json", "vocabulary.json", "metrics.jsonl", "results.json"):
        assert (folder / name).read_bytes() == (reference / name).read_bytes()
    assert [path for path in folder.rglob("*") if "tmp" in path.name or "partial" in path.name] == []


def saved_steps(folder: pathlib.Path) -> list[int]:
    """The steps of the checkpoints that are there whole."""
    return sorted(int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit())


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run that nothing stopped; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "reference"
    train(CONFIG, folder=folder)
    return folder


@pytest.fixture
def copy(reference: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """The same, to be changed."""
    return shutil.copytree(reference, tmp_path / "copy")


@pytest.fixture(scope="module")
def trained(reference: pathlib.Path) -> Trained:
    """The models of the reference run."""
    return load(reference)


def same_params(one: Trained, other: Trained) -> bool:
    """Whether all parameters have the same bits."""
    same = jax.tree.map(lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(), one.params, other.params)
    return all(jax.tree.leaves(same))


def test_the_run_folder(reference):
    names = sorted(path.name for path in reference.iterdir())
    assert names == ["checkpoints", "config.json", "metrics.jsonl", "results.json", "vocabulary.json"]
    lines = [json.loads(line) for line in (reference / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in lines] == [(STEPS * n, n) for n in range(1, EPOCHS + 1)]
    losses = [line["loss"][0] for line in lines]
    assert losses[-1] < losses[0]
    assert saved_steps(reference)[-1] == STEPS * EPOCHS
    (accuracy,) = json.loads((reference / "results.json").read_text())["valid"]["accuracy"]
    assert 0 < accuracy <= 100


def test_two_do_not_train_in_one_folder(copy):
    with alone(copy), pytest.raises(RunError, match="nobody trains"):
        train(CONFIG, folder=copy, resume=True)


def test_what_was_measured_while_it_trained_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "SAVE_SECONDS", 0)
    folder = tmp_path / "run"

    def measure(done, epochs, metrics):
        if done == 1:
            evaluate(folder, "valid")
            keep_results(open_run(folder), "test", lambda: {"accuracy": [1.0]})

    trained = train(CONFIG, folder=folder, report=measure)
    assert json.loads((folder / "results.json").read_text()) == {
        "valid": trained.evaluate(CONFIG.corpus.examples("valid"))
    }


def test_a_run_does_not_go_on_with_a_corpus_of_another_size(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "SAVE_SECONDS", 0)
    splits = load_splits(CONFIG.corpus)
    with pytest.raises(Killed):
        train(CONFIG, folder=tmp_path, splits=splits, report=die_after(1))
    twice = dataclasses.replace(splits, train=splits.train * 2)
    with pytest.raises(RunError, match=rf"of {2 * STEPS} steps with this corpus, found one after {STEPS};"):
        train(CONFIG, folder=tmp_path, splits=twice, resume=True)


def test_a_run_in_memory_has_the_same_bits(trained):
    assert same_params(train(CONFIG), trained)


def test_another_seed_has_others(trained):
    assert not same_params(train(dataclasses.replace(CONFIG, seed=1)), trained)


@pytest.mark.parametrize("after", [1, 3, EPOCHS - 1])
def test_stopped_and_resumed(tmp_path, reference, monkeypatch, after):
    monkeypatch.setattr(fit_module, "SAVE_SECONDS", 0)
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        train(CONFIG, folder=folder, report=die_after(after))
    assert saved_steps(folder)[-1] == STEPS * after
    seen = []
    train(CONFIG, folder=folder, resume=True, report=lambda done, epochs, metrics: seen.append((done, epochs)))
    assert seen == [(done, EPOCHS) for done in range(after + 1, EPOCHS + 1)]
    assert_same_run(folder, reference)


def test_stopped_before_the_first_checkpoint_starts_from_the_beginning(tmp_path, reference):
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        train(CONFIG, folder=folder, report=die_after(2))  # within SAVE_SECONDS
    assert saved_steps(folder) == [] and (folder / "metrics.jsonl").read_text().count("\n") == 2
    with pytest.raises(
        RunError,
        match=r"expected a checkpoint, found none: the run was stopped .*--resume",
    ):
        load(folder)
    seen = []
    train(CONFIG, folder=folder, resume=True, report=lambda done, epochs, metrics: seen.append(done))
    assert seen == list(range(1, EPOCHS + 1))
    assert_same_run(folder, reference)


def test_a_run_whose_loss_is_no_number_stops_and_saves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "SAVE_SECONDS", 0)
    folder = tmp_path / "run"
    with pytest.raises(RunError, match="epoch 1: expected a finite loss, got .* lower --learning-rate"):
        train(dataclasses.replace(CONFIG, learning_rate=1e38), folder=folder)
    assert saved_steps(folder) == []


def test_what_a_kill_leaves_half_written_does_no_harm(tmp_path, reference, monkeypatch):
    monkeypatch.setattr(fit_module, "SAVE_SECONDS", 0)
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        train(CONFIG, folder=folder, report=die_after(3))
    shutil.copytree(folder / "checkpoints" / "15", folder / "checkpoints" / "20.orbax-checkpoint-tmp")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "epoch": 4}\n{"step": 2')
    for name in (".config.json.partial", ".vocabulary.json.partial", ".metrics.jsonl.partial", ".results.json.partial"):
        (folder / name).write_text('{"ste')
    train(CONFIG, folder=folder, resume=True)
    for name in (".config.json.partial", ".vocabulary.json.partial"):  # the next --overwrite removes them
        (folder / name).unlink(missing_ok=True)
    assert_same_run(folder, reference)


@pytest.mark.thorough
def test_killed_for_good_and_resumed(tmp_path, reference):
    """SIGKILL at random moments, twice in a row."""
    folder, cache = tmp_path / "run", tmp_path / "cache"
    moments = random.Random(0)
    root = pathlib.Path(memjax.__file__).parents[1]
    first = 0
    for start, last in (("start", 3), ("resume", 5)):
        command = [sys.executable, "-c", SCRIPT, str(folder), start, str(last), str(cache)]
        process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while not any(step > first for step in saved_steps(folder)) and process.poll() is None:
            time.sleep(0.002)
        time.sleep(0.4 * moments.random())
        process.kill()
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors
        done = saved_steps(folder)[-1]
        assert first < done <= STEPS * last
        # Saved after each epoch, so the one under way is lost at most.
        assert (folder / "metrics.jsonl").read_text().count("\n") * STEPS in (done, done + STEPS)
        first = done
    seen = []
    train(CONFIG, folder=folder, resume=True, report=lambda done, epochs, metrics: seen.append(done))
    assert seen == list(range(first // STEPS + 1, EPOCHS + 1))
    assert_same_run(folder, reference)


def test_a_finished_run_resumed_stays_as_it_is(copy, reference):
    results = copy / "results.json"
    results.write_text(json.dumps(json.loads(results.read_text()) | {"test": {"accuracy": [1.5]}}))
    train(CONFIG, folder=copy, resume=True, report=die_after(EPOCHS))  # no epoch is left
    assert final_state(copy) == final_state(reference)
    assert json.loads(results.read_text()) == json.loads((reference / "results.json").read_text()) | {
        "test": {"accuracy": [1.5]}
    }


def test_a_run_that_went_on_forgets_what_was_found_before(tmp_path, reference):
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        train(CONFIG, folder=folder, report=die_after(2))
    (folder / "results.json").write_text('{"test": {"accuracy": [1.5]}}')
    train(CONFIG, folder=folder, resume=True)
    assert_same_run(folder, reference)


def test_a_run_is_not_lost_by_accident(copy, reference):
    with pytest.raises(RunError, match="--resume.*--overwrite"):
        train(CONFIG, folder=copy)
    with pytest.raises(RunError, match=r"config\.learning_rate: saved 0\.01, asked for 0\.02"):
        train(dataclasses.replace(CONFIG, learning_rate=0.02), folder=copy, resume=True)
    with pytest.raises(RunError, match=r"seeds: saved \[0\], asked for \[1\]"):
        train(CONFIG, folder=copy, seeds=(1,), resume=True)
    assert_same_run(copy, reference)


def test_overwrite(copy, reference):
    (copy / "checkpoints" / "30" / "state" / "_METADATA").write_text("{")
    train(CONFIG, folder=copy, overwrite=True)
    assert_same_run(copy, reference)


def test_other_words_are_named(copy, reference):
    splits = load_splits(CONFIG.corpus)
    more = Example(("Sam sings.",), "Where is Sam?", ("kitchen",), (0,))
    other = Splits((*splits.train[:-1], more), (), Vocabulary((*splits.vocabulary.words, "sam", "sings")))
    with pytest.raises(RunError, match=r"0 gone \[\], 2 new \['sam', 'sings'\]"):
        train(CONFIG, splits=other, folder=copy, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_a_damaged_checkpoint(copy, resume):
    shutil.rmtree(copy / "checkpoints" / "30" / "state" / "d")
    where = re.escape(str(copy / "checkpoints" / "30"))
    with pytest.raises(RunError, match=rf"^{where}: the checkpoint is damaged"):
        train(CONFIG, folder=copy, resume=True) if resume else load(copy)


def test_a_checkpoint_of_another_model(copy):
    """Another config.json than the one that the checkpoint was made with."""
    path = copy / "config.json"
    path.write_text(path.read_text().replace('"margin": 0.1', '"margin": 0.2'))
    with pytest.raises(RunError, match=r"belongs to something else: config\.margin: saved 0\.1, asked for 0\.2"):
        load(copy)


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_of_a_version_with_fewer_settings(copy, resume):
    """A setting that came later has its default there."""
    path = copy / "config.json"
    for file in (path, *copy.glob("checkpoints/*/_CHECKPOINT_METADATA")):
        text = file.read_text()
        assert '"beam": 1' in text
        file.write_text(re.sub(r'"beam": 1,\s*', "", text))
    for file in copy.glob("checkpoints/*/sha256.json"):
        file.unlink()  # of the metadata too
    assert "beam" not in read_json(path)["config"]
    train(CONFIG, folder=copy, resume=True) if resume else load(copy)


@pytest.mark.parametrize("resume", [False, True])
def test_damaged_metrics(copy, resume):
    """They matter where the run goes on, and only there."""
    path = copy / "metrics.jsonl"
    path.write_text('{"step": 5\n' + path.read_text())
    if resume:
        with pytest.raises(DataError, match=rf"^{re.escape(str(path))}:1: expected a JSON object with a step"):
            train(CONFIG, folder=copy, resume=True)
    else:
        load(copy)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_results_are_named(copy, content):
    (copy / "results.json").write_text(content)
    with pytest.raises(DataError, match=rf"^{re.escape(str(copy / 'results.json'))}:.*expected .*JSON"):
        evaluate(copy, "valid")


def test_evaluate_adds_to_the_results(copy, trained):
    before = json.loads((copy / "results.json").read_text())
    assert evaluate(copy, "valid") == before["valid"]
    found = evaluate(copy, "test")
    assert json.loads((copy / "results.json").read_text()) == before | {"test": found}
    assert found == trained.evaluate(CONFIG.corpus.examples("test"))


@pytest.mark.thorough
def test_seeds_side_by_side_are_the_same_as_alone(reference):
    """But for the last digits, which the width of a product can change.

    Losses are compared, not parameters: where a gradient is zero but for rounding, as that of a word in every
    sentence, Adam makes a step of it.
    """
    splits = dataclasses.replace(load_splits(CONFIG.corpus), valid=())
    program = build_program(CONFIG, splits.vocabulary, 40)
    both, one = program.init(jnp.asarray((3, 0))), program.init(jnp.asarray((0,)))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1], b[0]), both.params, one.params)

    losses = []
    train(CONFIG, seeds=(3, 0), splits=splits, report=lambda done, epochs, metrics: losses.append(metrics["loss"]))
    alone = [json.loads(line)["loss"][0] for line in (reference / "metrics.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([float(loss[1]) for loss in losses], alone, rtol=1e-4)
    assert all(loss.shape == (2,) and abs(loss[0] - loss[1]) > 1e-3 for loss in losses)


@pytest.mark.parametrize("seeds", [(), (0, 2**31)])
def test_seeds_that_cannot_be(tmp_path, seeds):
    with pytest.raises(ValueError, match=r"^seeds: expected one or more integers of 32 bits"):
        train(CONFIG, seeds=seeds, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.thorough
def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
    train(CONFIG, folder=tmp_path / "run", tensorboard=True)
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert events.read_bytes().count(b"loss") == EPOCHS


def test_without_the_extra_tensorboard_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"memjax\[tensorboard\]"):
        train(CONFIG, folder=tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("asked", [{"resume": True}, {"tensorboard": True}])
def test_what_needs_a_folder(asked):
    with pytest.raises(ValueError, match="folder: expected a run folder"):
        train(CONFIG, **asked)


def test_resume_or_overwrite(copy, reference):
    with pytest.raises(ValueError, match="resume, overwrite: expected one of them"):
        train(CONFIG, folder=copy, resume=True, overwrite=True)
    assert_same_run(copy, reference)


def test_progress(capsys):
    pytest.importorskip("rich", reason="the extra `app` is not installed")
    with progress("training it") as report:
        report(2, 6, {"loss": np.array([1.0, 2.0])})
    assert re.search(r"training it.*2/6 epochs, loss 1\.5000", capsys.readouterr().err)


def test_progress_in_a_file_is_a_line_a_minute_with_the_time_left(capsys, monkeypatch):
    module = importlib.import_module("memjax.recipes.progress")
    now = iter([0.0, 10.0, 40.0, 75.0, 80.0, 100.0])
    monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: next(now)))
    with progress("training [it]") as report:
        for done in (0.25, 1.0, 2.25, 2.5, 3.0):
            report(done, 4, {"loss": np.array([done])})
    assert capsys.readouterr().err.splitlines() == [
        "training [it]: 2.25/4 epochs, loss 2.2500, 0:01:15 gone, 0:00:57 left",
        "training [it]: 3/4 epochs, loss 3.0000, 0:01:40 gone, 0:00:33 left",
    ]


def test_progress_on_a_terminal_is_a_bar(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("training it") as report:
        report(2, 6, {"loss": np.array([1.0, 2.0])})
    assert "━" in capsys.readouterr().err


def test_progress_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    with pytest.raises(ImportError, match=r"pip install 'memjax\[app\]'"), progress("training"):
        pass


def test_stories_come_in_few_sizes_with_little_padding():
    def slots_of(count):
        story = tuple(f"joe slept {number}" for number in range(count))
        return encode([Example(story, "where", ("bed",), ())], vocabulary, {}).slots.shape[1]

    vocabulary = Vocabulary.build([["joe", "slept", "where", "bed", *map(str, range(130))]])
    counts = [1, 8, 9, 16, 20, 33, 41, 50, 64, 65, 81, 100, 128]
    assert [slots_of(count) for count in counts] == [8, 8, 16, 16, 24, 40, 48, 56, 64, 80, 96, 112, 128]
