# SPDX-License-Identifier: Apache-2.0
"""The loss of an end-to-end Memory Network: of the answer alone, whatever was read for it."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from flax import struct

from memjax import _checks
from memjax.memory import Memory
from memjax.models import MemN2N, SoftAnswer
from memjax.training.batches import StoryBatch
from memjax.training.state import ModelLossFn
from memjax.typing import NUM_SPECIAL, Array


@struct.dataclass
class CountedStories:
    """Questions about stories, with the words of each sentence counted as the model wants them.

    Attributes:
        stories: the questions; an answer is its first word.
        bags: of `MemN2N.bags`, one for each sentence.
    """

    stories: StoryBatch
    bags: Array  # [M, 2, W]

    @classmethod
    def of(cls, model: MemN2N, stories: StoryBatch) -> "CountedStories":
        """Counts the words of the sentences."""
        return cls(stories, jax.jit(jax.vmap(model.bags))(stories.sentences))

    def __len__(self) -> int:
        """Q, the number of questions."""
        return len(self.stories)

    def take(self, indices: Array) -> "CountedStories":
        """The questions at `indices`, int `[B]`, over the same sentences."""
        return dataclasses.replace(self, stories=self.stories.take(indices))


def insert_blanks(key: Array, told: Array, ages: Array, share: float) -> Array:
    """Makes statements older by empty memories between them: random noise, against learning exact ages by heart.

    Args:
        key: a random key.
        told: int scalar, n statements.
        ages: int `[N]`, how many statements are younger.
        share: of n, rounded up: the empty memories that are inserted at most.

    Returns:
        int `[N]`, ages with those empty memories counted that are younger.

    Example:
        >>> insert_blanks(jax.random.key(0), jnp.int32(4), jnp.array([3, 2, 1, 0]), share=0.0)
        Array([3, 2, 1, 0], dtype=int32)

    Reference: Sukhbaatar et al. 2015, section 4.1, learning time invariance by injecting random noise.
    Departs from the paper: nothing; each empty memory is put before a statement that is drawn anew. As in the authors'
    code, ages beyond those that a model has features for share its oldest ones, so in a full memory some coincide.
    """
    most = int(-(-share * ages.shape[0] // 1))
    if not most:
        return ages
    number_key, place_key = jax.random.split(key)
    # A product of float32 may lie just above a whole number that it should be.
    limit = jnp.ceil(share * told - 1e-4).astype(jnp.int32)
    blanks = jax.random.randint(number_key, (), 0, limit + 1)
    before = jax.random.randint(place_key, (most,), 0, told + 1)  # how many statements are younger than the blank
    younger = (before[None] <= ages[:, None]) & (jnp.arange(most) < blanks)[None]  # [N, blanks]
    return ages + younger.sum(axis=1, dtype=ages.dtype)


def answer_stories(
    model: MemN2N, corpus: CountedStories, linear: Array | bool = False, key: Array | None = None, noise: float = 0.0
) -> SoftAnswer:
    """Answers questions, each about its own story.

    Args:
        model: an end-to-end Memory Network.
        corpus: B questions.
        linear: whether hops go without their softmax.
        key: a random key, for noise.
        noise: see `insert_blanks`.

    Returns:
        A batched `SoftAnswer`, `[B, ...]`.
    """
    sentences = model.embed_bags(corpus.bags)  # [M, L, d]
    memory = corpus.stories.memory()
    ages = jnp.where(memory.times >= 0, memory.count[:, None] - 1 - memory.times, 0)  # [B, N]
    if key is not None:
        keys = jax.random.split(key, len(corpus))
        ages = jax.vmap(lambda key, told, ages: insert_blanks(key, told, ages, noise))(keys, memory.count, ages)
    slots = {"row": memory.keys, "age": ages}
    memory = dataclasses.replace(memory, keys=slots, values=slots)

    def one(question: Array, memory: Memory) -> SoftAnswer:
        return model.read(model.bags(question), memory, sentences, linear)

    return jax.vmap(one)(corpus.stories.questions, memory)


def make_end_to_end_loss(*, linear: Array | bool = False, noise: float = 0.0) -> ModelLossFn:
    """Makes the loss of an end-to-end Memory Network: the cross-entropy of the answer.

    Args:
        linear: whether hops go without their softmax; an array where that changes in training.
        noise: random noise, see `insert_blanks`.

    Returns:
        `fn(model, batch, key) -> (loss, metrics)`, for `CountedStories`: the sum over the batch, as the paper has it,
        and `{"wrong": share of the answers, "nats": mean cross-entropy}`.

    Example:
        >>> from flax import nnx
        >>> batch = StoryBatch(
        ...     sentences=jnp.array([[0, 0], [2, 3], [4, 5]]), slots=jnp.array([[1, 2, -1]]),
        ...     questions=jnp.array([[2, 0]]), supports=jnp.array([[-1]]), answers=jnp.array([[3]]))
        >>> model = MemN2N(4, 8, rngs=nnx.Rngs(0))
        >>> loss_fn = make_end_to_end_loss(noise=0.1)
        >>> value, metrics = jax.jit(loss_fn)(model, CountedStories.of(model, batch), jax.random.key(0))
        >>> sorted(metrics)
        ['nats', 'wrong']

    Reference: Sukhbaatar et al. 2015, sections 2 and 4.2.
    Departs from the paper: nothing.
    """
    _checks.at_least_zero("noise", noise)

    def loss_fn(model: MemN2N, batch: CountedStories, key: Array) -> tuple[Array, dict[str, Array]]:
        scores = answer_stories(model, batch, linear, key, noise).scores  # [B, W]
        right = batch.stories.answers[:, 0] - NUM_SPECIAL
        # An answer that training never met has no word: it is wrong, and teaches nothing.
        known = right >= 0
        nats = optax.softmax_cross_entropy_with_integer_labels(scores, jnp.maximum(right, 0))
        total = jnp.where(known, nats, 0).sum()
        return total, {"wrong": (scores.argmax(axis=1) != right).mean(), "nats": total / len(batch)}

    return loss_fn


def measure_end_to_end(
    model: MemN2N, corpus: CountedStories, linear: Array | bool = False, batch_size: int = 256
) -> dict[str, Array]:
    """How often an end-to-end Memory Network is right, and its cross-entropy.

    Args:
        model: an end-to-end Memory Network.
        corpus: Q questions.
        linear: whether hops go without their softmax.
        batch_size: questions answered side by side; bounds the temporary memory.

    Returns:
        `{"wrong": share of the answers, "nats": mean cross-entropy}`; an answer without a word of its own counts for
        nothing in the latter.
    """
    loss_fn = make_end_to_end_loss(linear=linear)

    def one(index: Array) -> dict[str, Array]:
        return loss_fn(model, corpus.take(index[None]), jax.random.key(0))[1]

    each = jax.lax.map(one, jnp.arange(len(corpus)), batch_size=min(batch_size, len(corpus)))
    return jax.tree.map(jnp.mean, each)
