# SPDX-License-Identifier: Apache-2.0
"""Training a Memory Network from its configuration: in memory, or in a run folder that survives a kill."""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from memjax import data
from memjax.data.streams import Stream, agreement, cut
from memjax.recipes.config import AnsweringConfig
from memjax.recipes.corpora import Splits, Tasks, Told, load_splits, load_test, with_replies
from memjax.recipes.fit import ReportFn, check_options, check_seeds, fit, restore_params, start_run
from memjax.recipes.joint import evaluate_tasks, join, num_steps
from memjax.recipes.program import Program, build_program, encode, encode_taught
from memjax.recipes.runs import Run, alone, keep_results, open_run
from memjax.recipes.segmenting import TrainedSegmenter, fit_segmenter, load_segmenter
from memjax.typing import Array, PyTree


@dataclasses.dataclass(frozen=True)
class Trained:
    """Trained models, one for each seed.

    Attributes:
        config: what was asked for.
        vocabulary: the words of the training questions.
        program: the jitted functions.
        params: the parameters; leaves lead with the seeds.
        segmenter: cuts streams of words; None where statements were told one by one.
    """

    config: AnsweringConfig
    vocabulary: data.Vocabulary
    program: Program
    params: PyTree  # leaves [R, ...]
    segmenter: TrainedSegmenter | None = None

    @property
    def chosen(self) -> int:
        """The seed whose model is used: the first."""
        return 0

    @property
    def num_slots(self) -> int:
        """Statements that a question of its corpus saw; 512 for bAbI."""
        return getattr(self.config.corpus, "window", 512)

    def evaluate(self, examples: Told) -> dict[str, list[float]]:
        """Accuracy on examples, for each seed, in percent.

        Args:
            examples: questions with answers; or a stream, of which the words alone are used to cut it; or several
                tasks.

        Returns:
            `{"accuracy": [R], "supports": [R]}`: answers right, and chains of supports right, which are left out
            where no supports are known. Of sentences: see `memjax.training.is_right`. Of a stream also `boundaries` and
            `statements`: see `memjax.data.streams.agreement`. Of tasks: means over tasks, and the accuracy of each by
            its name.

        Raises:
            ValueError: if it is a stream, and there is no segmenter.
        """
        agreements: dict[str, float] = {}
        if isinstance(examples, Tasks):
            means, each = evaluate_tasks(self.program, self.params, examples, self.vocabulary)
            return _percent(means | each)
        if isinstance(examples, Stream):
            if self.segmenter is None:
                raise ValueError("examples: expected statements told one by one, got a stream; train with --stream")
            ends = self.segmenter.ends(examples)
            agreements, examples = agreement(examples, ends), cut(examples, ends)
        metrics = self.program.evaluate(self.params, encode(examples, self.vocabulary))
        shares = {name: jnp.full(metrics["accuracy"].shape, share) for name, share in agreements.items()}
        return _percent(metrics | shares)


def _percent(shares: Mapping[str, Array]) -> dict[str, list[float]]:
    """In percent; without what there is nothing to measure by: supports that no question has."""
    known = {name: np.asarray(values) for name, values in shares.items() if not np.isnan(values).all()}
    return {name: [round(100 * float(value), 4) for value in values] for name, values in known.items()}


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
        seeds: train several models side by side, along an axis of one program; `config.seed` alone by default. A
            segmenter is trained with the first, and cuts for all.
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
    check_options(folder, resume, overwrite, tensorboard)
    splits = load_splits(config.corpus, config.ngrams, config.variables) if splits is None else splits
    if config.response != "word":
        splits = with_replies(splits)
    seeds = check_seeds((config.seed,) if seeds is None else tuple(seeds))
    num_examples = len(splits.train)
    if isinstance(splits.train, Tasks):
        sizes = tuple(len(part) for part in splits.train.parts.values())
        num_examples = num_steps(sizes, config.batch_size) * config.batch_size
    program = build_program(config, splits.vocabulary, num_examples)
    # Before anything is compiled: a folder that will not do is said at once.
    run = start_run(config, seeds, splits.vocabulary, folder, resume, overwrite)
    segmenter, examples = None, splits.train
    if isinstance(examples, Stream):  # cut as a test stream is, so that what is learned from looks alike
        with contextlib.nullcontext() if folder is None else alone(folder):
            segmenter = fit_segmenter(config, seeds[0], examples, splits.vocabulary, folder)
        examples = cut(examples, segmenter.ends(examples))
    if isinstance(examples, Tasks):
        joint, batches = join(program, examples, splits.vocabulary, config.batch_size)
        params = fit(joint, config, seeds, batches, run, tensorboard, report)
    else:
        corpus = encode_taught(config, examples, splits.vocabulary)
        params = fit(program, config, seeds, corpus, run, tensorboard, report)
    trained = Trained(config, splits.vocabulary, program, params, segmenter)
    if run is not None and splits.valid:
        keep_results(run, "valid", lambda: trained.evaluate(splits.valid))
    return trained


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
    config = run.config_of(AnsweringConfig, "a run over stories", data_folder)
    program = build_program(config, run.vocabulary, config.batch_size)
    streams = getattr(config.corpus, "stream", False)
    params = restore_params(program.init, run)  # says so where the run has none yet; then the segmenter may be missing
    segmenter = load_segmenter(config, run.vocabulary, run.folder) if streams else None
    return Trained(config, run.vocabulary, program, params, segmenter)


def evaluate(folder: Path, split: str = "test", data_folder: str | None = None) -> dict[str, list[float]]:
    """Evaluates a run over stories and adds what it finds to its `results.json`.

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
    return keep_results(run, split, lambda: trained.evaluate(examples))
