# SPDX-License-Identifier: Apache-2.0
"""The jitted functions of an end-to-end Memory Network: restarts lie along an axis of one program."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct

from memjax.addressing import Hops
from memjax.memory import Memory, oldest_slot, write
from memjax.models import Answer, MemN2N
from memjax.recipes.end_to_end_config import EndToEndConfig
from memjax.recipes.program import over_seeds
from memjax.training import (
    CountedStories,
    TrainState,
    create_state,
    make_end_to_end_loss,
    make_epoch,
    make_step,
    measure_end_to_end,
    with_params,
)
from memjax.typing import NUM_SPECIAL, Array, PyTree


class Longest(NamedTuple):
    """What the authors' code takes from the training questions."""

    words: int  # of the longest statement or question
    story: int  # statements of the longest story


@struct.dataclass
class EndToEndState:
    """What a run must keep to go on to the same bits. Restarts lie along a leading axis R.

    Attributes:
        train: parameters, optimizer, step.
        began: the epoch from which on hops have their softmax; -1 as long as they go without.
        lowest: the lowest validation loss of the linear start.
    """

    train: TrainState
    began: Array  # int32 [R]
    lowest: Array  # float32 [R]

    @property
    def step(self) -> Array:
        """Steps taken, `[R]`."""
        return self.train.step

    @property
    def linear(self) -> Array:
        """Whether hops still go without their softmax, `[R]`."""
        return self.began < 0

    @property
    def key(self) -> Array:
        """The key of each restart."""
        return self.train.key

    @property
    def params(self) -> PyTree:
        """The parameters; leaves lead with R."""
        return self.train.params


@dataclasses.dataclass(frozen=True)
class EndToEndProgram:
    """What a run does on the device. Restarts lie along a leading axis R of states and parameters.

    Attributes:
        model: the structure; its own parameters are not used.
        learns_words: False: words that training never met are left out.
        init: `fn(seeds [R]) -> state`.
        epoch: `fn(state, corpus) -> (state, metrics [R])`; the state is donated.
        step: `fn(state, corpus, indices [R, B]) -> (state, metrics [R])`; the state is donated.
        settle: `fn(state, valid) -> state`: whether the linear start is over, after an epoch; `valid` may be None.
        evaluate: `fn(params, corpus) -> {"wrong": [R], "nats": [R]}`.
        tell: `fn(params, memory, tokens [S]) -> memory`, of one restart; the memory is donated.
        ask: `fn(params, memory, question [S], num_known) -> answer`, of one restart.
    """

    model: MemN2N
    learns_words: bool
    init: Callable[[Array], EndToEndState]
    epoch: Callable[[EndToEndState, CountedStories], tuple[EndToEndState, dict[str, Array]]]
    step: Callable[[EndToEndState, CountedStories, Array], tuple[EndToEndState, dict[str, Array]]]
    settle: Callable[[EndToEndState, CountedStories | None], EndToEndState]
    evaluate: Callable[[PyTree, CountedStories], dict[str, Array]]
    tell: Callable[[PyTree, Memory, Array], Memory]
    ask: Callable[[PyTree, Memory, Array, Array], Answer]


def build_end_to_end(config: EndToEndConfig, num_words: int, longest: Longest, steps: int) -> EndToEndProgram:
    """The program of a configuration; the same one for corpora of one size.

    Args:
        config: corpus, seed, and what is chosen by, do not matter here.
        num_words: W.
        longest: of the training questions.
        steps: of an epoch.
    """
    shared = dataclasses.replace(config, corpus=EndToEndConfig().corpus, seed=0, restarts=1, select="train", epochs=1)
    words = longest.words + config.time if config.position == "released" else 1
    slots = min(config.memory, longest.story) if config.nil == "longest" else config.memory
    return _program(shared, num_words, words, slots, steps)


