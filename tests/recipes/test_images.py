# SPDX-License-Identifier: Apache-2.0
"""Questions about images from a configuration: learned, kept, resumed, used; what is wrong is named."""

import dataclasses
import json
from functools import partial

import jax
import numpy as np
import pytest

from memjax.data import sort_of_clevr
from memjax.errors import RunError
from memjax.recipes import (
    AnsweringConfig,
    ImageConfig,
    Observer,
    Simulation,
    SortOfClevr,
    TrainedImages,
    evaluate_images,
    load_images,
    train,
    train_images,
)
from memjax.recipes.config import from_json, to_json
from memjax.recipes.images import build_image_program, encode_scenes, image_grid, question_vocabulary
from tests.interrupted import killed

SMALL = SortOfClevr(num_train=24)
STATE = ImageConfig(SMALL, input="state", hops=2, features=16, score_features=8, batch_size=8, epochs=2)
PIXELS = dataclasses.replace(STATE, input="pixels", hops=1, supports=0.0, epochs=1)


@pytest.fixture(autouse=True, scope="module")
def cheap_compiles():
    """Nothing here is trained for long, but for what is thorough."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True)
def quick_compiles(cheap_compiles):
    """In place of the fixture of all tests, which spares folders of training."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on pixels; not to be changed."""
    folder = tmp_path_factory.mktemp("images") / "run"
    train_images(PIXELS, folder=folder)
    return folder


