# SPDX-License-Identifier: Apache-2.0
"""Training a Memory Network from its configuration: in memory, or in a run folder that survives a kill."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memjax import data
from memjax.errors import DataError, RunError
from memjax.recipes.config import AnsweringConfig
from memjax.recipes.corpora import Babi, Splits, load_splits, load_test
from memjax.recipes.program import Program, build_program, encode
from memjax.recipes.runs import Run, create_run, open_run, resume_run
from memjax.training import StoryBatch, TrainState
from memjax.training.files import read_json, write_json
from memjax.training.metrics import JsonLinesWriter, MetricsWriter, TensorBoardWriter, summary_writer
from memjax.typing import PyTree

#: `fn(epochs done, epochs in all, metrics)`, called after each epoch.
ReportFn = Callable[[int, int, Mapping[str, Any]], None]

#: Seconds between checkpoints; what a kill can cost. The last epoch is always saved.
SAVE_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Trained:
    """Trained models, one for each seed.

    Attributes:
        config: what was asked for.
        vocabulary: the words of the training questions.
        program: the jitted functions.
        params: the parameters; leaves lead with the seeds.
    """

    config: AnsweringConfig
    vocabulary: data.Vocabulary
    program: Program
    params: PyTree  # leaves [R, ...]

    def evaluate(self, examples: tuple[data.Example, ...]) -> dict[str, list[float]]:
        """Accuracy on examples, for each seed, in percent.

        Args:
            examples: questions with answers.

        Returns:
            `{"accuracy": [R], "supports": [R]}`: answers right, and chains of supports right.
        """
        metrics = self.program.evaluate(self.params, encode(examples, self.vocabulary))
        return {name: [round(100 * float(value), 4) for value in values] for name, values in metrics.items()}


def train(
    config: AnsweringConfig,
    *,
    seeds: tuple[int, ...] | None = None,
    splits: Splits | None = None,
    folder: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    report: ReportFn = lambda done, epochs, metrics: None,
) -> Trained:
    """Trains.

    Args:
        config: the configuration.
        seeds: train several models side by side, along an axis of one program; `config.seed` alone by default.
        splits: the examples, where they are read already; of `config.corpus` otherwise.
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
        ImportError: if TensorBoard events are asked for without the extra `tensorboard`.

    Example:
        >>> from memjax.recipes import Simulation
        >>> world = Simulation(difficulty=1, objects=False, num_statements=100, num_questions=50)
        >>> trained = train(AnsweringConfig(corpus=world, epochs=1))
        >>> sorted(trained.evaluate(world.examples("test")))
        ['accuracy', 'supports']
    """
    if folder is None and (resume or tensorboard):
        raise ValueError("folder: expected a run folder to resume or to write TensorBoard events in, got None")
    if resume and overwrite:
        raise ValueError("resume, overwrite: expected one of them; a run is gone on with or replaced")
    if tensorboard:
        summary_writer()  # before a folder is made
    splits = load_splits(config.corpus) if splits is None else splits
    seeds = (config.seed,) if seeds is None else tuple(seeds)
    if not seeds or any(not -(2**31) <= seed < 2**31 for seed in seeds):
        raise ValueError(f"seeds: expected one or more integers of 32 bits, got {seeds}")
    program = build_program(config, splits.vocabulary, len(splits.train))
    run = None
    if folder is not None:  # before anything is compiled: a folder that will not do is said at once
        if resume:
            run = resume_run(folder, config, seeds, splits.vocabulary)
        else:
            run = create_run(folder, config, seeds, splits.vocabulary, overwrite)
    state = program.init(jnp.asarray(seeds))
    corpus = encode(splits.train, splits.vocabulary)
    steps = len(corpus) // min(config.batch_size, len(corpus))

    if run is None:
        state = _train(program, state, corpus, range(config.epochs), lambda step, state: None, [], report)
        return Trained(config, splits.vocabulary, program, state.params)

    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(contextlib.closing(run.checkpoints()))
        if checkpoints.step is not None:
            state = checkpoints.restore(state)
        done = int(state.step[0]) // steps
        if done < config.epochs:
            run.results_path.unlink(missing_ok=True)  # what was found of a model that is now trained further
        writers: list[MetricsWriter] = [JsonLinesWriter(run.metrics_path, done * steps)]
        if tensorboard:
            writers.append(TensorBoardWriter(run.folder / "tensorboard", done * steps))
        for writer in writers:
            stack.enter_context(contextlib.closing(writer))
        state = _train(program, state, corpus, range(done, config.epochs), checkpoints.save, writers, report)
    trained = Trained(config, splits.vocabulary, program, state.params)
    if splits.valid:
        write_json(run.results_path, {**_read_results(run), "valid": trained.evaluate(splits.valid)})
    return trained


def _train(
    program: Program,
    state: TrainState,
    corpus: StoryBatch,
    epochs: range,
    save: Callable[[int, TrainState], None],
    writers: list[MetricsWriter],
    report: ReportFn,
) -> TrainState:
    saved_at = time.monotonic()
    for epoch in epochs:
        state, metrics = program.epoch(state, corpus)
        step = int(state.step[0])
        numbers = {name: np.asarray(values).tolist() for name, values in metrics.items()}
        if not np.all(np.isfinite(numbers["loss"])):
            raise RunError(f"epoch {epoch + 1}: expected a finite loss, got {numbers['loss']}; lower --learning-rate")
        for writer in writers:
            writer.write(step, {"epoch": epoch + 1, **numbers})
        if epoch + 1 == epochs.stop or time.monotonic() - saved_at > SAVE_SECONDS:
            save(step, state)
            saved_at = time.monotonic()
        report(epoch + 1, epochs.stop, metrics)
    return state


def load(folder: Path, data_folder: str | None = None) -> Trained:
    """Loads the models of a run folder, from its last checkpoint.

    Args:
        folder: a run folder.
        data_folder: where the corpora lie on this machine, for evaluation.

    Raises:
        RunError: if there is no run or no checkpoint, or the checkpoint belongs to another run.
        DataError: if a file is damaged.
    """
    return _restore(open_run(folder), data_folder)


def _restore(run: Run, data_folder: str | None) -> Trained:
    config = run.config
    if data_folder is not None and isinstance(config.corpus, Babi):
        config = dataclasses.replace(config, corpus=dataclasses.replace(config.corpus, data=data_folder))
    program = build_program(config, run.vocabulary, config.batch_size)
    shape = jax.eval_shape(program.init, jnp.asarray(run.seeds))
    with contextlib.closing(run.checkpoints(read_only=True)) as checkpoints:
        state = checkpoints.restore(shape)
    return Trained(config, run.vocabulary, program, state.params)


def evaluate(folder: Path, split: str = "test", data_folder: str | None = None) -> dict[str, list[float]]:
    """Evaluates a run and adds what it finds to its `results.json`.

    Args:
        folder: a run folder.
        split: train, valid or test.
        data_folder: where the corpora lie on this machine.

    Returns:
        See `Trained.evaluate`.
    """
    run = open_run(folder)
    trained = _restore(run, data_folder)
    corpus = trained.config.corpus
    examples = load_test(corpus) if split == "test" else corpus.examples(split)
    kept = _read_results(run)
    results = trained.evaluate(examples)
    write_json(run.results_path, {**kept, split: results})
    return results


def _read_results(run: Run) -> dict[str, Any]:
    if not run.results_path.exists():
        return {}
    results = read_json(run.results_path)
    if not isinstance(results, dict):
        raise DataError("expected a JSON object; remove the file, evaluation writes it again", run.results_path)
    return results
