# SPDX-License-Identifier: Apache-2.0
"""Answers as sentences: batches, the log-likelihood that a responder is trained with, and when a sentence is right."""

import jax
import jax.numpy as jnp
from flax import struct

from memjax.models import SentenceMemNN, SentenceResponder
from memjax.training.batches import StoryBatch
from memjax.training.evaluation import predict, share_supported
from memjax.training.state import ModelLossFn
from memjax.typing import NUM_SPECIAL, PAD, Array


@struct.dataclass
class ReplyBatch:
    """Q prompts, each with the sentence that follows it and the words that this sentence must hold.

    Attributes:
        prompts: token ids, of `memjax.models.join_sentences`.
        replies: token ids; 0 = padding.
        answers: token ids of the answer's words; 0 = padding.
    """

    prompts: Array  # int32 [Q, J]
    replies: Array  # int32 [Q, S]
    answers: Array  # int32 [Q, A]

    def __len__(self) -> int:
        """Q, the number of prompts."""
        return self.prompts.shape[0]

    def take(self, indices: Array) -> "ReplyBatch":
        """The prompts at `indices`, int `[B]`."""
        return jax.tree.map(lambda leaf: leaf[indices], self)


@struct.dataclass
class SpokenStories:
    """Q questions about stories, each with the sentence that answers it.

    Attributes:
        stories: questions, stories, supports and the words of the answers.
        replies: token ids; 0 = padding.
    """

    stories: StoryBatch
    replies: Array  # int32 [Q, S]

    def __len__(self) -> int:
        """Q, the number of questions."""
        return len(self.stories)

    def take(self, indices: Array) -> "SpokenStories":
        """The questions at `indices`, int `[B]`."""
        return SpokenStories(self.stories.take(indices), self.replies[indices])


def reply_loss(model: SentenceResponder, prompts: Array, replies: Array) -> Array:
    """The log-likelihood of replies, with its sign turned: the mean over prompts of the sum over words and end.

    Only words of the replies count, none of the prompts.

    Args:
        model: a language model.
        prompts: int `[B, J]`.
        replies: int `[B, S]`, token ids.

    Returns:
        Scalar.

    Reference: Weston et al. 2015, section 3.1 (the log-likelihood in place of equation 8) and section 5.2.
    Departs from the paper: the sum over questions is a mean.
    """
    return -model.scores(prompts, replies).sum(axis=1).mean()


def make_reply_loss() -> ModelLossFn:
    """Makes the loss of a language model that answers: `reply_loss` over a `ReplyBatch`.

    Returns:
        `fn(model, batch, key) -> (loss, {})`.
    """
    return lambda model, batch, key: (reply_loss(model, batch.prompts, batch.replies), {})


def make_sentence_memnn_loss(network_loss: ModelLossFn) -> ModelLossFn:
    """Makes the loss of a `SentenceMemNN`: that of its network, and `reply_loss` given the right memories.

    Args:
        network_loss: of `make_memnn_loss`.

    Returns:
        `fn(model, batch, key) -> (loss, metrics)` over `SpokenStories`; the metrics of the network's loss, and
        `{"sentence": ..}`.

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: equation 8 stays for the words beside the sentence; no parameter has both losses.
    """

    def loss_fn(model: SentenceMemNN, batch: SpokenStories, key: Array) -> tuple[Array, dict[str, Array]]:
        stories = batch.stories
        network, metrics = network_loss(model.network, stories, key)
        rows = jnp.take_along_axis(stories.slots, jnp.maximum(stories.supports, 0), axis=1)  # [B, P]
        supports = stories.sentences[jnp.where(stories.supports >= 0, rows, 0)]  # [B, P, S]; row 0 is empty
        prompts = jax.vmap(model.prompt)(stories.questions, supports)
        sentence = reply_loss(model.writer, prompts, batch.replies)
        return network + sentence, {**metrics, "sentence": sentence}

    return loss_fn


def is_right(words: Array, answers: Array, rivals: Array) -> Array:
    """Whether a sentence gives the answer: it holds all words of the answer, and no word of another one.

    Args:
        words: int `[S]`, token ids of the sentence.
        answers: int `[A]`, token ids of the answer; 0 = padding.
        rivals: bool `[V]`, the words that are an answer to some question.

    Returns:
        bool scalar. An answer without words is never right.

    Example:
        >>> rivals = jnp.array([False, False, True, True, False])
        >>> is_right(jnp.array([4, 2, 0]), jnp.array([2]), rivals), is_right(jnp.array([3, 2]), jnp.array([2]), rivals)
        (Array(True, dtype=bool), Array(False, dtype=bool))

    Reference: Weston et al. 2015, Table 6: a sentence is right if it contains the correct location.
    Departs from the paper: a sentence that names a second location is wrong, of which the paper says nothing.
    """
    same = (words[:, None] == answers[None]) & (answers != PAD)[None]  # [S, A]
    all_said = jnp.all(same.any(axis=0) | (answers == PAD)) & jnp.any(answers != PAD)
    another = rivals.at[words].get(mode="fill", fill_value=False) & ~same.any(axis=1)
    return all_said & ~another.any()


def rival_words(answers: Array, num_words: int) -> Array:
    """The words that are an answer to some question, for `is_right`.

    Args:
        answers: int, token ids of any shape.
        num_words: W.

    Returns:
        bool `[W + 2]`.
    """
    return jnp.zeros(num_words + NUM_SPECIAL, bool).at[answers].set(True).at[PAD].set(False)


def reply_accuracy(model: SentenceResponder, corpus: ReplyBatch, width: int = 1, batch_size: int = 256) -> Array:
    """The share of prompts whose answer is right, in [0, 1].

    Args:
        model: a language model.
        corpus: Q prompts.
        width: of the beam.
        batch_size: prompts answered side by side; bounds the temporary memory.
    """
    rivals = rival_words(corpus.answers, model.num_words)

    def one(example: ReplyBatch) -> Array:
        return is_right(model.write(example.prompts[None], width).words[0], example.answers, rivals)

    return jax.lax.map(one, corpus, batch_size=min(batch_size, len(corpus))).mean()


def sentence_accuracy(model: SentenceMemNN, corpus: StoryBatch, batch_size: int = 256) -> dict[str, Array]:
    """The share of questions whose sentence is right, and of chains found right.

    Args:
        model: answers in sentences.
        corpus: Q questions.
        batch_size: see `predict`.

    Returns:
        `{"accuracy": scalar, "supports": scalar}`, in [0, 1]; for supports see `share_supported`.
    """
    predictions = predict(model, corpus, batch_size)
    right = jax.vmap(is_right, in_axes=(0, 0, None))
    rivals = rival_words(corpus.answers, model.num_words)
    return {
        "accuracy": right(predictions.answers, corpus.answers, rivals).mean(),
        "supports": share_supported(predictions, corpus),
    }