@pytest.mark.thorough
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path):
    whole = train_images(STATE, folder=tmp_path / "whole")
    killed(partial(train_images, STATE), tmp_path / "cut")
    (line,) = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    assert {"loss", "relational", "single"} <= set(json.loads(line))
    resumed = train_images(STATE, folder=tmp_path / "cut", resume=True)
    for one, other in zip(jax.tree.leaves(whole.params), jax.tree.leaves(resumed.params), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len((tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.thorough
def test_objects_are_trained_on_and_measured():
    trained = train_images(dataclasses.replace(STATE, hops=1, supports=0.0, epochs=1))
    found = trained.evaluate(sort_of_clevr.generate(0, "valid", 20))
    np.testing.assert_allclose(found["accuracy"], np.add(found["relational"], found["single"]) / 2, atol=1e-3)


@pytest.mark.thorough
def test_a_run_is_kept_measured_and_used(run):
    found = evaluate_images(run)
    results = json.loads((run / "results.json").read_text())
    assert sorted(results) == ["test", "valid"] and results["test"] == found
    assert all(len(found[name]) == 1 for name in ("relational", "single", "accuracy"))
    np.testing.assert_allclose(found["accuracy"], np.add(found["relational"], found["single"]) / 2, atol=1e-3)
    scenes = sort_of_clevr.generate(0, "test")
    trained = load_images(run)
    assert trained.evaluate(scenes) == found
    observer = Observer(trained)
    right = 0
    for scene in list(scenes)[:5]:
        observer.see(scene.image)
        for question, answer in zip(scene.questions, scene.answers, strict=True):
            sight = observer.ask(question.upper())
            assert sight.question == question and sight.weights.shape == (1, *2 * image_grid()[:1])
            assert abs(sum(sight.probabilities.values()) - 1) < 1e-5
            right += sight.answer == answer
    first = dataclasses.replace(scenes, **{name: value[:5] for name, value in vars(scenes).items()})
    np.testing.assert_allclose(trained.evaluate(first)["accuracy"][0], right, atol=1e-3)


def test_settings_that_will_not_do_leave_the_folder_alone(tmp_path):
    for name, value in {"features": 0, "hops": 0}.items():
        with pytest.raises(ValueError, match=f"{name}: expected an integer of at least 1"):
            train_images(dataclasses.replace(STATE, supports=0.0, **{name: value}), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_no_image_is_refused():
    vocabulary = question_vocabulary()
    trained = TrainedImages(PIXELS, vocabulary, build_image_program(PIXELS, vocabulary, 24), {"none": np.zeros((1, 2))})
    observer = Observer(trained)
    with pytest.raises(ValueError, match=r"image: expected shape \(75, 75, 3\), got \(75, 75\); scale it"):
        observer.see(np.zeros((75, 75), np.uint8))
    with pytest.raises(ValueError, match="image: expected uint8, from 0 to 255, got float64"):
        observer.see(np.zeros((75, 75, 3)))
    with pytest.raises(ValueError, match=r"words that are in none of them: \['purple'\]"):
        observer.ask("is the purple object on the left?")
    with pytest.raises(ValueError, match="image: expected one to answer from, got none"):
        observer.ask(sort_of_clevr.QUESTIONS[0])
    with pytest.raises(ValueError, match="seed_index: expected 0 to 0, got 1"):
        Observer(trained, 1)


@pytest.mark.thorough
def test_runs_of_another_kind_are_refused(tmp_path):
    world = Simulation(difficulty=1, objects=False, num_statements=20, num_questions=8)
    train(AnsweringConfig(world, features=4, batch_size=4, epochs=1), folder=tmp_path / "stories")
    with pytest.raises(RunError, match="expected the run of a model of images, found one of AnsweringConfig"):
        load_images(tmp_path / "stories")
    config = ImageConfig(SMALL, "state", "mlp", features=16, hidden_features=8, batch_size=8, epochs=1)
    baseline = train_images(config)
    with pytest.raises(RunError, match="input: expected a run on pixels to show images to, got one on 'state'"):
        Observer(baseline)


def test_supports_are_slots_of_objects_and_of_cells():
    scenes, vocabulary = sort_of_clevr.generate(1, "valid", 4), question_vocabulary()
    np.testing.assert_array_equal(encode_scenes(scenes, vocabulary, "state").supports, scenes.supports)
    cells = np.asarray(encode_scenes(scenes, vocabulary).supports)
    for i, j in np.ndindex(4, 20):
        for hop, thing in enumerate(scenes.supports[i, j]):
            x, y = scenes.centers[i, thing] // 10
            assert cells[i, j, hop] == (-1 if thing < 0 else y * image_grid()[0] + x)


def test_configurations_are_checked_and_come_back():
    assert from_json(json.loads(json.dumps(to_json(STATE))), "config.json") == STATE
    for name, value, message in (
        ("input", "pixel", "input: expected one of .* did you mean 'pixels'"),
        ("model", "cnn", "model: expected one of"),
        ("epochs", 0, "epochs: expected an integer of at least 1"),
        ("learning_rate", 0, "learning_rate: expected a number above 0"),
        ("supports", -1, "supports: expected a number of at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(STATE, **{name: value})
    with pytest.raises(ValueError, match="supports: expected 0 with one hop, .* got 1; pass --supports 0"):
        dataclasses.replace(STATE, supports=1, hops=1)
    with pytest.raises(ValueError, match="hops: expected no other than 3 with model 'mlp', got 2"):
        dataclasses.replace(STATE, model="mlp")
    with pytest.raises(ValueError, match="hidden_features: expected no other than 256 with model 'memory', got 8"):
        dataclasses.replace(STATE, hidden_features=8)
    with pytest.raises(ValueError, match="num_train: expected an integer of at least 1, got 0"):
        SortOfClevr(num_train=0)
    with pytest.raises(ValueError, match=r"image_seed: expected an integer from 0 to 2\*\*32 - 1, got -1"):
        SortOfClevr(image_seed=-1)
    with pytest.raises(ValueError, match="input: expected one of .* did you mean 'state'"):
        encode_scenes(sort_of_clevr.generate(0, "valid", 1), question_vocabulary(), "states")


@pytest.mark.thorough
def test_seeds_are_those_that_train_alone():
    both = train_images(STATE, seeds=(0, 1)).params
    for seed in (0, 1):
        alone = train_images(STATE, seeds=(seed,)).params
        for one, other in zip(jax.tree.leaves(both), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(one[seed], other[0], rtol=1e-3, atol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("supports", [0, 1])
def test_objects_are_learned_from_in_a_few_epochs(supports):
    corpus = SortOfClevr(num_train=1000)
    config = ImageConfig(corpus, input="state", score_features=32, batch_size=20, epochs=12, supports=supports)
    found = train_images(config).evaluate(corpus.scenes("valid"))
    assert found["single"][0] > 90 and found["relational"][0] > (80 if supports else 60)
