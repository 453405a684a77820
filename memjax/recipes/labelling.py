# SPDX-License-Identifier: Apache-2.0
"""Labels of sentences and of pairs of them, from a configuration to their accuracy."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from memjax import data
from memjax.models import SentencePairMatcher, SequenceClassifier
from memjax.recipes.fit import ReportFn, check_options, check_seeds, restore_params, start_run
from memjax.recipes.program import over_seeds
from memjax.recipes.reading import Course, begin, fall, fit_course, make_optimizer, make_plans, total
from memjax.recipes.reading_config import InferenceConfig, LabellingConfig
from memjax.recipes.runs import Run, keep_results, open_run
from memjax.recipes.texts import LabelledTexts, find_vectors
from memjax.training import (
    FirstUpdates,
    LabelledBatch,
    PairBatch,
    TrainState,
    create_state,
    make_label_loss,
    make_planned_steps,
    make_planned_sums,
    make_step,
    measure_labels,
    scale_first_updates,
    with_params,
)
from memjax.typing import NUM_SPECIAL, UNKNOWN, Array, PyTree

#: Shapes that texts are padded to; each is compiled.
NUM_BUCKETS = 6

#: Texts that are measured side by side.
MEASURED_TEXTS = 64

#: Of the updates of vectors found, in the first epoch, for each kind of tuning.
_FIRST_SCALES = {"all": 1.0, "scaled_first": 0.35, "frozen_first": 0.0, "frozen": 0.0}

_FOREVER = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class LabellingProgram:
    """What a run does on the device. Seeds lie along a leading axis R of states and parameters.

    Attributes:
        model: the structure; it has no parameters of its own.
        init: `fn(seeds [R]) -> state`.
        learn: `fn(shapes) -> fn(state, (corpus, plan)) -> (state, sums [R])`, jitted.
        measure: `fn(shapes) -> fn(params, (corpus, plan)) -> sums [R]`, jitted.
        probabilities: `fn(params, inputs) -> [B, C]`, of one seed, jitted.
    """

    model: SequenceClassifier | SentencePairMatcher
    init: Callable[[Array], TrainState]
    learn: Callable[[tuple[int, ...]], Any]
    measure: Callable[[tuple[int, ...]], Any]
    probabilities: Callable[[PyTree, tuple[Array, ...]], Array]


def _model(
    config: LabellingConfig, num_words: int, num_labels: int, key: Array
) -> SequenceClassifier | SentencePairMatcher:
    sizes = num_words, config.features, config.hidden_features, num_labels
    options: dict[str, Any] = {
        "core": config.core,
        "num_layers": config.num_layers,
        "span": config.span or None,
        "dropout": config.dropout,
        "embedding_dropout": config.embedding_dropout,
        "word_dropout": config.word_dropout,
        "rngs": nnx.Rngs(key),
    }
    if isinstance(config, InferenceConfig):
        options |= {"fusion": config.fusion, "shared": config.shared, "compare": config.compare}
        return SentencePairMatcher(*sizes, **options)
    return SequenceClassifier(*sizes, **options)


def build_labelling_program(config: LabellingConfig, vocabulary: data.Vocabulary) -> LabellingProgram:
    """The program of a configuration; the same one for texts that differ in words only."""
    shared = dataclasses.replace(
        config, corpus=None, seed=0, epochs=1, vectors="", tuning="all", missing="random", deviation=0.0, file_words=0
    )
    return _program(shared, vocabulary.num_words, len(config.corpus.names))


@functools.lru_cache(maxsize=8)
def _program(config: LabellingConfig, num_words: int, num_labels: int) -> LabellingProgram:
    optimizer = optax.chain(make_optimizer("adam", config.learning_rate, config.clip_norm), scale_first_updates())
    model = nnx.eval_shape(lambda: _model(config, num_words, num_labels, jax.random.key(0)))
    step = make_step(model, optimizer, make_label_loss(config.l2))

    def init(seed: Array) -> TrainState:
        weights, run = jax.random.split(jax.random.key(seed))
        made = _model(config, num_words, num_labels, weights)
        # An unknown word reads as one that dropout leaves out, and training meets none.
        made.embedding.table[...] = made.embedding.table[...].at[UNKNOWN].set(0)
        return create_state(made, optimizer, run)

    def measure(params: PyTree, batch: Any) -> dict[str, Array]:
        return measure_labels(with_params(model, params), batch)

    def probabilities(params: PyTree, inputs: tuple[Array, ...]) -> Array:
        return jax.nn.softmax(with_params(model, params)(*inputs))

    @functools.lru_cache(maxsize=4)
    def learn_on(shapes: tuple[int, ...]) -> Any:
        planned = make_planned_steps(step, shapes)
        return jax.jit(over_seeds(lambda state, given: planned(state, *given)), donate_argnums=0)

    @functools.lru_cache(maxsize=4)
    def measure_on(shapes: tuple[int, ...]) -> Any:
        planned = make_planned_sums(measure, shapes)
        return jax.jit(over_seeds(lambda params, given: planned(params, *given)))

    return LabellingProgram(model, jax.jit(jax.vmap(init)), learn_on, measure_on, jax.jit(probabilities))


@dataclasses.dataclass(frozen=True)
class TrainedLabeller:
    """Trained models that tell labels, one for each seed; see `memjax.recipes.Labeller` to use one.

    Attributes:
        config: what was asked for.
        vocabulary: the words that it knows.
        program: the jitted functions.
        params: the parameters; leaves lead with the seeds.
    """

    config: LabellingConfig
    vocabulary: data.Vocabulary
    program: LabellingProgram
    params: PyTree  # leaves [R, ...]

    def evaluate(self, texts: LabelledTexts) -> dict[str, list[float]]:
        """How well the labels of texts are told, by each seed.

        Args:
            texts: with their labels.

        Returns:
            `{"accuracy": [R], "nats": [R]}`: the share of right ones in percent, and the mean of -log p(label).

        Raises:
            ValueError: if a label is none of the corpus', or there are no texts.
        """
        sums = _measurer(self.config, self.program, self.vocabulary, texts)(self.params)
        return {
            "accuracy": [round(float(value), 3) for value in 100 * sums["right"] / sums["examples"]],
            "nats": [round(float(value), 4) for value in sums["nats"] / sums["examples"]],
        }


def train_labeller(
    config: LabellingConfig,
    *,
    seeds: tuple[int, ...] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    report: ReportFn = lambda done, epochs, metrics: None,
) -> TrainedLabeller:
    """Trains a model that tells labels; the parameters that were right most often on validation texts are kept.

    Args:
        config: a `SentimentConfig` or an `InferenceConfig`.
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
        DataError: if corpus or vectors cannot be read, or a file in `folder` is damaged.

    Example:
        >>> import tempfile
        >>> from memjax.recipes import SST, SentimentConfig
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "trees").mkdir()
        >>> for split in ("train", "dev"):
        ...     _ = (folder / "trees" / f"{split}.txt").write_text("(4 (2 a) (4 gem))\\n(0 (2 a) (0 bore))\\n")
        >>> corpus = SST(fine=False, data=str(folder))
        >>> config = SentimentConfig(corpus, "lstm", 4, 8, dropout=0, learning_rate=0.1, epochs=20)
        >>> train_labeller(config).evaluate(corpus.texts("valid"))["accuracy"]
        [100.0]

    Reference: Cheng et al. 2016, sections 5.2 and 5.3.
    Departs from the paper: what it leaves open is a field of the configuration.
    """
    check_options(folder, resume, overwrite, tensorboard)
    seeds = check_seeds((config.seed,) if seeds is None else tuple(seeds))
    texts, valid = config.corpus.texts("train"), config.corpus.texts("valid")
    vocabulary = data.Vocabulary.build([*texts.words(), *_words_of_file(config)])
    program = build_labelling_program(config, vocabulary)
    course = _course(config, program, vocabulary, texts, valid, seeds)  # vectors that do not fit are said here
    run = start_run(config, seeds, vocabulary, folder, resume, overwrite)  # type: ignore[arg-type]
    params = fit_course(course, config, seeds, run, tensorboard, report)
    trained = TrainedLabeller(config, vocabulary, program, params)
    if run is not None:
        keep_results(run, "valid", lambda: trained.evaluate(valid))
    return trained


def load_labeller(folder: Path, data_folder: str | None = None) -> TrainedLabeller:
    """Loads the models of a run folder, from its last checkpoint; no file of vectors is needed.

    Args:
        folder: a run folder.
        data_folder: where the corpora lie on this machine, for evaluation.

    Raises:
        RunError: if there is no run or no checkpoint, or the run is none that tells labels.
        DataError: if a file is damaged.
    """
    return _restore(open_run(folder), data_folder)


def _restore(run: Run, data_folder: str | None) -> TrainedLabeller:
    config = run.config_of(LabellingConfig, "the run of a model of labels", data_folder)
    program = build_labelling_program(config, run.vocabulary)
    return TrainedLabeller(config, run.vocabulary, program, restore_params(begin(program.init), run))


def evaluate_labeller(folder: Path, split: str = "test", data_folder: str | None = None) -> dict[str, list[float]]:
    """Measures the accuracy of a run and adds what it finds to its `results.json`.

    Args:
        folder: a run folder.
        split: train, valid or test.
        data_folder: where the corpora lie on this machine.

    Returns:
        See `TrainedLabeller.evaluate`.
    """
    run = open_run(folder)
    trained = _restore(run, data_folder)
    return keep_results(run, split, lambda: trained.evaluate(trained.config.corpus.texts(split)))


def encode_texts(texts: LabelledTexts, vocabulary: data.Vocabulary, num_labels: int) -> tuple[Any, np.ndarray]:
    """Puts texts on the device.

    Args:
        texts: with their labels.
        vocabulary: words outside it become `UNKNOWN`.
        num_labels: C.

    Returns:
        A `memjax.training.LabelledBatch` or `PairBatch` of all texts; the words of each sentence, int `[Q]` or
        `[Q, 2]`.

    Raises:
        ValueError: if a label is not in [0, C), or there are no texts.
    """
    labels = np.asarray(texts.labels, np.int32)
    if not len(labels):
        raise ValueError("texts: expected at least one, got none")
    if labels.min() < 0 or labels.max() >= num_labels:
        raise ValueError(f"labels: expected integers from 0 to {num_labels - 1}, got {sorted(set(labels.tolist()))}")
    parts = [data.encode_sequences(part, vocabulary) for part in zip(*texts.sentences, strict=True)]
    width = max(part.tokens.shape[1] for part in parts)
    parts = [part.take(range(len(part)), width) for part in parts]
    arrays = [jnp.asarray(array) for part in parts for array in (part.tokens, part.lengths)]
    make: Any = LabelledBatch if len(parts) == 1 else PairBatch
    lengths = parts[0].lengths if len(parts) == 1 else np.stack([part.lengths for part in parts], axis=-1)
    return make(*arrays, jnp.asarray(labels)), lengths


def _course(
    config: LabellingConfig,
    program: LabellingProgram,
    vocabulary: data.Vocabulary,
    texts: LabelledTexts,
    valid: LabelledTexts,
    seeds: tuple[int, ...],
) -> Course:
    corpus, lengths = encode_texts(texts, vocabulary, len(config.corpus.names))
    buckets = data.bucket_lengths(lengths.reshape(len(texts), -1).max(1), NUM_BUCKETS)
    shapes = tuple(int(size) for size in buckets.boundaries)
    learn, measured = program.learn(shapes), _measurer(config, program, vocabulary, valid)
    steps = -(-len(texts) // config.batch_size)
    order = seeds[0] % 2**32

    def errors(params: PyTree) -> Array:
        sums = measured(params)
        return jnp.asarray(100 * (1 - sums["right"] / sums["examples"]), jnp.float32)

    return Course(
        start=_starter(config, program, vocabulary, texts, steps, seeds),
        learn=lambda state, plan: learn(state, (corpus, plan)),
        measure=errors,
        parts=lambda epoch: make_plans(data.plan_batches(buckets, config.batch_size, seed=order, epoch=epoch), shapes),
        steps=steps,
        padding=data.padding_share(lengths, data.plan_batches(buckets, config.batch_size)),
        next_rate=fall(config.decay),
        summarize=lambda sums: {
            "loss": sums["nats"] / sums["examples"],
            "accuracy": 100 * sums["right"] / sums["examples"],
        },
    )


def _starter(
    config: LabellingConfig,
    program: LabellingProgram,
    vocabulary: data.Vocabulary,
    texts: LabelledTexts,
    steps: int,
    seeds: tuple[int, ...],
) -> Callable[[Array], TrainState]:
    """From seeds to the state before the first step, with the vectors of words in it."""
    if config.vectors == "none":
        return program.init
    path = find_vectors(config.vectors, config.corpus.data)
    options: dict[str, Any] = {"missing": config.missing, "deviation": config.deviation or None}
    if config.missing == "neighbours":
        options["sentences"] = texts.words()
    read = [data.read_vectors(path, vocabulary.words, seed=seed % 2**32, **options) for seed in seeds]
    if read[0].values.shape[1] != config.features:
        size = read[0].values.shape[1]
        raise ValueError(
            f"features: expected {size}, the numbers of each vector in {path}, got {config.features}; "
            f"pass --features {size}"
        )
    values = np.stack([vectors.values for vectors in read])  # [R, W, D]
    scale = np.where(read[0].found, np.float32(_FIRST_SCALES[config.tuning]), np.float32(1))  # [W]
    remaining = _FOREVER if config.tuning == "frozen" else steps

    def place(node: Any) -> Any:
        if not isinstance(node, FirstUpdates):
            return node
        return FirstUpdates(jnp.full_like(node.remaining, remaining), node.scale.at[:, NUM_SPECIAL:].set(scale[None]))

    def start(given: Array) -> TrainState:
        state = program.init(given)
        table = state.params["embedding"]["table"].at[:, NUM_SPECIAL:].set(values)
        params = {**state.params, "embedding": {"table": table}}
        opt_state = jax.tree.map(place, state.opt_state, is_leaf=lambda node: isinstance(node, FirstUpdates))
        return dataclasses.replace(state, params=params, opt_state=opt_state)

    return start


def _words_of_file(config: LabellingConfig) -> Sequence[tuple[str, ...]]:
    if not config.file_words:
        return ()
    path = find_vectors(config.vectors, config.corpus.data)
    return (tuple(data.vector_words(path, int(config.file_words))),)


def _measurer(
    config: LabellingConfig, program: LabellingProgram, vocabulary: data.Vocabulary, texts: LabelledTexts
) -> Callable[[PyTree], dict[str, np.ndarray]]:
    """`fn(params) -> sums [R]` over texts."""
    corpus, lengths = encode_texts(texts, vocabulary, len(config.corpus.names))
    buckets = data.bucket_lengths(lengths.reshape(len(texts), -1).max(1), NUM_BUCKETS)
    shapes = tuple(int(size) for size in buckets.boundaries)
    run = program.measure(shapes)
    plans = make_plans(data.plan_batches(buckets, MEASURED_TEXTS), shapes)
    return lambda params: total(run(params, (corpus, plan)) for plan in plans)
