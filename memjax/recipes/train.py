# SPDX-License-Identifier: Apache-2.0
"""Training a Memory Network from its configuration: in memory, or in a run folder that survives a kill."""

import dataclasses
from pathlib import Path

from memjax import data
from memjax.errors import RunError
from memjax.recipes.config import AnsweringConfig
from memjax.recipes.corpora import Babi, Splits, load_splits, load_test, with_replies
from memjax.recipes.fit import ReportFn, check_options, check_seeds, fit, restore_params, start_run
from memjax.recipes.program import Program, build_program, encode, encode_taught
from memjax.recipes.runs import Run, open_run, read_results
from memjax.training.files import write_json
from memjax.typing import PyTree


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
    check_options(folder, resume, overwrite, tensorboard)
    splits = load_splits(config.corpus, config.ngrams, config.variables) if splits is None else splits
    if config.response != "word":
        splits = with_replies(splits)
    seeds = check_seeds((config.seed,) if seeds is None else tuple(seeds))
    program = build_program(config, splits.vocabulary, len(splits.train))
    # Before anything is compiled: a folder that will not do is said at once.
    run = start_run(config, seeds, splits.vocabulary, folder, resume, overwrite)
    params = fit(program, config, seeds, encode_taught(config, splits), run, tensorboard, report)
    trained = Trained(config, splits.vocabulary, program, params)
    if run is not None and splits.valid:
        write_json(run.results_path, {**read_results(run), "valid": trained.evaluate(splits.valid)})
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
    config = run.config
    if not isinstance(config, AnsweringConfig):
        raise RunError(
            f"{run.folder}: expected a run over stories, found one over a knowledge base; load it with "
            "KnowledgeBase.load"
        )
    if data_folder is not None and isinstance(config.corpus, Babi):
        config = dataclasses.replace(config, corpus=dataclasses.replace(config.corpus, data=data_folder))
    program = build_program(config, run.vocabulary, config.batch_size)
    return Trained(config, run.vocabulary, program, restore_params(program, run))


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
    kept = read_results(run)
    results = trained.evaluate(examples)
    write_json(run.results_path, {**kept, split: results})
    return results
