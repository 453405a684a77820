# SPDX-License-Identifier: Apache-2.0
"""The jitted functions of a configuration: one program for all corpora of like size."""

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from memjax import data
from memjax.encoding import context_bags
from memjax.memory import Memory, oldest_slot, valid, write
from memjax.models import Answer, MemNN, SentenceMemNN, SentenceResponder
from memjax.recipes.config import AnsweringConfig
from memjax.recipes.corpora import Simulation
from memjax.training import (
    NarrowStories,
    SpokenStories,
    StoryBatch,
    TrainState,
    accuracy,
    create_state,
    make_epoch,
    make_memnn_loss,
    make_sentence_memnn_loss,
    make_step,
    sentence_accuracy,
    with_params,
)
from memjax.typing import PAD, Array, PyTree

#: Words that a model trained for unseen words can be told beside those that training met.
NEW_WORDS = 32

#: Words of a statement, a segment or a question, at most.
MAX_SENTENCE = 64


@dataclasses.dataclass(frozen=True)
class Program:
    """What a run does on the device. Seeds lie along a leading axis R of states and parameters.

    Attributes:
        model: the structure; its own parameters are not used.
        learns_words: whether words that training never met are known by the words around them.
        init: `fn(seeds [R]) -> state`.
        epoch: `fn(state, corpus) -> (state, metrics [R])`; the state is donated.
        step: `fn(state, corpus, indices [R, B]) -> (state, metrics [R])`, on the questions of each seed that are at its
            indices; the state is donated.
        evaluate: `fn(params, corpus) -> metrics [R]`.
        tell: `fn(params, memory, tokens [S]) -> memory`, of one seed; the memory is donated.
        ask: `fn(params, memory, question [S], num_known) -> answer`, of one seed; words from the number `num_known` on
            are taken for unseen ones, by a model that was trained for them.
    """

    model: MemNN | SentenceMemNN
    learns_words: bool
    init: Callable[[Array], TrainState]
    epoch: Callable[[TrainState, StoryBatch | SpokenStories], tuple[TrainState, dict[str, Array]]]
    step: Callable[[TrainState, StoryBatch | NarrowStories, Array], tuple[TrainState, dict[str, Array]]]
    evaluate: Callable[[PyTree, StoryBatch], dict[str, Array]]
    tell: Callable[[PyTree, Memory, Array], Memory]
    ask: Callable[[PyTree, Memory, Array, Array], Answer]


def _model(config: AnsweringConfig, num_words: int, num_ngrams: int, key: Array) -> MemNN | SentenceMemNN:
    rngs = nnx.Rngs(key)
    network = MemNN(
        num_words,
        config.features,
        hops=config.hops,
        time=config.time,
        adaptive=config.adaptive,
        exclude_found=config.exclude_found,
        max_words=config.max_words,
        last_support=config.last_support,
        num_ngrams=num_ngrams,
        form=config.form,
        places=config.places,
        exact_match=config.exact_match,
        contexts=config.unseen > 0,
        beam=config.beam,
        rngs=rngs,
    )
    if config.response == "word":
        return network
    writer = SentenceResponder(num_words, config.features, config.response_features, cell=config.response, rngs=rngs)
    return SentenceMemNN(network, writer, beam=config.response_beam)


