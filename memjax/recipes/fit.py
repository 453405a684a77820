# SPDX-License-Identifier: Apache-2.0
"""The loop that all recipes train with: in memory, or in a run folder that survives a kill."""

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from memjax import data
from memjax.errors import RunError
from memjax.recipes.config import Config
from memjax.recipes.runs import Run, alone, create_run, resume_run
from memjax.training.metrics import JsonLinesWriter, MetricsWriter, TensorBoardWriter, summary_writer
from memjax.typing import Array, PyTree

#: `fn(epochs done, epochs in all, metrics)`, called after each epoch; within a long one with a part of it done.
ReportFn = Callable[[float, int, Mapping[str, Any]], None]

#: Seconds between checkpoints; what a kill can cost. The last epoch is always saved.
SAVE_SECONDS = 10.0


class Fittable(Protocol):
    """What a recipe's program gives to the loop. Seeds lie along a leading axis R."""

    @property
    def init(self) -> Callable[[Array], Any]:
        """`fn(seeds [R]) -> state`; a state has `step` and `params`."""
        ...

    @property
    def epoch(self) -> Callable[[Any, Any], tuple[Any, dict[str, Any]]]:
        """`fn(state, corpus) -> (state, metrics [R])`; the state is donated."""
        ...


def check_options(folder: Path | None, resume: bool, overwrite: bool, tensorboard: bool) -> None:
    """Raises `ValueError` where what is asked for cannot be had together, before anything is read or made."""
    if folder is None and (resume or tensorboard):
        raise ValueError("folder: expected a run folder to resume or to write TensorBoard events in, got None")
    if resume and overwrite:
        raise ValueError("resume, overwrite: expected one of them; a run is gone on with or replaced")
    if tensorboard:
        summary_writer()  # before a folder is made


def check_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """The seeds; raises `ValueError` unless they are one or more integers of 32 bits."""
    if not seeds or any(not -(2**31) <= seed < 2**31 for seed in seeds):
        raise ValueError(f"seeds: expected one or more integers of 32 bits, got {seeds}")
    return tuple(seeds)


def start_run(
    config: Config,
    seeds: tuple[int, ...],
    vocabulary: data.Vocabulary,
    folder: Path | None,
    resume: bool,
    overwrite: bool,
) -> Run | None:
    """Makes or opens the run folder, if there is to be one.

    Raises:
        RunError: if `folder` is there already, or holds another run than the one to be resumed.
        DataError: if a file in it is damaged.
    """
    if folder is None:
        return None
    if resume:
        return resume_run(folder, config, seeds, vocabulary)
    return create_run(folder, config, seeds, vocabulary, overwrite)


def fit(
    program: Fittable,
    config: Config,
    seeds: tuple[int, ...],
    corpus: Any,
    run: Run | None,
    tensorboard: bool,
    report: ReportFn,
    steps: int | None = None,
) -> PyTree:
    """Trains to the last epoch.

    Args:
        program: the jitted functions.
        config: gives epochs and batch size.
        seeds: R, trained side by side.
        corpus: the training examples, on the device.
        run: where to keep checkpoints and metrics; it goes on from the last checkpoint there.
        tensorboard: also write TensorBoard events.
        report: called after each epoch.
        steps: of an epoch; by default the full batches of `corpus`.

    Returns:
        The parameters; leaves lead with R.

    Raises:
        RunError: if the loss is no longer finite, or another process trains in the run folder.
    """
    state = program.init(jnp.asarray(seeds))
    if run is None:
        return _epochs(program, state, corpus, range(config.epochs), lambda step, state: None, [], report).params
    if steps is None:
        steps = len(corpus) // min(config.batch_size, len(corpus))
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone(run.folder))
        checkpoints = stack.enter_context(contextlib.closing(run.checkpoints()))
        if checkpoints.step is not None:
            state = checkpoints.restore(state)
        done, more = divmod(int(state.step[0]), steps)
        if more:
            raise RunError(
                f"{run.folder}: expected a checkpoint after whole epochs, of {steps} steps with this corpus, found one "
                f"after {int(state.step[0])}; point --data to the files that the run was started with"
            )
        if done < config.epochs:
            run.results_path.unlink(missing_ok=True)  # what was found of a model that is now trained further
        writers: list[MetricsWriter] = [JsonLinesWriter(run.metrics_path, done * steps)]
        if tensorboard:
            writers.append(TensorBoardWriter(run.folder / "tensorboard", done * steps))
        for writer in writers:
            stack.enter_context(contextlib.closing(writer))
        epochs = range(done, config.epochs)
        params = _epochs(program, state, corpus, epochs, checkpoints.save, writers, report).params
        if epochs:
            run.results_path.unlink(missing_ok=True)  # others may have measured it while it trained
        return params


def restore_params(init: Callable[[Array], Any], run: Run) -> PyTree:
    """The parameters of a run's last checkpoint; leaves lead with R.

    Args:
        init: of the run's program.
        run: a run folder.

    Raises:
        RunError: if there is no checkpoint, or it belongs to another run.
        DataError: if a file is damaged.
    """
    shape = jax.eval_shape(init, jnp.asarray(run.seeds))
    with contextlib.closing(run.checkpoints(read_only=True)) as checkpoints:
        return checkpoints.restore(shape).params


def _epochs(
    program: Fittable,
    state: Any,
    corpus: Any,
    epochs: range,
    save: Callable[[int, Any], None],
    writers: list[MetricsWriter],
    report: ReportFn,
) -> Any:
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
