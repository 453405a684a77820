# SPDX-License-Identifier: Apache-2.0
"""Training end-to-end Memory Networks over stories: several restarts side by side, one of which is chosen."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from memjax import _checks, data
from memjax.data.streams import Stream
from memjax.errors import RunError
from memjax.recipes.corpora import Splits, Tasks, Told, load_test, splits_of
from memjax.recipes.end_to_end_config import EndToEndConfig
from memjax.recipes.end_to_end_program import EndToEndProgram, EndToEndState, Longest, build_end_to_end
from memjax.recipes.fit import ReportFn, check_options, check_seeds, fit, restore_params, start_run
from memjax.recipes.joint import LEAST, JointProgram, TaskBatches, num_steps
from memjax.recipes.program import encode
from memjax.recipes.runs import Run, keep_results, open_run, read_results
from memjax.training import CountedStories
from memjax.typing import Array, PyTree

#: Between the words of an answer that has several: together they are one symbol.
JOINS = "+"


@dataclasses.dataclass(frozen=True)
class TrainedEndToEnd:
    """Trained models, one for each restart.

    Attributes:
        config: what was asked for.
        vocabulary: the words of the training questions; an answer of several words is one of them.
        program: the jitted functions.
        params: the parameters; leaves lead with the restarts.
        chosen: the restart that is used.
    """

    config: EndToEndConfig
    vocabulary: data.Vocabulary
    program: EndToEndProgram
    params: PyTree  # leaves [R, ...]
    chosen: int

    @property
    def num_slots(self) -> int:
        """Statements that a question sees."""
        return self.config.memory

    def evaluate(self, examples: Told) -> dict[str, list[float]]:
        """Accuracy on examples, of each restart, in percent.

        Returns:
            `{"accuracy": [R]}`; of several tasks the mean over tasks, and the accuracy of each by its name.
        """
        return _evaluate(self.program, self.params, self.config, self.vocabulary, examples)


def train_end_to_end(
    config: EndToEndConfig,
    *,
    examples: Told | None = None,
    folder: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    report: ReportFn = lambda done, epochs, metrics: None,
) -> TrainedEndToEnd:
    """Trains.

    Args:
        config: the configuration.
        examples: the training questions, where they are read already; of `config.corpus` otherwise.
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

    Example:
        >>> from memjax.recipes import Simulation
        >>> world = Simulation(difficulty=1, objects=False, num_statements=100, num_questions=50)
        >>> trained = train_end_to_end(EndToEndConfig(corpus=world, epochs=1, restarts=2))
        >>> len(trained.evaluate(world.examples("test"))["accuracy"])
        2

    Reference: Sukhbaatar et al. 2015, section 4.2.
    """
    check_options(folder, resume, overwrite, tensorboard)
    seeds = check_seeds(tuple(range(config.seed, config.seed + config.restarts)))
    splits = _splits(config, examples)
    sizes = tuple(map(len, _parts(splits.train)))
    if not all(sizes):
        raise ValueError("examples: expected at least one to train on, got none")
    steps = num_steps(sizes, config.batch_size)
    longest = _longest(splits.train)
    program = build_end_to_end(config, splits.vocabulary.num_words, longest, steps)
    if config.linear_start == "validation" and not splits.valid:
        raise ValueError("valid_part: expected validation questions for a linear start by validation, got none")
    by = splits.train if config.select == "train" else splits.valid
    if not by:
        raise ValueError("select: expected 'train' where there are no validation questions, got 'valid'")
    run = start_run(config, seeds, splits.vocabulary, folder, resume, overwrite)
    corpus = _encode_all(program, config, splits.vocabulary, splits.train)
    valid = None
    if config.linear_start == "validation":
        [valid] = _encode_all(program, config, splits.vocabulary, splits.valid)
    course = _Course(program, valid, config.batch_size, sizes)
    passes = dataclasses.replace(config, epochs=config.passes)
    params = fit(course, passes, seeds, corpus, run, tensorboard, report, steps=steps)

    def evaluate(examples: Told) -> dict[str, list[float]]:
        return _evaluate(program, params, config, splits.vocabulary, examples)

    chosen = int(np.argmax(evaluate(by)["accuracy"]))
    if run is not None:
        keep_results(run, "model", lambda: {"restart": chosen, "longest": longest._asdict()})
        if splits.valid:
            keep_results(run, "valid", lambda: evaluate(splits.valid))
    return TrainedEndToEnd(config, splits.vocabulary, program, params, chosen)


def load_end_to_end(folder: Path, data_folder: str | None = None) -> TrainedEndToEnd:
    """Loads the models of a run folder, from its last checkpoint.

    Args:
        folder: a run folder.
        data_folder: where the corpora lie on this machine, for evaluation.

    Raises:
        RunError: if there is no run or no checkpoint, or training has not come to its end.
        DataError: if a file is damaged.
    """
    return _restore(open_run(folder), data_folder)


def evaluate_end_to_end(folder: Path, split: str = "test", data_folder: str | None = None) -> dict[str, list[float]]:
    """Evaluates a run and adds what it finds to its `results.json`.

    Args:
        folder: a run folder.
        split: train, valid or test.
        data_folder: where the corpora lie on this machine.

    Returns:
        See `TrainedEndToEnd.evaluate`; the chosen restart comes first.
    """
    _checks.one_of("split", split, ("train", "valid", "test"))
    run = open_run(folder)
    trained = _restore(run, data_folder)
    config = trained.config
    examples = load_test(config.corpus) if split == "test" else getattr(_splits(config), split)
    if not examples:
        raise ValueError(f"split: expected one with questions, got {split!r}, which has none")
    found = keep_results(run, split, lambda: trained.evaluate(examples))
    order = [trained.chosen, *(i for i in range(config.restarts) if i != trained.chosen)]
    return {name: [values[i] for i in order] for name, values in found.items()}


@dataclasses.dataclass(frozen=True)
class _Course:
    """Epochs, each followed by a look at whether the linear start is over, as `fit` wants them."""

    program: EndToEndProgram
    valid: CountedStories | None
    batch_size: int
    sizes: tuple[int, ...]

    def init(self, seeds: Array) -> EndToEndState:
        return self.program.init(seeds)

    def epoch(self, state: EndToEndState, corpus: list[CountedStories]) -> tuple[EndToEndState, dict[str, Array]]:
        if len(corpus) == 1:
            state, metrics = self.program.epoch(state, corpus[0])
        else:
            batches = TaskBatches(tuple(corpus), self.sizes, self.batch_size)
            state, metrics = JointProgram(self.program).epoch(state, batches)
        return self.program.settle(state, self.valid), metrics


def one_symbol(example: data.Example, memory: int) -> data.Example:
    """A question as an end-to-end Memory Network sees it.

    Args:
        example: a question.
        memory: the statements that it sees, the latest ones.

    Returns:
        It without older statements and supporting facts, and with one word as its answer.

    Example:
        >>> example = data.Example(("Joe got milk.", "Joe got ham.", "Joe left."), "What?", ("milk", "ham"), (0, 1))
        >>> one_symbol(example, 2)
        Example(statements=('Joe got ham.', 'Joe left.'), question='What?', answers=('milk+ham',), supports=(), ...)

    Reference: Sukhbaatar et al. 2015, section 4.2.
    """
    words = [word for answer in example.answers for word in data.tokenize(answer)]
    answers = (JOINS.join(words),) if words else ()
    return dataclasses.replace(example, statements=example.statements[-memory:], answers=answers, supports=())


def _splits(config: EndToEndConfig, train: Told | None = None) -> Splits:
    """Training and validation questions; these are drawn once and for all where the corpus has none."""
    corpus = config.corpus
    train = corpus.examples("train") if train is None else train
    if corpus.has_valid:
        valid = corpus.examples("valid")
    elif isinstance(train, Tasks):
        each = {name: _hold_out(part, config.valid_part) for name, part in train.parts.items()}
        train, valid = (Tasks({name: both[i] for name, both in each.items()}) for i in (0, 1))
    else:
        train, valid = _hold_out(_parts(train)[0], config.valid_part)
    seen = (one_symbol(example, config.memory) for part in _parts(train) for example in part)
    return dataclasses.replace(splits_of(train, valid), vocabulary=data.Vocabulary.build(data.token_lists(seen)))


def _hold_out(examples: Sequence[data.Example], part: float) -> tuple[tuple[data.Example, ...], ...]:
    order = np.random.default_rng(0).permutation(len(examples)).tolist()
    held = set(order[: int(len(examples) * part)])
    return (
        tuple(example for i, example in enumerate(examples) if i not in held),
        tuple(example for i, example in enumerate(examples) if i in held),
    )


def _longest(examples: Told) -> Longest:
    each = [example for part in _parts(examples) for example in part]
    texts = {text for one in each for text in (*one.statements, one.question)}  # most are told again and again
    words = max((len(data.tokenize(text)) for text in texts), default=0)
    return Longest(max(words, 1), max(1, max(len(one.statements) for one in each)))


def _parts(examples: Told) -> list[tuple[data.Example, ...]]:
    """The examples of each task, or all of them as one."""
    if isinstance(examples, Stream):
        raise ValueError("examples: expected statements told one by one, got a stream")
    return list(examples.parts.values()) if isinstance(examples, Tasks) else [examples]


def _encode_all(
    program: EndToEndProgram, config: EndToEndConfig, vocabulary: data.Vocabulary, examples: Told
) -> list[CountedStories]:
    """On the device: one corpus, or those of the tasks in sizes that they share."""
    parts = _parts(examples)
    rows = -(-max(map(len, parts)) // 128) * 128
    corpora = []
    for part in parts:
        seen = [one_symbol(example, config.memory) for example in part]
        stories = encode(seen, vocabulary, LEAST if len(parts) > 1 else {})
        if len(parts) > 1:  # filled up with questions that are never taken
            stories = stories.take(jnp.minimum(jnp.arange(rows), len(stories) - 1))
        corpora.append(CountedStories.of(program.model, stories))
    return corpora


def _evaluate(
    program: EndToEndProgram, params: PyTree, config: EndToEndConfig, vocabulary: data.Vocabulary, examples: Told
) -> dict[str, list[float]]:
    names = list(examples.parts) if isinstance(examples, Tasks) else ["accuracy"]
    each = {}
    for name, part in zip(names, _parts(examples), strict=True):
        [corpus] = _encode_all(program, config, vocabulary, part)
        each[name] = 100 * (1 - np.asarray(program.evaluate(params, corpus)["wrong"], float))  # [R]
    means = {"accuracy": np.mean(list(each.values()), axis=0), **each}
    return {name: values.round(4).tolist() for name, values in means.items()}


def _restore(run: Run, data_folder: str | None) -> TrainedEndToEnd:
    config = run.config_of(EndToEndConfig, "an end-to-end run over stories", data_folder)
    model = read_results(run).get("model")
    if model is None:
        raise RunError(f"{run.folder}: expected a run that has come to its end, found none; go on with --resume")
    program = build_end_to_end(config, run.vocabulary.num_words, Longest(**model["longest"]), 1)
    return TrainedEndToEnd(config, run.vocabulary, program, restore_params(program.init, run), model["restart"])