def build_program(config: AnsweringConfig, vocabulary: data.Vocabulary, num_examples: int) -> Program:
    """The program of a configuration; the same one for corpora that differ in text only.

    Args:
        config: its corpus and seed do not matter here.
        vocabulary: gives the number of words.
        num_examples: training questions; they set how fast the learning rate falls.
    """
    steps = max(num_examples // config.batch_size, 1) * config.epochs
    shared = dataclasses.replace(config, corpus=Simulation(), seed=0)
    # Rounded up, so that corpora share programs; but a word that is none must not be drawn as a wrong choice, and the
    # ids of n-grams begin where those of words end.
    num_words, num_ngrams = vocabulary.num_words, _round_up(len(vocabulary.ngrams), 32)
    if config.negatives == "all" and not num_ngrams:
        num_words = _round_up(num_words, 16)
    if config.unseen:
        num_words += NEW_WORDS
    return _program(shared, num_words, num_ngrams, steps)


@functools.lru_cache(maxsize=32)
def _program(config: AnsweringConfig, num_words: int, num_ngrams: int, steps: int) -> Program:
    optimizer = _optimizer(config, steps)
    model = _model(config, num_words, num_ngrams, jax.random.key(0))
    loss = make_memnn_loss(
        loss=config.loss,
        negatives=config.negatives,
        margin=config.margin,
        short_chains=config.short_chains,
        same_text=config.same_text,
        unseen=config.unseen,
    )
    if isinstance(model, SentenceMemNN):
        loss = make_sentence_memnn_loss(loss)
    one_step = make_step(model, optimizer, loss)

    def step(states: TrainState, corpus: StoryBatch | NarrowStories, indices: Array) -> PyTree:
        return over_seeds(lambda both, corpus: one_step(both[0], corpus.take(both[1])))((states, indices), corpus)

    def init(seed: Array) -> TrainState:
        weights, run = jax.random.split(jax.random.key(seed))
        return create_state(_model(config, num_words, num_ngrams, weights), optimizer, run)

    def evaluate(params: PyTree, corpus: StoryBatch) -> dict[str, Array]:
        measure = accuracy if config.response == "word" else sentence_accuracy
        return measure(with_params(model, params), corpus)

    def tell(params: PyTree, memory: Memory, tokens: Array) -> Memory:
        return write(memory, with_params(model, params).embed(tokens), tokens, oldest_slot)

    def ask(params: PyTree, memory: Memory, question: Array, num_known: Array) -> Answer:
        trained = with_params(model, params)
        if config.unseen:  # what is known of a word changes with each statement, and so do the keys
            told = jnp.where(valid(memory)[:, None], memory.values, PAD)
            bags = context_bags(told, trained.num_features)
            trained = trained.with_unseen(jnp.arange(trained.num_features) >= num_known, bags)
        if config.unseen or config.variables:  # and a question may change what its story reads like
            memory = dataclasses.replace(memory, keys=jax.vmap(trained.embed)(memory.values))
        return trained(question, memory)

    return Program(
        model=model,
        learns_words=config.unseen > 0,
        init=jax.jit(jax.vmap(init)),
        epoch=jax.jit(over_seeds(make_epoch(one_step, config.batch_size)), donate_argnums=0),
        step=jax.jit(step, donate_argnums=0),
        evaluate=jax.jit(over_seeds(evaluate)),
        tell=jax.jit(tell, donate_argnums=1),
        ask=jax.jit(ask),
    )


def over_seeds(fn: Callable[[PyTree, Any], PyTree]) -> Callable[[PyTree, Any], PyTree]:
    """Lifts a function of one seed's state over a leading axis of seeds.

    An axis of one seed is taken off and put back: on a CPU, products with a batch axis of 1 cost half as much again.
    """

    def lifted(states: PyTree, corpus: Any) -> PyTree:
        if jax.tree.leaves(states)[0].shape[0] > 1:
            return jax.vmap(fn, in_axes=(0, None))(states, corpus)
        return jax.tree.map(lambda leaf: leaf[None], fn(jax.tree.map(lambda leaf: leaf[0], states), corpus))

    return lifted


def one_after_another(fn: Callable[[PyTree, Any], PyTree]) -> Callable[[PyTree, Any], PyTree]:
    """Lifts a function as `over_seeds` does, but one seed at a time, where the arrays of all would be too much."""

    def lifted(states: PyTree, corpus: Any) -> PyTree:
        if jax.tree.leaves(states)[0].shape[0] > 1:
            return jax.lax.map(lambda state: fn(state, corpus), states)
        return over_seeds(fn)(states, corpus)

    return lifted


def params_of_seed(params: PyTree, index: int) -> PyTree:
    """The parameters of one of the models that were trained together.

    Args:
        params: leaves lead with the models.
        index: which of them.

    Raises:
        ValueError: if there is no such model.
    """
    num_models = jax.tree.leaves(params)[0].shape[0]
    if not 0 <= index < num_models:
        raise ValueError(f"seed_index: expected 0 to {num_models - 1}, got {index}")
    return jax.tree.map(lambda leaf: leaf[index], params)


def _optimizer(config: AnsweringConfig, steps: int) -> optax.GradientTransformation:
    if config.optimizer == "sgd":
        return optax.sgd(config.learning_rate)
    schedule = optax.cosine_decay_schedule(config.learning_rate, steps)
    return optax.adamw(schedule, weight_decay=config.weight_decay)


def encode(
    examples: Sequence[data.Example],
    vocabulary: data.Vocabulary,
    least: Mapping[str, int] = types.MappingProxyType({"num_sentences": 512}),
) -> StoryBatch:
    """Puts examples on the device, in sizes rounded up so that like corpora share programs.

    Args:
        examples: questions over their stories.
        vocabulary: of the model.
        least: sizes, by their names in `memjax.data.encode`, that corpora should have in common.
    """
    if vocabulary.function_words is not None:
        examples = [data.bind(example, vocabulary.function_words, vocabulary) for example in examples]
    sizes = data.encode(examples, vocabulary)
    rounded: dict[str, Any] = {
        "num_slots": _quarters(sizes.slots.shape[1], 8),
        "num_words": _round_up(sizes.sentences.shape[1], 8),
        "num_sentences": _quarters(sizes.sentences.shape[0], 64),
        "num_supports": _power_of_two(sizes.supports.shape[1], 1),
        "num_answers": _power_of_two(sizes.answers.shape[1], 1),
    }
    rounded |= {name: max(size, rounded[name]) for name, size in least.items()}
    return StoryBatch.from_stories(data.encode(examples, vocabulary, **rounded))


def encode_taught(
    config: AnsweringConfig, examples: Sequence[data.Example], vocabulary: data.Vocabulary
) -> StoryBatch | SpokenStories:
    """Puts training examples on the device: as `encode`, with the sentences that answer, where R writes any."""
    stories = encode(examples, vocabulary)
    if config.response == "word":
        return stories
    return SpokenStories(stories, jnp.asarray(data.encode_replies(examples, vocabulary)))


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _power_of_two(size: int, least: int) -> int:
    return max(least, 1 << (size - 1).bit_length())


def _quarters(size: int, least: int) -> int:
    """A power of two, or one, two or three quarters of the way to the next: few sizes, and little padding."""
    return _round_up(size, max(least, _power_of_two(size, 8) // 8))
