# SPDX-License-Identifier: Apache-2.0
"""Predictions over a corpus against the model asked one question at a time."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.memory import empty, write
from memjax.models import MemNN
from memjax.training import StoryBatch, accuracy, predict

WORDS, SLOTS, SENTENCE, QUESTIONS = 8, 5, 3, 7


def corpus(rng):
    sentences = np.concatenate([np.zeros((1, SENTENCE), int), rng.integers(2, WORDS + 2, (9, SENTENCE))])
    slots = rng.integers(1, 10, (QUESTIONS, SLOTS))
    slots[np.arange(SLOTS)[None] >= rng.integers(0, SLOTS + 1, QUESTIONS)[:, None]] = -1  # stories of 0 to 5
    return StoryBatch(
        sentences=jnp.asarray(sentences),
        slots=jnp.asarray(slots),
        questions=jnp.asarray(rng.integers(1, WORDS + 2, (QUESTIONS, SENTENCE))),
        supports=jnp.full((QUESTIONS, 2), -1),
        answers=jnp.full((QUESTIONS, 2), 0),
    )


def one_at_a_time(model, questions):
    """Words and slots of each answer; each story written by `write`."""
    for story, question in zip(questions.slots.tolist(), questions.questions, strict=True):
        tokens = jax.ShapeDtypeStruct((SENTENCE,), questions.sentences.dtype)
        memory = empty(SLOTS, jax.eval_shape(model.embed, tokens), tokens)
        for row in story:
            if row >= 0:
                sentence = questions.sentences[row]
                memory = write(memory, model.embed(sentence), sentence)
        answer = model(question, memory)
        yield answer.words.tolist(), answer.hops.slots.tolist()


def test_a_story_is_as_if_written_one_statement_after_another():
    questions = corpus(np.random.default_rng(0))
    rows = questions.slots
    memories = questions.memory()
    for number in range(QUESTIONS):
        memory = empty(SLOTS, jnp.int32(0), jnp.int32(0))
        for row in rows[number].tolist():
            if row >= 0:
                memory = write(memory, jnp.int32(row), jnp.int32(row))
        for expected, found in zip(jax.tree.leaves(memory), jax.tree.leaves(memories), strict=True):
            np.testing.assert_array_equal(found[number], expected)


@pytest.mark.parametrize("options", [{"adaptive": True, "hops": 3, "max_words": 3}, {"exclude_found": False}])
@pytest.mark.parametrize("batch_size", [3, 100])
@pytest.mark.thorough
def test_predictions_are_those_of_one_question_at_a_time(options, batch_size):
    model = MemNN(WORDS, 6, rngs=nnx.Rngs(3), **options)
    nnx.update(model, jax.tree.map(lambda leaf: leaf * 10, nnx.state(model)))
    questions = corpus(np.random.default_rng(1))
    answers = list(one_at_a_time(model, questions))
    assert len({str(answer) for answer in answers}) > 3
    found = jax.jit(lambda corpus: predict(model, corpus, batch_size))(questions)
    for number, (words, slots) in enumerate(answers):
        padded = words + [0] * (found.answers.shape[1] - len(words))
        assert (found.answers[number].tolist(), found.slots[number].tolist()) == (padded, slots)


@pytest.mark.thorough
def test_right_means_every_word_and_supported_every_slot_in_order():
    model = MemNN(WORDS, 6, max_words=2, hops=2, rngs=nnx.Rngs(4))
    nnx.update(model, jax.tree.map(lambda leaf: leaf * 10, nnx.state(model)))
    questions = corpus(np.random.default_rng(2))
    truth = predict(model, questions)
    right = dataclasses.replace(questions, answers=truth.answers, supports=truth.slots)
    found = predict(model, right)
    assert found.right.all() and found.supported.all()
    assert accuracy(model, right) == {"accuracy": 1, "supports": 1}

    other_word = right.answers.at[:, 0].set(jnp.where(right.answers[:, 0] == 2, 3, 2))
    assert not predict(model, dataclasses.replace(right, answers=other_word)).right.any()
    more = jnp.pad(right.answers, ((0, 0), (0, 1)), constant_values=4)
    assert not predict(model, dataclasses.replace(right, answers=more)).right.any()
    two_found = np.asarray((truth.slots >= 0).all(axis=1))
    assert two_found.any()
    swapped = predict(model, dataclasses.replace(right, supports=truth.slots[:, ::-1]))
    assert not swapped.supported[two_found].any()
    first_only = predict(model, dataclasses.replace(right, supports=truth.slots.at[:, 1].set(-1)))
    assert first_only.supported.all(), "fewer supports than hops: only these must agree"


def test_questions_without_supports_do_not_count_as_found():
    model = MemNN(WORDS, 6, hops=1, rngs=nnx.Rngs(4))
    questions = corpus(np.random.default_rng(2))
    found = np.asarray(predict(model, questions).slots[:, 0])
    known = found[np.flatnonzero(found >= 0)[:2]]
    supports = (
        jnp.full((QUESTIONS, 1), -1).at[np.flatnonzero(found >= 0)[:2], 0].set(jnp.array([known[0], known[1] + 1]))
    )
    assert accuracy(model, dataclasses.replace(questions, supports=supports))["supports"] == 0.5
    assert np.isnan(accuracy(model, questions)["supports"])
    adaptive = MemNN(WORDS, 6, hops=2, adaptive=True, rngs=nnx.Rngs(4))
    assert predict(adaptive, questions).supported.all(), "nothing is asked where supports are unknown"


@pytest.mark.thorough
def test_adaptive_chains_must_stop_where_the_supports_end():
    model = MemNN(WORDS, 6, adaptive=True, hops=3, rngs=nnx.Rngs(5))
    nnx.update(model, jax.tree.map(lambda leaf: leaf * 10, nnx.state(model)))
    questions = corpus(np.random.default_rng(3))
    truth = predict(model, questions)
    longer = np.asarray((truth.slots >= 0).sum(axis=1) > 1)
    assert longer.any()
    cut = predict(model, dataclasses.replace(questions, supports=truth.slots[:, :1]))
    assert not cut.supported[longer].any()
    assert predict(model, dataclasses.replace(questions, supports=truth.slots)).supported.all()
