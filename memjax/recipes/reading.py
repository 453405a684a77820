# SPDX-License-Identifier: Apache-2.0
"""How models that read sentences are trained: planned batches, validation after each epoch, the best one kept."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from memjax.data import Batch, Buckets, Sequences, Vocabulary, bucket_lengths, encode_sequences, plan_batches
from memjax.recipes.fit import ReportFn, fit
from memjax.recipes.runs import Run
from memjax.training import Plan, TrainState
from memjax.typing import Array, PyTree

#: Steps between two signs of life of the progress bar.
STEPS_OF_A_PLAN = 32

#: Texts that a model in use reads side by side.
LINES = 32
#: Words of a batch of them, padding as well; a text alone may have more.
CELLS = 8192


@struct.dataclass
class ReadingState:
    """What a run must keep to go on to the same bits. Seeds lie along a leading axis R.

    Attributes:
        train: parameters, optimizer, step.
        params: the parameters that did best on validation data so far.
        best: their loss there.
    """

    train: TrainState
    params: PyTree
    best: Array  # float32 [R]

    @property
    def step(self) -> Array:
        """Steps taken, `[R]`."""
        return self.train.step


#: `fn(rate [R], criterion [R] of this epoch, the best one before [R], epochs done) -> rate [R] of the next epoch`.
RateFn = Callable[[Array | np.ndarray, Array, Array, int], Array]


def fall(decay: float, significant: float = 0.0) -> RateFn:
    """A learning rate that falls after an epoch without significant improvement.

    Args:
        decay: the rate is multiplied by it.
        significant: the share by which the criterion must fall; where it is -log p, of that and not of perplexity.

    Example:
        >>> fall(0.5, 0.1)(jnp.ones(2), jnp.array([8.0, 9.5]), jnp.array([10.0, 10.0]), 3).tolist()
        [1.0, 0.5]

    Reference: Cheng et al. 2016, section 5.1.
    """

    def next_rate(rate: Array | np.ndarray, found: Array, best: Array, done: int) -> Array:
        return jnp.where(found < best * (1 - significant), rate, rate * decay)

    return next_rate


def cosine(start: float, epochs: int) -> RateFn:
    """A learning rate that falls from epoch to epoch along half a cosine, to zero after the last one.

    Args:
        start: the rate of the first epoch.
        epochs: of the run.

    Example:
        >>> cosine(1.0, 4)(jnp.ones(1), jnp.ones(1), jnp.ones(1), 2).round(3).tolist()
        [0.5]
    """

    def next_rate(rate: Array | np.ndarray, found: Array, best: Array, done: int) -> Array:
        return jnp.full_like(rate, start * (1 + np.cos(np.pi * done / epochs)) / 2)

    return next_rate


@dataclasses.dataclass(frozen=True)
class Course:
    """One epoch after the other, as `memjax.recipes.fit.fit` wants them.

    Attributes:
        start: `fn(seeds [R]) -> train state`.
        learn: `fn(carry, part) -> (carry, sums [R])`; a part of an epoch, jitted, the carry donated.
        measure: `fn(params) -> criterion [R]` on validation data; lower is better.
        parts: `fn(epoch) -> parts`, of equal shapes.
        steps: optimizer steps of an epoch.
        padding: the share of what is computed in an epoch that is padding.
        next_rate: the learning rate of the next epoch; see `fall` and `cosine`.
        summarize: from the sums of an epoch to its metrics, `loss` among them.
        enter: from the train state to what `learn` carries.
        leave: and back.
        tick: `fn(epochs done, metrics)`, called after each part.
    """

    start: Callable[[Array], TrainState]
    learn: Callable[[Any, Any], tuple[Any, dict[str, Array]]]
    measure: Callable[[PyTree], Array]
    parts: Callable[[int], Sequence[Any]]
    steps: int
    padding: float
    next_rate: RateFn
    summarize: Callable[[dict[str, Array]], dict[str, Array]]
    enter: Callable[[TrainState], Any] = lambda state: state
    leave: Callable[[Any], TrainState] = lambda carry: carry
    tick: Callable[[float, dict[str, Array]], None] = lambda done, metrics: None

    def init(self, seeds: Array) -> ReadingState:
        """The state before the first step."""
        return begin(self.start)(seeds)

    def epoch(self, state: ReadingState, corpus: Any) -> tuple[ReadingState, dict[str, Any]]:
        """One pass over the data, and one over the validation data; `seconds` are those of the first."""
        number = int(state.step[0]) // self.steps
        rate = np.asarray(optax.tree_utils.tree_get(state.train.opt_state, "learning_rate"))  # before it is donated
        parts, began = self.parts(number), time.monotonic()
        carry = self.enter(state.train)
        totals: dict[str, Array] = {}
        for done, part in enumerate(parts, start=1):
            carry, sums = self.learn(carry, part)
            totals = {name: totals.get(name, 0) + found for name, found in sums.items()}
            self.tick(number + done / (len(parts) + 1), self.summarize(sums))
        train = jax.block_until_ready(self.leave(carry))
        seconds = time.monotonic() - began
        valid = self.measure(train.params)
        metrics = {**self.summarize(totals), "valid": valid, "learning_rate": rate}
        metrics |= {"seconds": np.full(rate.shape, seconds), "padding": np.full(rate.shape, self.padding)}
        following = self.next_rate(rate, valid, state.best, number + 1)
        return _settle(dataclasses.replace(state, train=train), valid, following), metrics


def begin(start: Callable[[Array], TrainState]) -> Callable[[Array], ReadingState]:
    """From how training begins to how a run does."""

    def init(seeds: Array) -> ReadingState:
        state = start(seeds)
        return ReadingState(state, jax.tree.map(jnp.copy, state.params), jnp.full(seeds.shape, jnp.inf))

    return init


@jax.jit
def _settle(state: ReadingState, valid: Array, rate: Array) -> ReadingState:
    """Keeps the parameters if they are the best so far, and sets the learning rate."""
    better = valid < state.best  # [R]

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    opt_state = optax.tree_utils.tree_set(state.train.opt_state, learning_rate=rate)
    train = dataclasses.replace(state.train, opt_state=opt_state)
    params = jax.tree.map(keep, state.train.params, state.params)
    return ReadingState(train, params, jnp.where(better, valid, state.best))


def fit_course(
    course: Course, config: Any, seeds: tuple[int, ...], run: Run | None, tensorboard: bool, report: ReportFn
) -> PyTree:
    """Trains to the last epoch, with signs of life within each; see `memjax.recipes.fit.fit`."""
    course = dataclasses.replace(course, tick=lambda done, metrics: report(done, config.epochs, metrics))
    return fit(course, config, seeds, None, run, tensorboard, report, steps=course.steps)


def make_optimizer(
    name: str, learning_rate: float, clip_norm: float, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Makes an optimizer whose learning rate is part of its state."""
    clip = optax.clip_by_global_norm(clip_norm)
    if name == "sgd":
        return optax.chain(clip, optax.inject_hyperparams(optax.sgd)(learning_rate=learning_rate))
    adam = optax.inject_hyperparams(optax.adamw, static_args=("weight_decay",))
    return optax.chain(clip, adam(learning_rate=learning_rate, weight_decay=weight_decay))


