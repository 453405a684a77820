# SPDX-License-Identifier: Apache-2.0
"""Several tasks for one model: each batch is of one task, and the tasks come in turn at random."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from memjax import data
from memjax.recipes.corpora import Tasks
from memjax.recipes.program import Program, encode
from memjax.training import NarrowStories, StoryBatch
from memjax.typing import NUM_SPECIAL, Array, PyTree

#: Sizes that tasks have in common where it costs little, so that they share compiled programs.
LEAST = {"num_sentences": 512, "num_words": 32, "num_supports": 4, "num_answers": 4}


class Stepping(Protocol):
    """What a program gives to be trained on several tasks. Seeds lie along a leading axis R."""

    @property
    def init(self) -> Callable[[Array], Any]:
        """`fn(seeds [R]) -> state`; a state has `step`, `key` and `params`."""
        ...

    @property
    def step(self) -> Callable[[Any, Any, Array], tuple[Any, dict[str, Array]]]:
        """`fn(state, corpus, indices [R, B]) -> (state, metrics [R])`; the state is donated."""
        ...


@dataclasses.dataclass(frozen=True)
class TaskBatches:
    """The training questions of several tasks, on the device.

    Attributes:
        tasks: each in a size of its own, filled up with questions that are never taken.
        sizes: the questions of each.
        batch_size: B; a task with fewer questions is one batch.
    """

    tasks: tuple[Any, ...]
    sizes: tuple[int, ...]
    batch_size: int

    def __len__(self) -> int:
        """The questions of an epoch's full batches, as if all batches had B."""
        return num_steps(self.sizes, self.batch_size) * self.batch_size


@dataclasses.dataclass(frozen=True)
class JointProgram:
    """A program whose epochs go over several tasks, to be given to `fit`.

    Each batch is of one task. In an epoch every task's questions come once, in an order of each seed's own; which task
    comes when is drawn from the number of the epoch, and is the same for all seeds.
    """

    program: Stepping

    def init(self, seeds: Array) -> Any:
        """`fn(seeds [R]) -> state`."""
        return self.program.init(seeds)

    def epoch(self, state: Any, corpus: TaskBatches) -> tuple[Any, dict[str, Array]]:
        """`fn(state, corpus) -> (state, metrics [R])`; the state is donated."""
        epoch = int(state.step[0]) // num_steps(corpus.sizes, corpus.batch_size)
        draws = np.asarray(_draws(state.key, epoch))  # [R]
        orders: list[np.ndarray] = []
        for task, num_questions in enumerate(corpus.sizes):
            size = min(corpus.batch_size, num_questions)
            each = [np.random.default_rng([draw, task]).permutation(num_questions) for draw in draws.tolist()]
            used = num_questions // size * size
            orders.append(np.stack(each)[:, :used].reshape(len(draws), -1, size).astype(np.int32))  # [R, steps, B]
        turns = np.repeat(np.arange(len(orders)), [order.shape[1] for order in orders])
        batches = [iter(order.swapaxes(0, 1)) for order in orders]
        seen = []
        for task in np.random.default_rng(epoch).permutation(turns):
            state, metrics = self.program.step(state, corpus.tasks[task], next(batches[task]))
            seen.append(metrics)
        return state, jax.tree.map(lambda *values: jnp.stack(values).mean(axis=0), *seen)


@jax.jit
def _draws(keys: Array, epoch: int) -> Array:
    """A number for each seed and epoch."""
    # From a key that no step uses: steps fold in their number, which never gets there.
    orders = jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, np.uint32(2**32 - 1)), epoch))(keys)
    return jax.vmap(jax.random.bits)(orders)


def num_steps(sizes: tuple[int, ...], batch_size: int) -> int:
    """The steps of an epoch."""
    return sum(size // min(size, batch_size) for size in sizes)


def join(
    program: Program, tasks: Tasks, vocabulary: data.Vocabulary, batch_size: int
) -> tuple[JointProgram, TaskBatches]:
    """What `fit` needs to train one model on several tasks.

    Args:
        program: that of the model, with the vocabulary of all tasks.
        tasks: their training questions.
        vocabulary: of all tasks.
        batch_size: B.
    """
    sizes = tuple(len(part) for part in tasks.parts.values())
    narrow = [_narrow(part, vocabulary) for part in tasks.parts.values()]
    widest = max(len(one) for one in narrow)
    rows = -(-max(sizes) // 128) * 128
    corpora: list[StoryBatch | NarrowStories] = []
    for part, own in zip(tasks.parts.values(), narrow, strict=True):
        stories = _encode(part, own)
        stories = stories.take(jnp.minimum(jnp.arange(rows), len(stories) - 1))
        if not vocabulary.ngrams:
            corpora.append(stories)
            continue
        features = np.zeros(-(-widest // 32) * 32, np.int32)
        features[: len(own) - NUM_SPECIAL] = np.asarray(vocabulary.encode(own.words + own.ngrams)) - NUM_SPECIAL
        corpora.append(NarrowStories.of(stories, jnp.asarray(features)))
    return JointProgram(program), TaskBatches(tuple(corpora), sizes, batch_size)


def _encode(examples: tuple[data.Example, ...], vocabulary: data.Vocabulary) -> StoryBatch:
    told, slots = max(len(example.statements) for example in examples), 16
    while slots < told:
        slots *= 4
    return encode(examples, vocabulary, {"num_slots": slots, **LEAST})


def _narrow(examples: tuple[data.Example, ...], vocabulary: data.Vocabulary) -> data.Vocabulary:
    """All words of the vocabulary, and those of its n-grams that the examples have."""
    if not vocabulary.ngrams:
        return vocabulary
    words = vocabulary.function_words
    read = examples if words is None else [data.bind(example, words) for example in examples]
    found = set(data.Vocabulary.build(data.token_lists(read), vocabulary.longest_ngram).ngrams)
    return dataclasses.replace(vocabulary, ngrams=tuple(ngram for ngram in vocabulary.ngrams if ngram in found))


def evaluate_tasks(
    program: Program, params: PyTree, tasks: Tasks, vocabulary: data.Vocabulary
) -> tuple[dict[str, Array], dict[str, Array]]:
    """How often one model is right about several tasks.

    Returns:
        The means over tasks (of supports, over those that have some), `[R]` by name of the metric; and the accuracy of
        each task, `[R]` by its name.
    """
    each: Mapping[str, dict[str, Array]] = {
        name: program.evaluate(params, _encode(part, vocabulary)) for name, part in tasks.parts.items()
    }
    means = jax.tree.map(lambda *values: jnp.nanmean(jnp.stack(values), axis=0), *each.values())
    return means, {name: metrics["accuracy"] for name, metrics in each.items()}
