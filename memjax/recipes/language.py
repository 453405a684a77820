# SPDX-License-Identifier: Apache-2.0
"""Language models, from a configuration to their perplexity."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memjax import data
from memjax.data.ptb import END
from memjax.recipes.fit import ReportFn, check_options, check_seeds, restore_params, start_run
from memjax.recipes.language_course import known_words, make_course, make_measurer
from memjax.recipes.language_program import LanguageProgram, build_language_program
from memjax.recipes.reading import begin, fit_course
from memjax.recipes.reading_config import LanguageConfig
from memjax.recipes.runs import Run, keep_results, open_run
from memjax.recipes.texts import Words
from memjax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class TrainedLanguageModel:
    """Trained language models, one for each seed.

    Attributes:
        config: what was asked for.
        vocabulary: the words of the training text.
        program: the jitted functions.
        params: the parameters; leaves lead with the seeds.
    """

    config: LanguageConfig
    vocabulary: data.Vocabulary
    program: LanguageProgram
    params: PyTree  # leaves [R, ...]

    def evaluate(self, sentences: Sequence[Words]) -> dict[str, list[float]]:
        """The perplexity of a text, for each seed.

        Args:
            sentences: the words of each, without marks.

        Returns:
            `{"perplexity": [R]}`: exp of the mean of -log p over words and ends of sentences; and `unknown`, the share
            of the words that are left out in percent, where there are any: those that training never met, see
            `known_words`.

        Reference: Cheng et al. 2016, section 5.1.
        """
        nats = np.asarray(make_measurer(self.config, self.program, self.vocabulary, sentences)(self.params))
        found = {"perplexity": [round(float(np.exp(value)), 4) for value in nats]}
        words = [word in self.vocabulary for sentence in sentences for word in known_words(sentence, self.vocabulary)]
        unknown = round(100 * words.count(False) / max(len(words), 1), 4)
        return {**found, "unknown": [unknown] * len(nats)} if unknown else found


def train_language_model(
    config: LanguageConfig,
    *,
    seeds: tuple[int, ...] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    report: ReportFn = lambda done, epochs, metrics: None,
) -> TrainedLanguageModel:
    """Trains a language model; the parameters that did best on validation text are kept.

    Args:
        config: the configuration.
        seeds: train several models side by side, in one order of batches; `config.seed` alone by default.
        folder: a run folder to keep it in; nothing is written without one.
        resume: go on with the run in `folder` from its last checkpoint, to the same bits as if it had not stopped.
        overwrite: replace the run in `folder`.
        tensorboard: also write TensorBoard events.
        report: called after each epoch, and with a part of one after each few steps.

    Returns:
        The trained models.

    Raises:
        ValueError: if what is asked for cannot be had together.
        RunError: if `folder` is there already, or holds another run than the one to be resumed; or the loss is no
            longer finite.
        DataError: if the corpus cannot be read, or a file in `folder` is damaged.

    Example:
        >>> import tempfile
        >>> from memjax.recipes import TextFiles
        >>> folder = Path(tempfile.mkdtemp())
        >>> for split in ("train", "valid"):
        ...     _ = (folder / f"{split}.txt").write_text("the cat sat \\n the dog sat \\n")
        >>> config = LanguageConfig(TextFiles(str(folder)), "lstm", features=4, hidden_features=8, epochs=1)
        >>> trained = train_language_model(config)
        >>> sorted(trained.evaluate([("the", "cat", "sat")]))
        ['perplexity']

    Reference: Cheng et al. 2016, section 5.1.
    Departs from the paper: what it leaves open is a field of `LanguageConfig`.
    """
    check_options(folder, resume, overwrite, tensorboard)
    seeds = check_seeds((config.seed,) if seeds is None else tuple(seeds))
    text, valid = config.corpus.sentences("train"), config.corpus.sentences("valid")
    vocabulary = data.Vocabulary.build([*text, (END,)])
    program = build_language_program(config, vocabulary)
    course = make_course(config, program, vocabulary, text, valid, seeds)
    run = start_run(config, seeds, vocabulary, folder, resume, overwrite)
    params = fit_course(course, config, seeds, run, tensorboard, report)
    trained = TrainedLanguageModel(config, vocabulary, program, params)
    if run is not None:
        keep_results(run, "valid", lambda: trained.evaluate(valid))
    return trained


def load_language_model(folder: Path, data_folder: str | None = None) -> TrainedLanguageModel:
    """Loads the models of a run folder, from its last checkpoint.

    Args:
        folder: a run folder.
        data_folder: where the corpora lie on this machine, for evaluation.

    Raises:
        RunError: if there is no run or no checkpoint, or the run is none of a language model.
        DataError: if a file is damaged.
    """
    return _restore(open_run(folder), data_folder)


def _restore(run: Run, data_folder: str | None) -> TrainedLanguageModel:
    config = run.config_of(LanguageConfig, "the run of a language model", data_folder)
    program = build_language_program(config, run.vocabulary)
    return TrainedLanguageModel(config, run.vocabulary, program, restore_params(begin(program.init), run))


def evaluate_language_model(
    folder: Path, split: str = "test", data_folder: str | None = None
) -> dict[str, list[float]]:
    """Measures the perplexity of a run and adds what it finds to its `results.json`.

    Args:
        folder: a run folder.
        split: train, valid or test.
        data_folder: where the corpora lie on this machine.

    Returns:
        See `TrainedLanguageModel.evaluate`.
    """
    run = open_run(folder)
    trained = _restore(run, data_folder)
    return keep_results(run, split, lambda: trained.evaluate(trained.config.corpus.sentences(split)))