def make_plans(batches: Sequence[Batch], shapes: Sequence[int], steps: int = STEPS_OF_A_PLAN) -> list[Plan]:
    """Cuts the batches of an epoch into plans of equal size; the last is filled up with steps that do nothing.

    Args:
        batches: as `memjax.data.plan_batches` gives them.
        shapes: lengths that batches are padded to, rising.
        steps: P.

    Example:
        >>> from memjax.data import bucket_lengths, plan_batches
        >>> buckets = bucket_lengths([1, 9, 2, 2, 8], 2)
        >>> [plan.kinds.tolist() for plan in make_plans(plan_batches(buckets, 2), buckets.boundaries, steps=2)]
        [[0, 1], [1, 2]]
    """
    kinds = np.searchsorted(np.asarray(shapes), [batch.num_steps for batch in batches]).astype(np.int32)
    rows = np.stack([batch.rows for batch in batches]).astype(np.int32)
    rest = -len(batches) % steps
    kinds = np.pad(kinds, (0, rest), constant_values=len(shapes))
    rows = np.pad(rows, ((0, rest), (0, 0)), constant_values=-1)
    return [
        Plan(jnp.asarray(kinds[i : i + steps]), jnp.asarray(rows[i : i + steps])) for i in range(0, len(kinds), steps)
    ]


def like_lengths(lengths: np.ndarray) -> list[Batch]:
    """Batches of texts of like length, for a model in use: few shapes, the same ones whatever the texts.

    Args:
        lengths: int `[Q]`, words of each text.

    Returns:
        Batches padded to a power of two: of `LINES` texts, of fewer where they are long, so that a batch has
        `CELLS` words at most; of one where there is one text only.

    Example:
        >>> [batch.num_steps for batch in like_lengths(np.array([3, 9, 4]))]
        [16]
        >>> [(batch.num_steps, len(batch.rows)) for batch in like_lengths(np.array([3, 3000]))]
        [(8, 32), (4096, 2)]
    """
    powers = [8]
    while powers[-1] < lengths.max():
        powers.append(2 * powers[-1])
    buckets = bucket_lengths(lengths, powers)
    most = LINES if len(lengths) > 1 else 1
    sizes = np.clip(CELLS // np.asarray(powers), 1, most)[buckets.of]  # of the batch that each text goes into
    batches = []
    for size in sorted(set(sizes.tolist()), reverse=True):
        rows = np.append(np.flatnonzero(sizes == size), -1).astype(np.int32)  # -1 stays -1
        planned = plan_batches(Buckets(buckets.boundaries, buckets.of[rows[:-1]]), size)
        batches += [Batch(rows[batch.rows], batch.num_steps) for batch in planned]
    return batches


def take_words(texts: Sequence[Sequence[str]], batch: Batch, vocabulary: Vocabulary) -> Sequences:
    """The texts of a batch, encoded: no array is made of all texts, of which one may be far longer than the others.

    Args:
        texts: words of all texts.
        batch: which of them; each has its `num_steps` words at most.
        vocabulary: see `encode_sequences`.
    """
    chosen = [texts[row] for row in batch.rows if row >= 0]
    fill = [-1] * (len(batch.rows) - len(chosen))
    return encode_sequences(chosen, vocabulary).take([*range(len(chosen)), *fill], batch.num_steps)


def total(sums: Iterable[dict[str, Array]]) -> dict[str, np.ndarray]:
    """Adds up what plans give."""
    totals: dict[str, np.ndarray] = {}
    for found in sums:
        for name, value in found.items():
            totals[name] = totals.get(name, np.zeros(())) + np.asarray(value, np.float64)
    return totals
