# SPDX-License-Identifier: Apache-2.0
"""Questions over keys and values as device arrays, and the loss of the answer alone."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct

from memjax import _checks
from memjax.addressing import SoftHops
from memjax.memory import Memory, gather
from memjax.models import KeyValueMemNN
from memjax.training.state import ModelLossFn
from memjax.typing import Array

#: What is learned of a question with several answers: one of them, drawn anew each time, or any.
Targets = Literal["drawn", "any"]


@struct.dataclass
class KeyValueBatch:
    """Q questions, each with the slots of one memory that a hash found for it.

    Attributes:
        memory: N slots; keys are token ids, values rows of `candidates`.
        candidates: token ids of each possible answer.
        questions: token ids; 0 = padding.
        slots: what the hash found; -1 = none.
        answers: rows of `candidates`; -1 = none.
    """

    memory: Memory  # keys int32 [N, S], values int32 [N]
    candidates: Array  # int32 [C, S']
    questions: Array  # int32 [Q, S]
    slots: Array  # int32 [Q, K]
    answers: Array  # int32 [Q, M]

    def __len__(self) -> int:
        """Q, the number of questions."""
        return self.questions.shape[0]

    def take(self, indices: Array) -> "KeyValueBatch":
        """The questions at `indices`, int `[B]`, over the same memory."""
        return dataclasses.replace(
            self, questions=self.questions[indices], slots=self.slots[indices], answers=self.answers[indices]
        )


@struct.dataclass
class KeyValueAnswers:
    """What was answered to Q questions.

    Attributes:
        best: the candidate with the highest score of all; -1 where the hash found no slot.
        best_read: of those that are values of the question's slots, likewise.
        weights: of the slots at each hop.
    """

    best: Array  # int32 [Q]
    best_read: Array  # int32 [Q]
    weights: Array  # [Q, P, K]


def read_questions(model: KeyValueMemNN, batch: KeyValueBatch) -> tuple[SoftHops, Array]:
    """The hops of B questions, each over its own slots, and the candidates that these hold, int `[B, K]`, -1 = none."""

    def one(question: Array, slots: Array) -> tuple[SoftHops, Array]:
        found = gather(batch.memory, slots)
        tokens = dataclasses.replace(found, values=batch.candidates[found.values])
        return model.read(question, tokens), jnp.where(found.times >= 0, found.values, -1)

    return jax.vmap(one)(batch.questions, batch.slots)


def make_key_value_loss(*, targets: Targets = "drawn", negatives: int = 1000) -> ModelLossFn:
    """Makes the loss of a key-value Memory Network: the cross-entropy of the answer.

    Beside the right answer stand the values of the question's own slots, and candidates that are drawn once for the
    whole batch. Other right answers are no wrong ones. A question whose slots do not hold its answer is wrong, and
    teaches nothing.

    Args:
        targets: of several answers among the values, one drawn anew each time is right, or any is.
        negatives: candidates that are drawn; 0: all candidates count.

    Returns:
        `fn(model, batch, key) -> (loss, metrics)`: the mean over the batch, and `{"wrong": share of the answers}`,
        among those that the loss looks at.

    Raises:
        ValueError: if a switch has no such value.

    Example:
        >>> from flax import nnx
        >>> from memjax.memory import empty, write_many
        >>> keys, values = jnp.array([[2, 3], [4, 3]]), jnp.array([0, 1])
        >>> batch = KeyValueBatch(
        ...     memory=write_many(empty(2, keys[0], values[0]), keys, values), candidates=jnp.array([[5], [6]]),
        ...     questions=jnp.array([[2, 0]]), slots=jnp.array([[0, -1]]), answers=jnp.array([[0]]))
        >>> loss_fn = make_key_value_loss(negatives=3)
        >>> value, metrics = jax.jit(loss_fn)(KeyValueMemNN(5, rngs=nnx.Rngs(0)), batch, jax.random.key(0))
        >>> sorted(metrics)
        ['wrong']

    Reference: Miller et al. 2016, section 3.1; the released code draws 1,000 negatives.
    Departs from the paper: the values of a question's own slots are among the wrong choices in any case.
    """
    _checks.one_of("targets", targets, ("drawn", "any"))
    _checks.at_least_zero("negatives", negatives)

    def loss_fn(model: KeyValueMemNN, batch: KeyValueBatch, key: Array) -> tuple[Array, dict[str, Array]]:
        pool_key, target_key = jax.random.split(key)
        hops, values = read_questions(model, batch)  # values [B, K]
        query, num_candidates = hops.query, len(batch.candidates)
        is_right, is_read = _mark(batch.answers, num_candidates), _mark(values, num_candidates)  # bool [B, C]
        if negatives:
            pool = jax.random.randint(pool_key, (negatives,), 0, num_candidates)
            earlier = jnp.tril(values[:, :, None] == values[:, None], -1).any(axis=2)  # the same value, counted once
            rows = jnp.where(earlier, -1, values)
            mine = jnp.einsum("bd,bkd->bk", query, model.embed("B", batch.candidates[rows]))
            drawn = jnp.broadcast_to(pool, (len(batch), negatives))
            rows = jnp.concatenate([rows, jnp.where(is_read[:, pool], -1, drawn)], axis=1)  # [B, K + P]
            scores = jnp.concatenate([mine, query @ model.embed("B", batch.candidates[pool]).T], axis=1)
        else:
            rows = jnp.broadcast_to(jnp.arange(num_candidates), (len(batch), num_candidates))
            scores = query @ model.embed("B", batch.candidates).T
        right, read = _look(is_right, rows), _look(is_read, rows)
        held = jnp.any(right & read, axis=1)  # [B]
        if targets == "drawn":
            chance = jnp.where(right & read, jax.random.uniform(target_key, right.shape), -1.0)
            target = right & (jnp.arange(right.shape[1])[None] == chance.argmax(axis=1)[:, None])
        else:
            target = right
        wrong = (rows >= 0) & ~right
        nats = _log_sum(scores, target | wrong) - _log_sum(scores, target)
        best = jnp.where(rows >= 0, scores, -jnp.inf).argmax(axis=1)
        hit = held & jnp.take_along_axis(right, best[:, None], axis=1)[:, 0]
        return jnp.mean(jnp.where(held, nats, 0)), {"wrong": 1 - jnp.mean(hit)}

    return loss_fn


def answer_key_values(model: KeyValueMemNN, batch: KeyValueBatch, batch_size: int = 128) -> KeyValueAnswers:
    """Answers questions, scoring all candidates.

    Args:
        model: a key-value Memory Network.
        batch: Q questions; their answers are not looked at.
        batch_size: questions answered side by side; bounds the temporary memory.
    """
    answers = model.embed("B", batch.candidates)  # [C, d]

    def one(index: Array) -> KeyValueAnswers:
        hops, values = read_questions(model, batch.take(index[None]))
        scores, read = answers @ hops.query[0], values[0]
        mine = jnp.where(read >= 0, scores[read], -jnp.inf)
        some = jnp.any(read >= 0)
        best = jnp.where(some, scores.argmax(), -1).astype(jnp.int32)
        best_read = jnp.where(some, read[mine.argmax()], -1).astype(jnp.int32)
        return KeyValueAnswers(best=best, best_read=best_read, weights=hops.weights[0])

    return jax.lax.map(one, jnp.arange(len(batch)), batch_size=min(batch_size, len(batch)))


def _mark(rows: Array, size: int) -> Array:
    """Which candidates are in `rows` `[B, M]`: bool `[B, C]`; -1 is none."""
    none = jnp.zeros(size, bool)
    return jax.vmap(lambda row: none.at[jnp.where(row < 0, size, row)].set(True, mode="drop"))(rows)


def _look(marks: Array, rows: Array) -> Array:
    """The marks `[B, C]` at `rows` `[B, K]`; -1 has none."""
    return jnp.take_along_axis(marks, jnp.maximum(rows, 0), axis=1) & (rows >= 0)


def _log_sum(scores: Array, where: Array) -> Array:
    """log sum exp over the last axis; 0, with zero gradients, where nothing counts."""
    some = jnp.any(where, axis=1)
    return jnp.where(some, jax.nn.logsumexp(scores, axis=1, where=where | ~some[:, None]), 0)
