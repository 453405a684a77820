# SPDX-License-Identifier: Apache-2.0
"""Questions about images, from a configuration to their accuracy."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from memjax import _checks, data
from memjax.data import sort_of_clevr
from memjax.encoding import object_slots
from memjax.models import SceneAnswer, SceneMemNN, SceneMLP
from memjax.nn import ImageEncoder
from memjax.recipes.fit import ReportFn, check_options, check_seeds, fit, restore_params, start_run
from memjax.recipes.image_config import INPUTS, ImageConfig, SortOfClevr
from memjax.recipes.program import one_after_another
from memjax.recipes.runs import Run, keep_results, open_run
from memjax.training import (
    SceneBatch,
    TrainState,
    create_state,
    make_epoch,
    make_scene_loss,
    make_step,
    measure_scenes,
    with_params,
)
from memjax.typing import Array, PyTree

#: Images that are measured side by side.
MEASURED_IMAGES = 50

_COLOURS, _SHAPES = len(sort_of_clevr.COLOURS), len(sort_of_clevr.SHAPES)


@dataclasses.dataclass(frozen=True)
class ImageProgram:
    """What a run does on the device. Seeds lie along a leading axis R of states and parameters.

    Attributes:
        init: `fn(seeds [R]) -> state`.
        epoch: `fn(state, corpus) -> (state, metrics [R])`; the state is donated.
        measure: `fn(params, batch) -> sums [R]`.
        see: `fn(params, scene) -> memory`, of one seed.
        ask: `fn(params, question [S], memory) -> answer`, of one seed.
    """

    init: Callable[[Array], TrainState]
    epoch: Callable[[TrainState, SceneBatch], tuple[TrainState, dict[str, Array]]]
    measure: Callable[[PyTree, SceneBatch], dict[str, Array]]
    see: Callable[[PyTree, Array], Any]
    ask: Callable[[PyTree, Array, Any], SceneAnswer]


def question_vocabulary() -> data.Vocabulary:
    """The words of all questions."""
    return data.Vocabulary.build(data.tokenize(question) for question in sort_of_clevr.QUESTIONS)


@functools.lru_cache(maxsize=1)
def image_grid() -> tuple[int, int]:
    """How many cells a side of an image is divided in, each of them a slot, and how many pixels a cell's side has."""
    encoder = nnx.eval_shape(lambda: _encoder(jax.random.key(0)))
    return encoder.cells(sort_of_clevr.SIZE), encoder.stride


def _encoder(key: Array) -> ImageEncoder:
    return ImageEncoder(rngs=nnx.Rngs(key))


def _model(config: ImageConfig, num_words: int, key: Array) -> SceneMemNN | SceneMLP:
    encoder, slots, width = None, _COLOURS, _COLOURS + _SHAPES + 2
    if config.input == "pixels":
        encoder = _encoder(jax.random.fold_in(key, 1))
        slots, width = encoder.cells(sort_of_clevr.SIZE) ** 2, encoder.features + 2
    options: dict[str, Any] = {"features": config.features, "encoder": encoder, "rngs": nnx.Rngs(key)}
    answers = len(sort_of_clevr.ANSWERS)
    if config.model == "mlp":
        return SceneMLP(num_words, answers, slots, width, hidden_features=config.hidden_features, **options)
    options |= {"hops": config.hops, "score_features": config.score_features}
    return SceneMemNN(num_words, answers, width, **options)


def build_image_program(config: ImageConfig, vocabulary: data.Vocabulary, num_images: int) -> ImageProgram:
    """The program of a configuration.

    Args:
        config: its corpus and seed do not matter here.
        vocabulary: gives the number of words.
        num_images: training images; they set how fast the learning rate falls.
    """
    steps = max(num_images // config.batch_size, 1) * config.epochs
    return _program(dataclasses.replace(config, corpus=SortOfClevr(), seed=0), vocabulary.num_words, steps)


@functools.lru_cache(maxsize=8)
def _program(config: ImageConfig, num_words: int, steps: int) -> ImageProgram:
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(config.clip_norm), optax.adam(schedule))
    model = nnx.eval_shape(lambda: _model(config, num_words, jax.random.key(0)))
    epoch = make_epoch(make_step(model, optimizer, make_scene_loss(config.supports)), config.batch_size)

    def init(seed: Array) -> TrainState:
        weights, run = jax.random.split(jax.random.key(seed))
        return create_state(_model(config, num_words, weights), optimizer, run)

    def measure(params: PyTree, batch: SceneBatch) -> dict[str, Array]:
        return measure_scenes(with_params(model, params), batch)

    return ImageProgram(
        init=jax.jit(jax.vmap(init)),
        epoch=jax.jit(one_after_another(epoch), donate_argnums=0),
        measure=jax.jit(one_after_another(measure)),
        see=jax.jit(lambda params, scene: with_params(model, params).see(scene)),
        ask=jax.jit(lambda params, question, memory: with_params(model, params)(question, memory)),
    )


