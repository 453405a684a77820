# SPDX-License-Identifier: Apache-2.0
"""Scenes with their questions: batches, the loss, and how many answers are right."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from memjax import _checks
from memjax.models import SceneAnswer
from memjax.training.state import ModelLossFn
from memjax.typing import Array


@struct.dataclass
class SceneBatch:
    """B scenes, each held once, with Q questions each. Questions come again and again, and are held once too.

    Attributes:
        scenes: images, uint8, or the objects' features.
        questions: rows of `texts`.
        answers: classes.
        supports: slots that the first hops should read; -1 = none that is known.
        texts: token ids of each different question; 0 = padding.
        relational: whether each of them is about how an object stands to others.
    """

    scenes: Array  # uint8 [B, H, W, 3] or float32 [B, N, F]
    questions: Array  # int32 [B, Q]
    answers: Array  # int32 [B, Q]
    supports: Array  # int32 [B, Q, P]
    texts: Array  # int32 [M, S]
    relational: Array  # bool [M]

    def __len__(self) -> int:
        """The number of scenes, B."""
        return self.scenes.shape[0]

    def take(self, indices: Array) -> "SceneBatch":
        """The scenes at `indices`, int `[B]`, with all their questions."""
        return dataclasses.replace(
            self,
            scenes=self.scenes[indices],
            questions=self.questions[indices],
            answers=self.answers[indices],
            supports=self.supports[indices],
        )


def answer_scenes(model: Any, batch: SceneBatch) -> SceneAnswer:
    """Answers all questions about all scenes; each scene and each different question is encoded once.

    Args:
        model: `memjax.models.SceneMemNN` or `SceneMLP`.
        batch: scenes and questions.

    Returns:
        Leaves lead with `[B, Q]`.
    """
    queries = jax.vmap(model.embed)(batch.texts)  # [M, D]

    def of_scene(scene: Array, questions: Array) -> SceneAnswer:
        return jax.vmap(model.read, in_axes=(0, None))(queries[questions], model.see(scene))

    return jax.vmap(of_scene)(batch.scenes, batch.questions)


def make_scene_loss(supports: float = 0.0) -> ModelLossFn:
    """Makes the loss: the mean over questions of -log p(answer), and of -log of the weights of their known supports.

    Args:
        supports: how much the supports count: 1 for strong supervision, 0 for answers alone. The first hops read the
            supports, one each; those of a model without hops do not count. A weight counts as 1e-6 more than it is.

    Returns:
        `fn(model, batch, key) -> (loss, metrics)` over a `SceneBatch`; the metrics are the shares of right answers,
        `relational` and `single`, 0 where there are no questions of that sort.

    Raises:
        ValueError: if `supports` is negative; or, from the loss, if a question has more supports than there are hops.

    Reference: Weston et al. 2015, section 3.1, where supports are given in training.
    Departs from the paper: the weights of soft hops, in place of a margin between scores.
    """
    _checks.at_least_zero("supports", supports)

    def loss_fn(model: Any, batch: SceneBatch, key: Array) -> tuple[Array, dict[str, Array]]:
        answered = answer_scenes(model, batch)
        scores = answered.scores.astype(jnp.promote_types(jnp.float32, answered.scores.dtype))
        loss = optax.softmax_cross_entropy_with_integer_labels(scores, batch.answers).mean()
        hops, asked = answered.weights.shape[2], batch.supports.shape[2]
        if supports and hops:
            if hops < asked:
                raise ValueError(f"supports: expected at most {hops}, one for each hop, got {asked}; add hops")
            weights = answered.weights[:, :, : batch.supports.shape[2]]  # [B, Q, P, N]
            right = jnp.take_along_axis(weights, jnp.maximum(batch.supports, 0)[..., None], axis=3)[..., 0]
            known = batch.supports >= 0
            nats = -jnp.log(jnp.where(known, right, 1) + 1e-6)
            loss += supports * nats.sum() / batch.answers.size
        sums = _sums(answered, batch)
        return loss, {name: sums[name] / jnp.maximum(sums[f"{name}_asked"], 1) for name in ("relational", "single")}

    return loss_fn


def measure_scenes(model: Any, batch: SceneBatch) -> dict[str, Array]:
    """How many questions are answered right.

    Args:
        model: `memjax.models.SceneMemNN` or `SceneMLP`.
        batch: scenes and questions.

    Returns:
        `{"relational", "single"}`, right answers, and `{"relational_asked", "single_asked"}`, questions of each sort.
    """
    return _sums(answer_scenes(model, batch), batch)


def _sums(answered: SceneAnswer, batch: SceneBatch) -> dict[str, Array]:
    right = answered.scores.argmax(axis=2) == batch.answers
    relational = batch.relational[batch.questions]
    counts = {
        "relational": right & relational,
        "relational_asked": relational,
        "single": right & ~relational,
        "single_asked": ~relational,
    }
    return {name: which.sum().astype(jnp.float32) for name, which in counts.items()}
