# SPDX-License-Identifier: Apache-2.0
"""Language models, from a configuration to their perplexity."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from memjax import data
from memjax.data.ptb import END
from memjax.models import LanguageModel
from memjax.recipes.fit import ReportFn, check_options, check_seeds, restore_params, start_run
from memjax.recipes.program import over_seeds
from memjax.recipes.reading import (
    STEPS_OF_A_PLAN,
    Course,
    begin,
    cosine,
    fall,
    fit_course,
    make_optimizer,
    make_plans,
    total,
)
from memjax.recipes.reading_config import LanguageConfig
from memjax.recipes.runs import Run, keep_results, open_run
from memjax.recipes.texts import Words
from memjax.training import (
    TextBatch,
    TextStream,
    TrainState,
    create_state,
    make_language_loss,
    make_planned_steps,
    make_planned_sums,
    make_step,
    make_window_steps,
    make_window_sums,
    measure_language,
    with_params,
)
from memjax.typing import PAD, UNKNOWN, Array, PyTree

#: Shapes that sentences are padded to; each is compiled.
NUM_BUCKETS = 8

#: What a corpus has in place of rare words.
RARE = "<unk>"

#: Stretches of a stream that are measured side by side.
MEASURED_STRETCHES = 20


@dataclasses.dataclass(frozen=True)
class LanguageProgram:
    """What a run does on the device. Seeds lie along a leading axis R of states and parameters.

    Attributes:
        model: the structure; it has no parameters of its own.
        init: `fn(seeds [R]) -> state`.
        learn: `fn(shapes) -> fn(state, (corpus, plan)) -> (state, sums [R])`, jitted; where windows are in order,
            `fn(()) -> fn((state, tapes), windows) -> ((state, tapes), sums [R])`.
        measure: `fn(shapes) -> fn(params, (corpus, plan)) -> sums [R]`, jitted; where the tape is carried,
            `fn(()) -> fn((params, tapes), windows) -> ((params, tapes), sums [R])`.
    """

    model: LanguageModel
    init: Callable[[Array], TrainState]
    learn: Callable[[tuple[int, ...]], Any]
    measure: Callable[[tuple[int, ...]], Any]


def _model(config: LanguageConfig, num_words: int, key: Array) -> LanguageModel:
    return LanguageModel(
        num_words,
        config.features,
        config.hidden_features,
        core=config.core,
        num_layers=config.num_layers,
        span=span_of(config),
        skip_connections=config.skip_connections,
        tied=config.tied,
        dropout=config.dropout,
        word_dropout=config.word_dropout,
        rngs=nnx.Rngs(key),
    )


def span_of(config: LanguageConfig) -> int | None:
    """Words that each word attends to at most; None for all before it."""
    return config.span or (config.window if config.tape == "carried" else None)


def _in_order(config: LanguageConfig) -> bool:
    """Whether training goes along the text. Where a tape is words, what a window goes on from is known anywhere."""
    return config.tape == "carried" and config.core != "memn2n"


@functools.lru_cache(maxsize=8)
def _program(config: LanguageConfig, num_words: int) -> LanguageProgram:
    optimizer = make_optimizer(config.optimizer, config.learning_rate, config.clip_norm, config.weight_decay)
    model = nnx.eval_shape(lambda: _model(config, num_words, jax.random.key(0)))
    step = make_step(model, optimizer, make_language_loss(config.output_dtype))

    def init(seed: Array) -> TrainState:
        weights, run = jax.random.split(jax.random.key(seed))
        made = _model(config, num_words, weights)
        # An unknown word begins as one that dropout leaves out, and training meets none.
        made.embedding.table[...] = made.embedding.table[...].at[UNKNOWN].set(0)
        return create_state(made, optimizer, run)

    def measure(params: PyTree, batch: TextBatch) -> dict[str, Array]:
        return measure_language(with_params(model, params), batch)

    @functools.lru_cache(maxsize=4)
    def learn_on(shapes: tuple[int, ...]) -> Any:
        if _in_order(config):
            return jax.jit(over_seeds(make_window_steps(step)), donate_argnums=0)

        def alone(state: TrainState, batch: TextBatch) -> tuple[TrainState, dict[str, Array]]:
            state, sums = step(state, batch)
            return state, {name: found for name, found in sums.items() if name != "tapes"}

        planned = make_planned_steps(alone, shapes)
        return jax.jit(over_seeds(lambda state, given: planned(state, *given)), donate_argnums=0)

    @functools.lru_cache(maxsize=4)
    def measure_on(shapes: tuple[int, ...]) -> Any:
        if config.tape == "carried":
            return jax.jit(over_seeds(make_window_sums(measure)))
        planned = make_planned_sums(measure, shapes)
        return jax.jit(over_seeds(lambda params, given: planned(params, *given)))

    return LanguageProgram(model, jax.jit(jax.vmap(init)), learn_on, measure_on)


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
        nats = np.asarray(_measurer(self.config, self.program, self.vocabulary, sentences)(self.params))
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
    course = _course(config, program, vocabulary, text, valid, len(seeds), seeds[0] % 2**32)
    run = start_run(config, seeds, vocabulary, folder, resume, overwrite)
    params = fit_course(course, config, seeds, run, tensorboard, report)
    trained = TrainedLanguageModel(config, vocabulary, program, params)
    if run is not None:
        keep_results(run, "valid", lambda: trained.evaluate(valid))
    return trained


def known_words(words: Sequence[str], vocabulary: data.Vocabulary) -> list[str]:
    """The words of a sentence as a language model knows them.

    Args:
        words: of a sentence.
        vocabulary: of the training text.

    Returns:
        A word itself, or in lower case where only that is known, or `<unk>`, which a corpus may have in place of rare
        words. Where it has none the word stays unknown: as a word to be predicted it is left out, and it is read as a
        word without features (where scores are tied to embeddings, with those of a word that never comes).

    Example:
        >>> known_words(["A", "zebra"], data.Vocabulary(("<unk>", "a")))
        ['a', '<unk>']
    """
    known = [word if word in vocabulary else word.lower() for word in words]
    return [word if word in vocabulary else RARE for word in known]


def build_language_program(config: LanguageConfig, vocabulary: data.Vocabulary) -> LanguageProgram:
    """The program of a configuration; the same one for texts that differ in words only."""
    corpus: Any = type(config.corpus)()
    course = {"schedule": "improvement", "decay": LanguageConfig.decay, "significant": LanguageConfig.significant}
    shared: Any = {**course, "corpus": corpus, "seed": 0, "epochs": 1}  # what the program does not use
    return _program(dataclasses.replace(config, **shared), vocabulary.num_words)


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


def _course(
    config: LanguageConfig,
    program: LanguageProgram,
    vocabulary: data.Vocabulary,
    text: Sequence[Words],
    valid: Sequence[Words],
    num_seeds: int,
    seed: int,
) -> Course:
    encoded = data.encode_sequences(text, vocabulary)
    (mark,) = vocabulary.encode([END])
    shared: dict[str, Any] = {
        "start": program.init,
        "measure": _measurer(config, program, vocabulary, valid),
        "next_rate": cosine(config.learning_rate, config.epochs)
        if config.schedule == "cosine"
        else fall(config.decay, config.significant),
        "summarize": lambda sums: {"loss": sums["nats"] / sums["words"]},
    }
    if _in_order(config):
        cut = functools.partial(data.windows, encoded, mark, config.batch_size, config.window)

        def stretches(epoch: int) -> list[TextBatch]:
            """Each epoch begins elsewhere in the text."""
            first = np.random.default_rng([seed, epoch]).integers(len(text))
            return window_parts(cut(int(first)))

        windows, learn = cut(), program.learn(())
        tapes = _empty_tapes(config, program.model, config.batch_size, num_seeds)
        return Course(
            **shared,
            learn=learn,
            parts=stretches,
            steps=len(windows),
            padding=1 - float(windows.lengths.mean()) / config.window,
            enter=lambda state: (state, jax.tree.map(jnp.copy, tapes)),
            leave=lambda carry: carry[0],
        )
    if config.tape == "carried":
        stream, learn = _as_stream(config, encoded, mark), program.learn((config.window,))
        first_words = np.arange(0, stream.words.size - stream.slots - config.window - 1, config.window)

        def anywhere(epoch: int) -> Sequence[Any]:
            """Windows in another order in each epoch."""
            rows = np.random.default_rng([seed, epoch]).permutation(first_words)
            rows = np.pad(rows, (0, -len(rows) % config.batch_size), constant_values=-1)
            batches = [data.Batch(each, config.window) for each in rows.reshape(-1, config.batch_size)]
            return make_plans(batches, (config.window,))

        return Course(
            **shared,
            learn=lambda state, plan: learn(state, (stream, plan)),
            parts=anywhere,
            steps=-(-len(first_words) // config.batch_size),
            padding=0.0,
        )
    inputs, targets = data.next_words(encoded, mark)
    buckets = data.bucket_lengths(inputs.lengths, NUM_BUCKETS)
    shapes = tuple(int(size) for size in buckets.boundaries)
    corpus, learn = _on_device(inputs, targets), program.learn(shapes)

    def plans(epoch: int) -> Sequence[Any]:
        return make_plans(data.plan_batches(buckets, config.batch_size, seed=seed, epoch=epoch), shapes)

    return Course(
        **shared,
        learn=lambda state, plan: learn(state, (corpus, plan)),
        parts=plans,
        steps=-(-len(text) // config.batch_size),
        padding=data.padding_share(inputs.lengths, data.plan_batches(buckets, config.batch_size)),
    )


def _measurer(
    config: LanguageConfig, program: LanguageProgram, vocabulary: data.Vocabulary, text: Sequence[Words]
) -> Callable[[PyTree], Array]:
    """`fn(params) -> -log p of a word [R]`, the mean over a text."""
    encoded = data.encode_sequences([known_words(words, vocabulary) for words in text], vocabulary)
    (mark,) = vocabulary.encode([END])
    if config.tape == "carried":
        parts = window_parts(data.windows(encoded, mark, MEASURED_STRETCHES, config.window))
        run = program.measure(())

        def measure_stream(params: PyTree) -> Array:
            num_seeds = jax.tree.leaves(params)[0].shape[0]
            carry, found = (params, _empty_tapes(config, program.model, MEASURED_STRETCHES, num_seeds)), []
            for part in parts:
                carry, sums = run(carry, part)
                found.append(sums)
            return _mean(found)

        return measure_stream
    inputs, targets = data.next_words(encoded, mark)
    buckets = data.bucket_lengths(inputs.lengths, NUM_BUCKETS)
    shapes = tuple(int(size) for size in buckets.boundaries)
    corpus, run = _on_device(inputs, targets), program.measure(shapes)
    plans = make_plans(data.plan_batches(buckets, config.batch_size), shapes)
    return lambda params: _mean([run(params, (corpus, plan)) for plan in plans])


def _mean(found: list[dict[str, Array]]) -> Array:
    sums = total(found)
    return jnp.asarray(sums["nats"] / sums["words"], jnp.float32)


def _on_device(inputs: data.Sequences, targets: data.Sequences) -> TextBatch:
    return TextBatch(jnp.asarray(inputs.tokens), jnp.asarray(targets.tokens), jnp.asarray(inputs.lengths))


def _as_stream(config: LanguageConfig, text: data.Sequences, mark: int) -> TextStream:
    """A text with a mark in front and one after each sentence, on the device."""
    windows = data.windows(text, mark, 1, config.window)
    following = windows.targets.reshape(-1)
    words = np.concatenate([[mark], following[following != PAD]])
    slots = span_of(config) or 1
    return TextStream(jnp.asarray(np.pad(words, (slots, config.window)), jnp.int32), slots)


def window_parts(windows: data.Windows) -> list[TextBatch]:
    """Windows in parts of equal size; the last is filled up with windows without words."""
    rest = -len(windows) % STEPS_OF_A_PLAN

    def parts(values: np.ndarray) -> list[Array]:
        filled = np.pad(values, ((0, rest), *[(0, 0)] * (values.ndim - 1)))
        return [jnp.asarray(part) for part in np.split(filled, len(filled) // STEPS_OF_A_PLAN)]

    columns = (parts(values) for values in (windows.inputs, windows.targets, windows.lengths))
    return [TextBatch(*leaves) for leaves in zip(*columns, strict=True)]


def _empty_tapes(config: LanguageConfig, model: LanguageModel, batch: int, num_seeds: int) -> Any:
    tapes = model.empty_tapes(batch, span_of(config) or 1)
    return jax.tree.map(lambda leaf: jnp.zeros((num_seeds, *leaf.shape), leaf.dtype), tapes)