def encode_scenes(scenes: sort_of_clevr.Scenes, vocabulary: data.Vocabulary, input: str = "pixels") -> SceneBatch:
    """Puts scenes on the device.

    Args:
        scenes: with their questions.
        vocabulary: of the questions.
        input: "pixels" or "state".

    Returns:
        All scenes as one batch. A support is the cell in which its object's centre lies, or the object.

    Raises:
        ValueError: if there is no such input.
    """
    _checks.one_of("input", input, INPUTS)
    texts = data.encode_sequences([data.tokenize(text) for text in sort_of_clevr.QUESTIONS], vocabulary)
    seen: Any = scenes.images
    supports = scenes.supports
    if input == "state":
        describe: Any = functools.partial(
            object_slots, size=sort_of_clevr.SIZE, num_colours=_COLOURS, num_shapes=_SHAPES
        )
        seen = jax.vmap(describe, in_axes=(0, None, 0))(scenes.centers, jnp.arange(_COLOURS), scenes.shapes)
    else:
        cells_of_side, pixels = image_grid()
        x, y = np.moveaxis(scenes.centers // pixels, 2, 0)
        cells = y * cells_of_side + x
        supports = np.where(supports < 0, -1, cells[np.arange(len(scenes))[:, None, None], supports])
    return SceneBatch(
        scenes=jnp.asarray(seen),
        questions=jnp.asarray(scenes.questions),
        answers=jnp.asarray(scenes.answers),
        supports=jnp.asarray(supports, jnp.int32),
        texts=jnp.asarray(texts.tokens),
        relational=jnp.arange(len(texts)) >= sort_of_clevr.FIRST_RELATIONAL * _COLOURS,
    )


@dataclasses.dataclass(frozen=True)
class TrainedImages:
    """Trained models of images, one for each seed; see `memjax.recipes.Observer` to use one.

    Attributes:
        config: what was asked for.
        vocabulary: the words of the questions.
        program: the jitted functions.
        params: the parameters; leaves lead with the seeds.
    """

    config: ImageConfig
    vocabulary: data.Vocabulary
    program: ImageProgram
    params: PyTree  # leaves [R, ...]

    def evaluate(self, scenes: sort_of_clevr.Scenes) -> dict[str, list[float]]:
        """How many questions about scenes are answered right, by each seed.

        Args:
            scenes: with their questions.

        Returns:
            `{"relational": [R], "single": [R], "accuracy": [R]}`, in percent: of questions about how an object stands
            to others, of those about one object, of all.
        """
        batch = encode_scenes(scenes, self.vocabulary, self.config.input)
        parts = np.array_split(np.arange(len(scenes)), -(-len(scenes) // MEASURED_IMAGES))
        found = [self.program.measure(self.params, batch.take(jnp.asarray(part))) for part in parts]
        sums = {name: np.sum([part[name] for part in found], axis=0, dtype=np.float64) for name in found[0]}
        sums["accuracy"] = sums["relational"] + sums["single"]
        sums["accuracy_asked"] = sums["relational_asked"] + sums["single_asked"]
        names = ("relational", "single", "accuracy")
        return {name: np.round(100 * sums[name] / sums[f"{name}_asked"], 3).tolist() for name in names}


def train_images(
    config: ImageConfig,
    *,
    seeds: tuple[int, ...] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    report: ReportFn = lambda done, epochs, metrics: None,
) -> TrainedImages:
    """Trains a model that answers questions about images.

    Args:
        config: the configuration.
        seeds: train several models, one after another in one program; `config.seed` alone by default.
        folder: a run folder to keep it in; nothing is written without one.
        resume: go on with the run in `folder` from its last checkpoint, to the same bits as if it had not stopped.
        overwrite: replace the run in `folder`.
        tensorboard: also write TensorBoard events.
        report: called after each epoch.

    Returns:
        The trained models.

    Raises:
        ValueError: if what is asked for cannot be had together.
        RunError: if `folder` is there already, or holds another run than the one to be resumed; or the loss is no
            longer finite.
        DataError: if a file in `folder` is damaged.
        ImportError: if TensorBoard is asked for and not installed.

    Example:
        >>> corpus = SortOfClevr(num_train=8)
        >>> config = ImageConfig(corpus, input="state", features=8, score_features=4, batch_size=8, epochs=1)
        >>> sorted(train_images(config).evaluate(corpus.scenes("valid")))
        ['accuracy', 'relational', 'single']

    Reference: Santoro et al. 2017 (Relation Networks), section 5.2.
    Departs from the paper: soft hops over a memory in place of a relation network.
    """
    check_options(folder, resume, overwrite, tensorboard)
    seeds = check_seeds((config.seed,) if seeds is None else tuple(seeds))
    vocabulary = question_vocabulary()
    program = build_image_program(config, vocabulary, config.corpus.num_train)
    run = start_run(config, seeds, vocabulary, folder, resume, overwrite)
    corpus = encode_scenes(config.corpus.scenes("train"), vocabulary, config.input)
    trained = TrainedImages(config, vocabulary, program, fit(program, config, seeds, corpus, run, tensorboard, report))
    if run is not None:
        keep_results(run, "valid", lambda: trained.evaluate(config.corpus.scenes("valid")))
    return trained


def load_images(folder: Path) -> TrainedImages:
    """Loads the models of a run folder, from its last checkpoint.

    Args:
        folder: a run folder.

    Raises:
        RunError: if there is no run or no checkpoint, or the run is none over images.
        DataError: if a file is damaged.
    """
    return _restore(open_run(folder))


def _restore(run: Run) -> TrainedImages:
    config = run.config_of(ImageConfig, "the run of a model of images")
    program = build_image_program(config, run.vocabulary, config.corpus.num_train)
    return TrainedImages(config, run.vocabulary, program, restore_params(program.init, run))


def evaluate_images(folder: Path, split: str = "test") -> dict[str, list[float]]:
    """Measures the accuracy of a run and adds what it finds to its `results.json`.

    Args:
        folder: a run folder.
        split: train, valid or test.

    Returns:
        See `TrainedImages.evaluate`.

    Raises:
        RunError: if there is no run or no checkpoint, or the run is none over images.
        DataError: if a file is damaged.
        ValueError: if there is no such split.
    """
    run = open_run(folder)
    trained = _restore(run)
    return keep_results(run, split, lambda: trained.evaluate(trained.config.corpus.scenes(split)))
