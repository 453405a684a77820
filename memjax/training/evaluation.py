# SPDX-License-Identifier: Apache-2.0
"""How often a Memory Network is right."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from memjax.memory import Memory
from memjax.models import MemNN, SentenceMemNN
from memjax.training.batches import StoryBatch
from memjax.training.ranking import gold_chain
from memjax.typing import PAD, Array


@struct.dataclass
class Predictions:
    """Answers to Q questions.

    Attributes:
        answers: token ids.
        slots: the memories found.
        right: whether the whole answer is right.
        supported: whether the memories found are the supporting ones, in their order; True where these are
            unknown.
    """

    answers: Array  # int32 [Q, A]
    slots: Array  # int32 [Q, P]
    right: Array  # bool [Q]
    supported: Array  # bool [Q]


def predict(model: MemNN | SentenceMemNN, corpus: StoryBatch, batch_size: int = 256) -> Predictions:
    """Answers every question of a corpus, each over its own story.

    Each different sentence is embedded once, whatever the number of stories that tell it.

    Args:
        model: a Memory Network.
        corpus: Q questions.
        batch_size: questions answered side by side; bounds the temporary memory.

    Returns:
        Answers, and what is right about them. An answer is right when all its words are, in their order, and no more.
        Where a question has fewer supports than the model has hops, only the first ones must agree.

    Example:
        >>> from flax import nnx
        >>> corpus = StoryBatch(
        ...     sentences=jnp.array([[0, 0], [2, 3], [4, 5]]), slots=jnp.array([[1, 2, -1]]),
        ...     questions=jnp.array([[2, 0]]), supports=jnp.array([[0]]), answers=jnp.array([[3]]))
        >>> predict(MemNN(4, 8, rngs=nnx.Rngs(0)), corpus).right.shape
        (1,)
    """
    keys = jax.vmap(model.embed)(corpus.sentences)

    def one(question: tuple[StoryBatch, Memory]) -> Predictions:
        example, memory = question
        memory = dataclasses.replace(
            memory,
            keys=jax.tree.map(lambda leaf: leaf[memory.keys], keys),
            values=corpus.sentences[memory.values],
        )
        answer = model(example.questions, memory)
        width = max(answer.words.shape[0], example.answers.shape[0])
        words = jnp.pad(answer.words, (0, width - answer.words.shape[0]), constant_values=PAD)
        gold_words = jnp.pad(example.answers, (0, width - example.answers.shape[0]), constant_values=PAD)
        gold, _ = gold_chain(example.supports, model.output.hops, model.output.adaptive, "no_loss")
        agree = (gold == answer.hops.slots) | ((gold < 0) & (not model.output.adaptive))
        agree |= ~jnp.any(example.supports >= 0)
        return Predictions(
            answers=words, slots=answer.hops.slots, right=jnp.all(words == gold_words), supported=jnp.all(agree)
        )

    examples = dataclasses.replace(corpus, sentences=jnp.zeros((len(corpus), 0), jnp.int32))
    return jax.lax.map(one, (examples, corpus.memory()), batch_size=min(batch_size, len(corpus)))


def accuracy(model: MemNN, corpus: StoryBatch, batch_size: int = 256) -> dict[str, Array]:
    """The share of questions answered right, and of chains found right.

    Args:
        model: a Memory Network.
        corpus: Q questions.
        batch_size: see `predict`.

    Returns:
        `{"accuracy": scalar, "supports": scalar}`, in [0, 1]; for supports see `share_supported`.
    """
    predictions = predict(model, corpus, batch_size)
    return {"accuracy": predictions.right.mean(), "supports": share_supported(predictions, corpus)}


def share_supported(predictions: Predictions, corpus: StoryBatch) -> Array:
    """The share of chains found right among the questions whose supports are known.

    Args:
        predictions: of `predict`.
        corpus: the Q questions.

    Returns:
        Scalar, in [0, 1]; NaN where no supports are known.
    """
    return predictions.supported.mean(where=jnp.any(corpus.supports >= 0, axis=1))
