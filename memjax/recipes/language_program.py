# SPDX-License-Identifier: Apache-2.0
"""What a language model's run does on the device, from its configuration."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from memjax import data
from memjax.models import LanguageModel
from memjax.recipes.program import over_seeds
from memjax.recipes.reading import make_optimizer
from memjax.recipes.reading_config import LanguageConfig
from memjax.training import (
    TextBatch,
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
from memjax.typing import UNKNOWN, Array, PyTree


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


def in_order(config: LanguageConfig) -> bool:
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
        if in_order(config):
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


def build_language_program(config: LanguageConfig, vocabulary: data.Vocabulary) -> LanguageProgram:
    """The program of a configuration; the same one for texts that differ in words only."""
    corpus: Any = type(config.corpus)()
    course = {"schedule": "improvement", "decay": LanguageConfig.decay, "significant": LanguageConfig.significant}
    shared: Any = {**course, "corpus": corpus, "seed": 0, "epochs": 1}  # what the program does not use
    return _program(dataclasses.replace(config, **shared), vocabulary.num_words)
