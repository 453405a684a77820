# SPDX-License-Identifier: Apache-2.0
"""Training a bot on dialogs, from a configuration to the share of responses that are right."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from memjax import data
from memjax.data.conversations import build_vocabulary
from memjax.errors import DataError, RunError
from memjax.memory import Memory, oldest_slot, write
from memjax.models import Candidates, Response, ResponseMemN2N
from memjax.recipes.corpora import DialogBabi
from memjax.recipes.dialog_config import DialogConfig
from memjax.recipes.fit import ReportFn, check_options, check_seeds, restore_params, start_run
from memjax.recipes.program import over_seeds
from memjax.recipes.reading import Course, begin, fall, fit_course, make_optimizer
from memjax.recipes.runs import Run, keep_results, open_run
from memjax.training import (
    DialogBatch,
    TrainState,
    create_state,
    make_dialog_loss,
    make_epoch,
    make_step,
    response_accuracy,
    with_params,
)
from memjax.training.files import read_json, write_json
from memjax.typing import Array, PyTree

#: Words for places that a model has, at most; T of the paper.
MAX_PLACES = 1000


@dataclasses.dataclass(frozen=True)
class Choices:
    """What a bot needs beside its words, kept in the run folder.

    Attributes:
        candidates: the responses to choose from.
        types: the type of each entity; empty without match type features.
        num_places: T, places of utterances that have words of their own.
    """

    candidates: tuple[str, ...]
    types: Mapping[str, str]
    num_places: int


@dataclasses.dataclass(frozen=True)
class DialogProgram:
    """What a run does on the device. Seeds lie along a leading axis R of states and parameters.

    Attributes:
        model: the structure; it has no parameters of its own.
        init: `fn(seeds [R]) -> state`.
        epoch: `fn(state, corpus) -> (state, metrics [R])`; the state is donated.
        measure: `fn(params, corpus) -> shares [R]`, see `memjax.training.response_accuracy`.
        tell: `fn(params, memory, tokens [S]) -> memory`, of one seed; the memory is donated.
        respond: `fn(params, memory, tokens [S], candidates, present [E]) -> response`, of one seed.
    """

    model: ResponseMemN2N
    init: Callable[[Array], TrainState]
    epoch: Callable[[TrainState, DialogBatch], tuple[TrainState, dict[str, Array]]]
    measure: Callable[[PyTree, DialogBatch], dict[str, Array]]
    tell: Callable[[PyTree, Memory, Array], Memory]
    respond: Callable[[PyTree, Memory, Array, Candidates, Array], Response]


def build_dialog_program(config: DialogConfig, vocabulary: data.Vocabulary, choices: Choices) -> DialogProgram:
    """The program of a configuration; the same one for corpora that differ in text only."""
    shared = dataclasses.replace(config, corpus=DialogBabi(), seed=0, epochs=1, decay=1.0)
    return _program(shared, vocabulary.num_words, len(set(choices.types.values())), choices.num_places)


@functools.lru_cache(maxsize=8)
def _program(config: DialogConfig, num_words: int, num_types: int, num_places: int) -> DialogProgram:
    def build(key: Array) -> ResponseMemN2N:
        return ResponseMemN2N(
            num_words,
            config.features,
            hops=config.hops,
            num_types=num_types,
            places=config.places,
            num_places=num_places,
            rngs=nnx.Rngs(key),
        )

    optimizer = make_optimizer(config.optimizer, config.learning_rate, config.clip_norm)
    model = nnx.eval_shape(lambda: build(jax.random.key(0)))
    epoch = make_epoch(make_step(model, optimizer, make_dialog_loss()), config.batch_size)

    def init(seed: Array) -> TrainState:
        weights, run = jax.random.split(jax.random.key(seed))
        return create_state(build(weights), optimizer, run)

    def measure(params: PyTree, corpus: DialogBatch) -> dict[str, Array]:
        return response_accuracy(with_params(model, params), corpus)

    def tell(params: PyTree, memory: Memory, tokens: Array) -> Memory:
        return write(memory, with_params(model, params).embed(tokens), tokens, oldest_slot)

    def respond(params: PyTree, memory: Memory, tokens: Array, candidates: Candidates, present: Array) -> Response:
        return with_params(model, params)(tokens, memory, candidates, present)

    return DialogProgram(
        model=model,
        init=jax.jit(jax.vmap(init)),
        epoch=jax.jit(over_seeds(epoch), donate_argnums=0),
        measure=jax.jit(over_seeds(measure)),
        tell=jax.jit(tell, donate_argnums=1),
        respond=jax.jit(respond),
    )


@dataclasses.dataclass(frozen=True)
class TrainedDialogs:
    """Trained models that answer in dialogs, one for each seed; see `memjax.recipes.Bot` to talk to one.

    Attributes:
        config: what was asked for.
        vocabulary: the words of the training dialogs.
        choices: the responses to choose from, and what else a bot needs.
        program: the jitted functions.
        params: the parameters; leaves lead with the seeds.
    """

    config: DialogConfig
    vocabulary: data.Vocabulary
    choices: Choices
    program: DialogProgram
    params: PyTree  # leaves [R, ...]

    @property
    def encoder(self) -> data.DialogEncoder:
        """From text to token ids and entities."""
        return data.DialogEncoder(self.vocabulary, self.choices.candidates, self.choices.types)

    def evaluate(self, dialogs: Sequence[data.Dialog]) -> dict[str, list[float]]:
        """How many responses are right, by each seed, in percent; what was said before each is taken from the dialogs.

        Args:
            dialogs: with the right responses.

        Returns:
            `{"responses": [R], "dialogs": [R]}`: right responses, and dialogs with right responses alone.

        Raises:
            ValueError: if a response is none of the candidates, or there is no dialog.
        """
        shares = self.program.measure(self.params, encode_dialogs(self.encoder, dialogs))
        return {name: [round(100 * float(share), 4) for share in values] for name, values in shares.items()}


def encode_dialogs(encoder: data.DialogEncoder, dialogs: Sequence[data.Dialog]) -> DialogBatch:
    """Puts dialogs on the device."""
    return DialogBatch.of(encoder.encode(dialogs), encoder.candidates())


def train_dialogs(
    config: DialogConfig,
    *,
    seeds: tuple[int, ...] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    report: ReportFn = lambda done, epochs, metrics: None,
) -> TrainedDialogs:
    """Trains a bot; the parameters with most right responses in validation dialogs are kept.

    Args:
        config: the configuration.
        seeds: train several models side by side; `config.seed` alone by default.
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
        DataError: if the corpus cannot be read, or a file in `folder` is damaged.

    Reference: Bordes, Boureau and Weston 2017, "Learning End-to-End Goal-Oriented Dialog", section 4.4, appendix A.
    Departs from the paper: batches of whole dialogs; Adam; fields of the configuration that it leaves open.
    """
    check_options(folder, resume, overwrite, tensorboard)
    seeds = check_seeds((config.seed,) if seeds is None else tuple(seeds))
    dialogs, valid = config.corpus.dialogs("train"), config.corpus.dialogs("valid")
    vocabulary = build_vocabulary(dialogs)
    longest = max(len(dialog) for dialog in (*dialogs, *valid))
    choices = Choices(
        candidates=config.corpus.candidates(),
        types=config.corpus.restaurants().types() if config.match else {},
        num_places=min(-(-longest // 32) * 32, MAX_PLACES),
    )
    program = build_dialog_program(config, vocabulary, choices)
    run = start_run(config, seeds, vocabulary, folder, resume, overwrite)
    if run is not None:
        _keep_choices(run, choices)
    encoder = data.DialogEncoder(vocabulary, choices.candidates, choices.types)
    course = _course(config, program, encode_dialogs(encoder, dialogs), encode_dialogs(encoder, valid))
    params = fit_course(course, config, seeds, run, tensorboard, report)
    trained = TrainedDialogs(config, vocabulary, choices, program, params)
    if run is not None:
        keep_results(run, "valid", lambda: trained.evaluate(valid))
    return trained


def _course(config: DialogConfig, program: DialogProgram, corpus: DialogBatch, valid: DialogBatch) -> Course:
    def learn(state: TrainState, part: DialogBatch) -> tuple[TrainState, dict[str, Array]]:
        state, metrics = program.epoch(state, part)
        return state, {"loss": metrics["loss"], "accuracy": 100 * metrics["accuracy"]}

    return Course(
        start=program.init,
        learn=learn,
        measure=lambda params: jnp.asarray(100 * (1 - program.measure(params, valid)["responses"]), jnp.float32),
        parts=lambda epoch: [corpus],
        steps=len(corpus) // min(config.batch_size, len(corpus)),
        padding=float(jnp.mean(corpus.responses < 0)),
        next_rate=fall(config.decay),
        summarize=lambda sums: sums,
    )


def load_dialogs(folder: Path, data_folder: str | None = None) -> TrainedDialogs:
    """Loads the models of a run folder, from its last checkpoint; the corpus is not needed.

    Args:
        folder: a run folder.
        data_folder: where the corpora lie on this machine, for evaluation.

    Raises:
        RunError: if there is no run or no checkpoint, or the run is none over dialogs.
        DataError: if a file is damaged.
    """
    return _restore(open_run(folder), data_folder)


def _restore(run: Run, data_folder: str | None) -> TrainedDialogs:
    config = run.config_of(DialogConfig, "a run over dialogs", data_folder)
    choices = _read_choices(run)
    program = build_dialog_program(config, run.vocabulary, choices)
    return TrainedDialogs(config, run.vocabulary, choices, program, restore_params(begin(program.init), run))


def evaluate_dialogs(folder: Path, split: str = "test", data_folder: str | None = None) -> dict[str, list[float]]:
    """Evaluates a run over dialogs and adds what it finds to its `results.json`.

    Args:
        folder: a run folder.
        split: train, valid, test or oov.
        data_folder: where the corpora lie on this machine.

    Returns:
        See `TrainedDialogs.evaluate`.
    """
    run = open_run(folder)
    trained = _restore(run, data_folder)
    dialogs = trained.config.corpus.dialogs(split)
    return keep_results(run, split, lambda: trained.evaluate(dialogs))


def _choices_path(run: Run) -> Path:
    return run.folder / "choices.json"


def _keep_choices(run: Run, choices: Choices) -> None:
    """Writes the choices, or compares them with those of the run that goes on."""
    content: dict[str, Any] = {**dataclasses.asdict(choices), "candidates": list(choices.candidates)}
    if not _choices_path(run).exists():
        write_json(_choices_path(run), content)
    elif read_json(_choices_path(run)) != content:
        raise RunError(
            f"{run.folder}: the corpus has other candidates or entities than when the run was started; "
            "point --data to the same files"
        )


def _read_choices(run: Run) -> Choices:
    path = _choices_path(run)
    content = read_json(path)
    try:
        candidates, types, num_places = content["candidates"], content["types"], content["num_places"]
        return Choices(tuple(candidates), dict(types), int(num_places))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"expected candidates, types and num_places, got another file: {error!r}", path) from None
