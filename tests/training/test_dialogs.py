# SPDX-License-Identifier: Apache-2.0
"""Dialogs on the device: scores of turns are those of one turn at a time; the loss; what is right."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.data import Dialog, DialogEncoder
from memjax.data.conversations import build_vocabulary
from memjax.memory import empty, write_many
from memjax.models import ResponseMemN2N
from memjax.training import (
    DialogBatch,
    make_dialog_loss,
    predict_responses,
    response_accuracy,
    response_scores,
)

DIALOGS = [
    Dialog(
        ("user", "bot", "fact", "fact", "user", "bot", "user", "bot"),
        ("hi in rome", "hello", "a R_location rome", "b R_location oslo", "and b", "b then", "thanks", "bye"),
    ),
    Dialog(("user", "bot"), ("hi in oslo", "bye")),
]
ENCODER = DialogEncoder(
    build_vocabulary(DIALOGS),
    ("bye", "a then", "hello", "b then in oslo", "b then"),
    {"rome": "L", "oslo": "L", "b": "N"},
)
BATCH = DialogBatch.of(ENCODER.encode(DIALOGS), ENCODER.candidates())


SCORES = jax.jit(response_scores)


def model_of(places="age", num_types=2):
    return ResponseMemN2N(
        len(ENCODER.vocabulary), 4, hops=2, num_types=num_types, places=places, num_places=5, rngs=nnx.Rngs(0)
    )


def padded(rows, width):
    return jnp.array([row + [0] * (width - len(row)) for row in rows])


@jax.jit
def scores_of(model, tokens, place, present):
    """The scores at a place of a dialog, from a memory that is written utterance by utterance."""
    keys = model.embed(tokens)
    memory = write_many(empty(12, keys[0], place), keys, jnp.arange(len(tokens)), where=jnp.arange(len(tokens)) < place)
    return model(tokens[place], memory, BATCH.candidates, present).scores


def one_by_one(model, dialog, turn):
    said = [ENCODER.tokens(*each) for each in zip(dialog.speakers, dialog.utterances, strict=True)]
    place = dialog.responses[turn] - 1
    present = np.zeros(3, bool)
    for text in dialog.utterances[: place + 1]:
        present[ENCODER.entities(text)] = True
    rows = padded(said + [[]] * (8 - len(said)), BATCH.utterances.shape[1])
    return scores_of(model, rows, jnp.int32(place), jnp.asarray(present))


@pytest.mark.parametrize(("places", "num_types"), [("age", 2), pytest.param("index", 0, marks=pytest.mark.thorough)])
def test_turns_score_as_one_at_a_time(places, num_types):
    model = model_of(places, num_types)
    scores = SCORES(model, BATCH)
    assert scores.shape == (2, 3, 5)
    for i, dialog in enumerate(DIALOGS):
        for turn in range(len(dialog.responses)):
            np.testing.assert_allclose(scores[i, turn], one_by_one(model, dialog, turn), rtol=1e-4, atol=1e-6)


@jax.jit
def measured(model, batch):
    loss = make_dialog_loss()(model, batch, jax.random.key(0))
    return *loss, predict_responses(model, batch, batch_size=1), response_accuracy(model, batch), batch.present()


@pytest.mark.thorough
def test_loss_and_what_is_right():
    model = model_of()
    scores = np.asarray(SCORES(model, BATCH), float)
    right = [(0, 0, 2), (0, 1, 4), (0, 2, 0), (1, 0, 0)]
    nats = [np.log(np.exp(scores[i, t]).sum()) - scores[i, t, y] for i, t, y in right]
    loss, metrics, chosen, shares, present = measured(model, BATCH)
    np.testing.assert_allclose(loss, np.mean(nats), rtol=1e-5)
    hits = [int(scores[i, t].argmax() == y) for i, t, y in right]
    assert chosen[1, 1:].tolist() == [-1, -1] and chosen[0, 0] == scores[0, 0].argmax()
    np.testing.assert_allclose(metrics["accuracy"], np.mean(hits))
    np.testing.assert_allclose(shares["responses"], np.mean(hits))
    np.testing.assert_allclose(shares["dialogs"], np.mean([all(hits[:3]), hits[3]]))
    # an entity is there from the turn on that names it, or hears it named
    assert present[:, 0].tolist() == [[True, True, True], [False, True, True], [False, True, True]]
    assert present[:, 1, 0].tolist() == [False, True, False]
    assert BATCH.take(jnp.array([1])).lines.tolist() == BATCH.lines[1:].tolist()


@pytest.mark.thorough
def test_more_room_changes_nothing():
    """Padding of dialogs, turns, utterances and candidates, in value and gradient."""
    wider = {name: jnp.pad(getattr(BATCH, name), ((0, 0), (0, 2)), constant_values=-1) for name in ("lines", "told")}
    wider |= {"responses": jnp.pad(BATCH.responses, ((0, 0), (0, 2)), constant_values=-1)}
    wider |= {"utterances": jnp.pad(BATCH.utterances, ((0, 3), (0, 1)))}
    wider |= {"entities": jnp.pad(BATCH.entities, ((0, 3), (0, 1)), constant_values=-1)}
    roomy = dataclasses.replace(BATCH, **wider)
    loss = jax.jit(nnx.value_and_grad(lambda model, batch: make_dialog_loss()(model, batch, jax.random.key(0))[0]))
    (one, grads), (other, others) = loss(model_of(), BATCH), loss(model_of(), roomy)
    np.testing.assert_allclose(one, other, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
