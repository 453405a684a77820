# SPDX-License-Identifier: Apache-2.0
"""The baselines of the Memory Networks paper: language models that read the story, and answer without a memory."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from memjax import data
from memjax.data.streams import Stream, cut
from memjax.models import SentenceResponder
from memjax.recipes.config import BaselineConfig
from memjax.recipes.corpora import Simulation, Splits, Told, load_splits, with_replies
from memjax.recipes.fit import ReportFn, check_seeds, fit
from memjax.recipes.program import over_seeds
from memjax.training import (
    ReplyBatch,
    TrainState,
    create_state,
    make_epoch,
    make_reply_loss,
    make_step,
    reply_accuracy,
    with_params,
)
from memjax.typing import Array, PyTree


@dataclasses.dataclass(frozen=True)
class BaselineProgram:
    """What a run does on the device. Seeds lie along a leading axis R of states and parameters.

    Attributes:
        init: `fn(seeds [R]) -> state`.
        epoch: `fn(state, corpus) -> (state, metrics [R])`; the state is donated.
        evaluate: `fn(params, corpus) -> accuracy [R]`.
    """

    init: Callable[[Array], TrainState]
    epoch: Callable[[TrainState, ReplyBatch], tuple[TrainState, dict[str, Array]]]
    evaluate: Callable[[PyTree, ReplyBatch], Array]


@functools.lru_cache(maxsize=32)
def _program(config: BaselineConfig, num_words: int, steps: int) -> BaselineProgram:
    def make(key: Array) -> SentenceResponder:
        return SentenceResponder(
            num_words,
            config.features,
            config.hidden_features,
            cell=config.cell,
            max_words=2 if config.answer == "word" else 16,
            rngs=nnx.Rngs(key),
        )

    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(config.clip_norm), optax.adam(schedule))
    model = make(jax.random.key(0))
    epoch = make_epoch(make_step(model, optimizer, make_reply_loss()), config.batch_size)

    def init(seed: Array) -> TrainState:
        weights, run = jax.random.split(jax.random.key(seed))
        return create_state(make(weights), optimizer, run)

    return BaselineProgram(
        init=jax.jit(jax.vmap(init)),
        epoch=jax.jit(over_seeds(epoch), donate_argnums=0),
        evaluate=jax.jit(over_seeds(lambda params, corpus: reply_accuracy(with_params(model, params), corpus))),
    )


@dataclasses.dataclass(frozen=True)
class TrainedBaseline:
    """Trained language models, one for each seed.

    Attributes:
        config: what was asked for.
        vocabulary: the words of the training questions and replies.
        program: the jitted functions.
        params: the parameters; leaves lead with the seeds.
    """

    config: BaselineConfig
    vocabulary: data.Vocabulary
    program: BaselineProgram
    params: PyTree  # leaves [R, ...]

    def evaluate(self, examples: Told) -> dict[str, list[float]]:
        """Accuracy on examples, for each seed, in percent.

        Args:
            examples: questions with answers, over sentences or a stream of words.

        Returns:
            `{"accuracy": [R]}`; what is right: `memjax.training.is_right`.
        """
        accuracy = self.program.evaluate(self.params, _encode(self.config, examples, self.vocabulary))
        return {"accuracy": [round(100 * float(value), 4) for value in accuracy]}


def train_baseline(
    config: BaselineConfig,
    *,
    seeds: tuple[int, ...] | None = None,
    splits: Splits | None = None,
    report: ReportFn = lambda done, epochs, metrics: None,
) -> TrainedBaseline:
    """Trains language models over stories; only the words of the replies have a loss.

    Args:
        config: the configuration.
        seeds: train several models side by side, along an axis of one program; `config.seed` alone by default.
        splits: the examples, where they are read already; of `config.corpus` otherwise.
        report: called after each epoch.

    Raises:
        RunError: if the loss is no longer finite.
        DataError: if the corpus cannot be read.

    Example:
        >>> from memjax.recipes import Simulation
        >>> world = Simulation(difficulty=1, objects=False, num_statements=20, num_questions=8)
        >>> trained = train_baseline(BaselineConfig(corpus=world, cell="rnn", statements=1, epochs=1))
        >>> "kitchen" in trained.vocabulary
        True

    Reference: Weston et al. 2015, section 5.2.
    Departs from the paper: the latest statements only; Adam.
    """
    splits = load_splits(config.corpus) if splits is None else splits
    seeds = check_seeds((config.seed,) if seeds is None else tuple(seeds))
    if config.answer == "sentence":
        splits = with_replies(splits)
    vocabulary = splits.vocabulary
    steps = max(len(splits.train) // config.batch_size, 1) * config.epochs
    program = _program(dataclasses.replace(config, corpus=Simulation(), seed=0), vocabulary.num_words, steps)
    params = fit(program, config, seeds, _encode(config, splits.train, vocabulary), None, False, report)
    return TrainedBaseline(config, vocabulary, program, params)


def _encode(config: BaselineConfig, told: Told, vocabulary: data.Vocabulary) -> ReplyBatch:
    stream = isinstance(told, Stream)
    examples = cut(told, told.ends) if isinstance(told, Stream) else tuple(told)
    encoded = data.encode_prompts(
        examples,
        vocabulary,
        statements=config.statements,
        marks=not stream,  # nothing shows where a statement of a stream ends
        sentences=config.answer == "sentence",
        multiple=16,  # so that the splits share programs
    )
    return ReplyBatch(*(jnp.asarray(getattr(encoded, name)) for name in ("prompts", "replies", "answers")))
