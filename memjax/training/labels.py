# SPDX-License-Identifier: Apache-2.0
"""Texts with labels, of one sentence or of two: batches, their loss, and how many labels are right."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct

from memjax import _checks
from memjax.training.state import ModelLossFn
from memjax.typing import Array, PyTree


@struct.dataclass
class LabelledBatch:
    """Sentences and their labels.

    Attributes:
        tokens: token ids; 0 = padding.
        lengths: words that count in each row.
        labels: classes; -1 = none, a row that does not count.
    """

    tokens: Array  # int32 [B, T]
    lengths: Array  # int32 [B]
    labels: Array  # int32 [B]

    def __len__(self) -> int:
        """The number of rows."""
        return self.tokens.shape[0]

    def take(self, rows: Array, num_steps: int) -> "LabelledBatch":
        """The rows of `rows`, int `[B]`, padded to `num_steps`; -1 is a row without words that does not count."""
        return LabelledBatch(
            self.tokens[rows, :num_steps],
            jnp.where(rows < 0, 0, self.lengths[rows]),
            jnp.where(rows < 0, -1, self.labels[rows]),
        )

    @property
    def inputs(self) -> tuple[Array, Array]:
        """What `memjax.models.SequenceClassifier` reads."""
        return self.tokens, self.lengths


@struct.dataclass
class PairBatch:
    """Pairs of sentences and their labels.

    Attributes:
        premises: token ids; 0 = padding.
        premise_lengths: words that count in each row.
        hypotheses: token ids; 0 = padding.
        hypothesis_lengths: words that count in each row.
        labels: classes; -1 = none, a row that does not count.
    """

    premises: Array  # int32 [B, J]
    premise_lengths: Array  # int32 [B]
    hypotheses: Array  # int32 [B, T]
    hypothesis_lengths: Array  # int32 [B]
    labels: Array  # int32 [B]

    def __len__(self) -> int:
        """The number of rows."""
        return self.premises.shape[0]

    def take(self, rows: Array, num_steps: int) -> "PairBatch":
        """The rows of `rows`, int `[B]`, both padded to `num_steps`; -1 is a row without words, not to count."""
        return PairBatch(
            self.premises[rows, :num_steps],
            jnp.where(rows < 0, 0, self.premise_lengths[rows]),
            self.hypotheses[rows, :num_steps],
            jnp.where(rows < 0, 0, self.hypothesis_lengths[rows]),
            jnp.where(rows < 0, -1, self.labels[rows]),
        )

    @property
    def inputs(self) -> tuple[Array, Array, Array, Array]:
        """What `memjax.models.SentencePairMatcher` reads."""
        return self.premises, self.hypotheses, self.premise_lengths, self.hypothesis_lengths


class Labelled(Protocol):
    """A batch with labels; `LabelledBatch` and `PairBatch` are some."""

    labels: Array

    @property
    def inputs(self) -> tuple[Array, ...]:
        """What the model is called with."""
        ...


def make_label_loss(l2: float = 0.0) -> ModelLossFn:
    """Makes the loss of a classifier: the mean of -log p(label) over the rows that count, and l2 / 2 * |weights|^2.

    Args:
        l2: of the square of all weights but the embeddings.

    Returns:
        `fn(model, batch, key) -> (loss, metrics)` over a batch of labelled rows; metrics as of `measure_labels`.

    Raises:
        ValueError: if `l2` is negative.

    Reference: Cheng et al. 2016, section 5.2 ("a regularization constant of 1E-4").
    Departs from the paper: that l2 is meant, and not of embeddings, is read from Tai et al. 2015, whom it follows.
    """
    _checks.at_least_zero("l2", l2)

    def loss_fn(model: Any, batch: Labelled, key: Array) -> tuple[Array, dict[str, Array]]:
        sums = _sums(model(*batch.inputs, key=key), batch.labels)
        loss = sums["nats"] / jnp.maximum(sums["examples"], 1)
        if l2:
            weights = nnx.to_pure_dict(nnx.state(model, nnx.Param))
            weights.pop("embedding")
            loss += l2 / 2 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(weights))
        return loss, sums

    return loss_fn


def measure_labels(model: Any, batch: Labelled) -> dict[str, Array]:
    """How well labels are told.

    Args:
        model: `memjax.models.SequenceClassifier` or `SentencePairMatcher`.
        batch: what it reads.

    Returns:
        Sums over the rows that count: `right`, those whose label has the highest score; `nats`, -log p of the labels;
        `examples`, how many rows there are.

    Example:
        >>> from memjax.models import SequenceClassifier
        >>> model = SequenceClassifier(6, 4, 8, 2, rngs=nnx.Rngs(0))
        >>> batch = LabelledBatch(jnp.array([[2, 3], [4, 0]]), jnp.array([2, 0]), jnp.array([1, -1]))
        >>> float(measure_labels(model, batch)["examples"])
        1.0
    """
    return _sums(model(*batch.inputs), batch.labels)


def _sums(scores: Array, labels: Array) -> dict[str, Array]:
    scores = scores.astype(jnp.promote_types(jnp.float32, scores.dtype))
    counts = labels >= 0
    nats = optax.softmax_cross_entropy_with_integer_labels(scores, jnp.maximum(labels, 0))
    return {
        "right": jnp.sum(counts & (jnp.argmax(scores, axis=-1) == labels)).astype(scores.dtype),
        "nats": jnp.sum(jnp.where(counts, nats, 0)),
        "examples": jnp.sum(counts).astype(scores.dtype),
    }


class FirstUpdates(NamedTuple):
    """The state of `scale_first_updates`.

    Attributes:
        remaining: steps for which rows are still scaled.
        scale: of each row of the embeddings.
    """

    remaining: Array  # int32 []
    scale: Array  # [V]


def scale_first_updates() -> optax.GradientTransformation:
    """Scales the updates of some words' vectors during the first steps; put it behind the optimizer.

    Which rows, and for how many steps, is part of its state; it starts with none.

    Example:
        >>> params = {"embedding": {"table": jnp.zeros((3, 2))}}
        >>> scaling = scale_first_updates()
        >>> state = FirstUpdates(jnp.int32(1), jnp.array([1.0, 1.0, 0.5]))
        >>> updates, state = scaling.update(jax.tree.map(jnp.ones_like, params), state)
        >>> updates["embedding"]["table"][:, 0].tolist(), int(state.remaining)
        ([1.0, 1.0, 0.5], 0)

    Reference: Cheng et al. 2016, sections 5.2 and 5.3.
    Departs from the paper: it scales gradients, which Adam, dividing by their size, nearly undoes; here it is updates.
    """

    def init(params: PyTree) -> FirstUpdates:
        table = params["embedding"]["table"]
        return FirstUpdates(jnp.zeros((), jnp.int32), jnp.ones(table.shape[0], table.dtype))

    def update(updates: PyTree, state: FirstUpdates, params: PyTree = None) -> tuple[PyTree, FirstUpdates]:
        del params
        table = updates["embedding"]["table"]
        scale = jnp.where(state.remaining > 0, state.scale, jnp.ones((), state.scale.dtype))
        updates = {**updates, "embedding": {"table": table * scale[:, None]}}
        return updates, FirstUpdates(jnp.maximum(state.remaining - 1, 0), state.scale)

    return optax.GradientTransformation(init, update)
