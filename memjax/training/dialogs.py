# SPDX-License-Identifier: Apache-2.0
"""Responses in dialogs: the batch, its loss, and which response a model would give."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax import _checks
from memjax.memory import Memory
from memjax.models import Candidates, ResponseMemN2N
from memjax.training.state import ModelLossFn
from memjax.typing import Array


@struct.dataclass
class DialogBatch:
    """G dialogs of at most T turns; see `memjax.data.Conversations`.

    Attributes:
        utterances: words and speaker of each different utterance.
        entities: which entities each names; -1 = none.
        lines: rows of `utterances`, dialog by dialog; -1 = after the end.
        told: utterances before the user's last one; -1 = no turn.
        responses: which candidate is right; -1 = no turn.
        candidates: the responses to choose from.
    """

    utterances: Array  # int32 [M, S]
    entities: Array  # int32 [M, J]
    lines: Array  # int32 [G, L]
    told: Array  # int32 [G, T]
    responses: Array  # int32 [G, T]
    candidates: Candidates

    @classmethod
    def of(cls, conversations: Any, candidates: Any) -> "DialogBatch":
        """Puts `memjax.data.Conversations` and `memjax.data.CandidateArrays` on the device."""

        def arrays(kind: Any, source: Any) -> dict[str, Array]:
            names = [name for name in kind.__dataclass_fields__ if name != "candidates"]
            return {name: jnp.asarray(getattr(source, name), jnp.int32) for name in names}

        return cls(**arrays(cls, conversations), candidates=Candidates(**arrays(Candidates, candidates)))

    def __len__(self) -> int:
        """G, the number of dialogs."""
        return self.lines.shape[0]

    def take(self, indices: Array) -> "DialogBatch":
        """The dialogs at `indices`, int `[B]`."""
        return dataclasses.replace(
            self, lines=self.lines[indices], told=self.told[indices], responses=self.responses[indices]
        )

    def memory(self) -> Memory:
        """The dialogs as memories, as if each utterance were written one after another.

        Returns:
            A batched `Memory`, `[G, L]`: keys and values are rows of `utterances`. A turn may read what was said
            before it: the first `told` slots.
        """
        held = self.lines >= 0
        rows = jnp.where(held, self.lines, 0)
        return Memory(
            keys=rows,
            values=jnp.copy(rows),  # two arrays, so that the memory can be donated
            times=jnp.where(held, jnp.arange(rows.shape[1], dtype=jnp.int32)[None], -1),
            usage=jnp.zeros(rows.shape, jnp.float32),
            count=held.sum(axis=1, dtype=jnp.int32),
            dropped=jnp.zeros(len(self), jnp.int32),
        )

    def present(self) -> Array:
        """Which entities a turn's memory or last utterance names, bool `[E, G, T]`."""
        size, length = self.candidates.types.shape[0], self.lines.shape[1]
        named = self.entities[jnp.where(self.lines < 0, 0, self.lines)]  # [G, L, J]; row 0 names nothing
        named = jnp.where(named < 0, size, named)
        dialog, place = (jax.lax.broadcasted_iota(jnp.int32, named.shape, axis) for axis in (0, 1))
        first = jnp.full((size, len(self)), length, jnp.int32).at[named, dialog].min(place, mode="drop")
        return first[:, :, None] <= self.told[None]


def response_scores(model: ResponseMemN2N, batch: DialogBatch) -> Array:
    """Scores every candidate at every turn: `[G, T, C]`; a turn that is none scores as one of an empty memory.

    An utterance is embedded once for all turns of its dialog, a candidate once for all dialogs: nothing of the size of
    turns x slots x features, or turns x candidates x features, is made.

    Args:
        model: scores them.
        batch: G dialogs.
    """
    memory = batch.memory()
    memory = dataclasses.replace(memory, keys=model.embed(batch.utterances[memory.keys]))  # [G, L, D]

    def turn(memory: Memory, told: Array) -> Array:
        where = jnp.arange(memory.num_slots) < told
        return model.read(memory.keys[jnp.maximum(told, 0)], memory, where, told).query

    queries = jax.vmap(jax.vmap(turn, in_axes=(None, 0)))(memory, batch.told)  # [G, T, D]
    present = None if model.type_words is None else batch.present().reshape(-1, batch.told.size)
    scores = model.respond(queries.reshape(-1, queries.shape[-1]), batch.candidates, present)
    return scores.reshape(*batch.told.shape, -1)


def make_dialog_loss() -> ModelLossFn:
    """Makes the cross-entropy between the scores of all candidates and the right one.

    Returns:
        `fn(model, batch, key) -> (loss, {"accuracy": ..})` of a `DialogBatch`, means over the turns.

    Reference: Bordes, Boureau and Weston 2017, appendix A.
    Departs from the paper: a mean over the batch, not a sum.
    """

    def loss_fn(model: ResponseMemN2N, batch: DialogBatch, key: Array) -> tuple[Array, dict[str, Array]]:
        scores = response_scores(model, batch)
        taught = batch.responses >= 0  # [G, T]
        right = jnp.take_along_axis(scores, jnp.maximum(batch.responses, 0)[:, :, None], axis=2)[:, :, 0]
        nats = jnp.where(taught, jax.nn.logsumexp(scores, axis=2) - right, 0)
        hits = jnp.where(taught, jnp.argmax(scores, axis=2) == batch.responses, False)
        turns = jnp.maximum(taught.sum(), 1)
        return nats.sum() / turns, {"accuracy": hits.sum() / turns}

    return loss_fn


def predict_responses(model: ResponseMemN2N, corpus: DialogBatch, batch_size: int = 8) -> Array:
    """The response that a model gives at each turn.

    Args:
        model: chooses; of equal scores the first candidate.
        corpus: G dialogs; what is said before a turn is taken from them, not from what the model would say.
        batch_size: dialogs scored side by side; bounds the temporary memory.

    Returns:
        int32 `[G, T]`, candidates; -1 where there is no turn.
    """
    _checks.positive("batch_size", batch_size)
    size = min(batch_size, len(corpus))
    steps = -(-len(corpus) // size)
    rows = jnp.minimum(jnp.arange(steps * size), len(corpus) - 1).reshape(steps, size)

    def some(rows: Array) -> Array:
        return jnp.argmax(response_scores(model, corpus.take(rows)), axis=2)

    chosen = jax.lax.map(some, rows).reshape(steps * size, -1)[: len(corpus)]
    return jnp.where(corpus.responses >= 0, chosen.astype(jnp.int32), -1)


def response_accuracy(model: ResponseMemN2N, corpus: DialogBatch, batch_size: int = 8) -> dict[str, Array]:
    """The share of responses that are right, and of dialogs in which every response is.

    Args:
        model: chooses.
        corpus: G dialogs.
        batch_size: see `predict_responses`.

    Returns:
        `{"responses": scalar, "dialogs": scalar}`, in [0, 1].

    Reference: Bordes, Boureau and Weston 2017, section 3 (per-response and per-dialog accuracy).
    """
    right = predict_responses(model, corpus, batch_size) == corpus.responses  # [G, T]; no turn equals no turn
    turns = corpus.responses >= 0
    return {"responses": (right & turns).sum() / turns.sum(), "dialogs": right.all(axis=1).mean()}