@functools.lru_cache(maxsize=32)
def _program(config: EndToEndConfig, num_words: int, longest: int, slots: int, steps: int) -> EndToEndProgram:
    def make(key: Array) -> MemN2N:
        return MemN2N(
            num_words,
            config.features,
            hops=config.hops,
            num_ages=slots if config.time else 0,
            position=config.position,
            longest=longest,
            tying=config.tying,
            activation=config.activation,
            nil_slots=0 if config.nil == "none" else slots,
            rngs=nnx.Rngs(key),
        )

    model = make(jax.random.key(0))
    optimizer = _optimizer(config)

    def init(seed: Array) -> EndToEndState:
        weights, run = jax.random.split(jax.random.key(seed))
        linear = config.linear_start != "none" and config.linear_epochs > 0
        began = jnp.array(-1 if linear else 0, jnp.int32)
        return EndToEndState(create_state(make(weights), optimizer, run), began, jnp.array(jnp.inf, jnp.float32))

    def one_step(state: EndToEndState, batch: CountedStories) -> tuple[EndToEndState, dict[str, Array]]:
        halvings = (state.step // steps - state.began) // config.halve_every
        rate = jnp.where(state.linear, config.linear_rate, config.learning_rate * 0.5**halvings)
        opt_state = optax.tree_utils.tree_set(state.train.opt_state, learning_rate=rate.astype(jnp.float32))
        loss = make_end_to_end_loss(linear=state.linear, noise=config.noise)
        train = dataclasses.replace(state.train, opt_state=opt_state)
        train, metrics = make_step(model, optimizer, loss)(train, batch)
        return dataclasses.replace(state, train=train), {**metrics, "loss": metrics["nats"]}

    def settle(state: EndToEndState, valid: CountedStories | None) -> EndToEndState:
        done = state.step // steps
        over, lowest = done >= config.linear_epochs, state.lowest
        if config.linear_start == "validation" and valid is not None:
            nats = measure_end_to_end(with_params(model, state.params), valid, linear=True)["nats"]
            over, lowest = over | ~(nats < lowest), jnp.minimum(nats, lowest)
        return dataclasses.replace(state, began=jnp.where(state.linear & over, done, state.began), lowest=lowest)

    def step(states: EndToEndState, corpus: CountedStories, indices: Array) -> Any:
        return over_seeds(lambda both, corpus: one_step(both[0], corpus.take(both[1])))((states, indices), corpus)

    def evaluate(params: PyTree, corpus: CountedStories) -> dict[str, Array]:
        return measure_end_to_end(with_params(model, params), corpus)

    def tell(params: PyTree, memory: Memory, tokens: Array) -> Memory:
        return write(memory, with_params(model, params).embed(tokens), tokens, oldest_slot)

    def ask(params: PyTree, memory: Memory, question: Array, num_known: Array) -> Answer:
        found = with_params(model, params)(question, memory)
        known = jnp.where(jnp.arange(num_words) < num_known, found.scores, -jnp.inf)
        weights = found.hops.weights  # [P, N]
        slots = jnp.where(weights.max(axis=1) > 0, weights.argmax(axis=1), -1).astype(jnp.int32)
        hops = Hops(slots, weights, jnp.full(slots.shape, -jnp.inf, weights.dtype), found.hops.query)
        return Answer(words=(known.argmax()[None] + NUM_SPECIAL).astype(jnp.int32), hops=hops)

    return EndToEndProgram(
        model=model,
        learns_words=False,
        init=jax.jit(jax.vmap(init)),
        epoch=jax.jit(over_seeds(make_epoch(one_step, config.batch_size)), donate_argnums=0),  # type: ignore[arg-type]
        step=jax.jit(step, donate_argnums=0),
        settle=jax.jit(over_seeds(settle), donate_argnums=0),
        evaluate=jax.jit(over_seeds(evaluate)),
        tell=jax.jit(tell, donate_argnums=1),
        ask=jax.jit(ask),
    )


def _optimizer(config: EndToEndConfig) -> optax.GradientTransformation:
    """With a learning rate that is part of its state."""

    def clip(gradients: PyTree, params: PyTree = None) -> PyTree:
        def one(gradient: Array) -> Array:  # [.., rows, columns]
            norm = jnp.sqrt(jnp.sum(gradient**2, axis=(-2, -1), keepdims=True))
            return gradient * jnp.minimum(1, config.clip_norm / jnp.maximum(norm, 1e-12))

        return jax.tree.map(one, gradients)

    kind = optax.sgd if config.optimizer == "sgd" else optax.adam
    return optax.chain(optax.stateless(clip), optax.inject_hyperparams(kind)(learning_rate=config.learning_rate))
