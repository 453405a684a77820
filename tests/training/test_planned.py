# SPDX-License-Identifier: Apache-2.0
"""Planned steps are the steps one by one; steps and rows that fill a plan up change nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from memjax import data
from memjax.data import Vocabulary
from memjax.models import LanguageModel
from memjax.recipes.reading import make_plans, total
from memjax.training import (
    TextBatch,
    TextStream,
    create_state,
    make_language_loss,
    make_planned_steps,
    make_planned_sums,
    make_step,
    make_window_steps,
    measure_language,
    with_params,
)

WORDS = Vocabulary(("a", "b", "c", "<eos>"))
SENTENCES = [["a"], ["b", "a", "c", "b"], ["c", "c"], ["a", "b", "c"], ["b"]]
MARK = 5
MODEL, OPTIMIZER = LanguageModel(4, 2, 3, core="lstm", rngs=nnx.Rngs(0)), optax.sgd(0.5)
STEP = make_step(MODEL, OPTIMIZER, make_language_loss())


def state():
    return create_state(MODEL, OPTIMIZER, jax.random.key(0))


def corpus():
    inputs, targets = data.next_words(data.encode_sequences(SENTENCES, WORDS), MARK)
    buckets = data.bucket_lengths(inputs.lengths, 2)
    batch = TextBatch(jnp.asarray(inputs.tokens), jnp.asarray(targets.tokens), jnp.asarray(inputs.lengths))
    return batch, buckets, data.plan_batches(buckets, 2, seed=0)


def close(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, other)


def test_planned_steps_are_steps():
    batch, buckets, batches = corpus()
    run = jax.jit(make_planned_steps(STEP, buckets.boundaries))
    planned, sums = state(), []
    for plan in make_plans(batches, buckets.boundaries, steps=2):  # three batches: one step does nothing
        planned, found = run(planned, batch, plan)
        sums.append(found)
    alone, nats, step = state(), 0.0, jax.jit(STEP)
    for each in batches:
        rows = jnp.asarray(each.rows)
        alone, metrics = step(alone, batch.take(rows, batch.inputs.shape[1]))  # padded to the longest of all
        nats += metrics["nats"]
    assert planned.step == alone.step == 3
    close(planned.params, alone.params)
    found = total(sums)
    assert found["words"] == sum(len(words) + 1 for words in SENTENCES)
    np.testing.assert_allclose(found["nats"], nats, rtol=1e-5)


@pytest.mark.thorough
def test_sums_over_a_plan_are_sums_over_the_text():
    batch, buckets, batches = corpus()
    run = jax.jit(make_planned_sums(lambda params, given: measure_language(MODEL, given), buckets.boundaries))
    found = total(run(None, batch, plan) for plan in make_plans(batches, buckets.boundaries, steps=2))
    counted = np.asarray(batch.counts)
    log_probs = np.asarray(MODEL.log_probs(batch.inputs, batch.targets))
    np.testing.assert_allclose(found["nats"], -log_probs[counted].sum(), rtol=1e-5)


def test_windows_of_a_stream_have_what_was_before_them():
    words = jnp.pad(jnp.array([5, 2, 3, 4, 2]), (3, 2))  # three slots, windows of two words
    found = TextStream(words, 3).take(jnp.array([2, 0, -1]), 2)
    assert found.inputs[:2].tolist() == [[3, 4], [5, 2]] and found.targets[:2].tolist() == [[4, 2], [2, 3]]
    assert found.lengths.tolist() == [2, 2, 0] and found.tapes[0].length.tolist() == [2, 0, 0]
    assert found.tapes[0].inputs[:2].tolist() == [[0, 5, 2], [0, 0, 0]]
    last = TextStream(words, 3).take(jnp.array([3]), 2)
    assert last.lengths.tolist() == [1] and last.targets.tolist() == [[2, 0]], "the text ends within it"


@pytest.mark.thorough
def test_windows_from_anywhere_read_as_one_text():
    """Their sums are those of the whole text, read at once."""
    text = jnp.array([5, 2, 3, 4, 2, 2, 5, 3, 4])
    model = LanguageModel(4, 6, 3, core="memn2n", num_layers=2, span=3, rngs=nnx.Rngs(0))
    batch = TextStream(jnp.pad(text, (3, 2)), 3).take(jnp.array([6, 0, -1, 4, 2]), 2)
    found = measure_language(model, batch)
    assert found["words"] == len(text) - 1
    expected = -model.log_probs(text[None, :-1], text[None, 1:]).sum()
    np.testing.assert_allclose(found["nats"], expected, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("core", ["lstm", "lstmn"])
def test_windows_read_as_one_text(core):
    """Measured window by window, with carried tapes, a text is as probable as read at once."""
    model = LanguageModel(4, 2, 3, core=core, span=20, rngs=nnx.Rngs(0))
    encoded = data.encode_sequences(SENTENCES, WORDS)

    def nats(steps):
        windows = data.windows(encoded, MARK, 1, steps)
        sums, tapes = 0.0, model.empty_tapes(1, 20)
        for inputs, targets, lengths in zip(windows.inputs, windows.targets, windows.lengths, strict=True):
            measured = measure_language(model, TextBatch(*map(jnp.asarray, (inputs, targets, lengths)), tapes))
            sums, tapes = sums + measured["nats"], measured["tapes"]
        return sums

    np.testing.assert_allclose(nats(4), nats(16), rtol=1e-5)


@pytest.mark.thorough
def test_steps_over_windows_carry_the_tape():
    cut = data.windows(data.encode_sequences(SENTENCES, WORDS), MARK, 2, 3)
    windows = TextBatch(*(jnp.asarray(leaf) for leaf in (cut.inputs, cut.targets, cut.lengths)))
    (scanned, _), sums = jax.jit(make_window_steps(STEP))((state(), MODEL.empty_tapes(2, 1)), windows)
    alone, tapes = state(), MODEL.empty_tapes(2, 1)
    for number in range(len(cut)):
        window = jax.tree.map(lambda leaf, number=number: leaf[number], windows)
        _, tapes_after = with_params(MODEL, alone.params).read(window.inputs, window.lengths, tapes)
        alone, _ = STEP(alone, window.replace(tapes=tapes))
        tapes = tapes_after
    close(scanned.params, alone.params)
    assert sums["words"] == sum(len(words) + 1 for words in SENTENCES)


@pytest.mark.thorough
def test_windows_without_words_are_no_steps():
    """Nothing moves, not even what an optimizer with momentum and decay would move."""
    optimizer = optax.adamw(0.1, weight_decay=0.1)
    run = jax.jit(make_window_steps(make_step(MODEL, optimizer, make_language_loss())))
    cut = data.windows(data.encode_sequences(SENTENCES, WORDS), MARK, 2, 3)
    filled = (np.pad(leaf, ((0, 2), *[(0, 0)] * (leaf.ndim - 1))) for leaf in (cut.inputs, cut.targets, cut.lengths))
    windows = TextBatch(*map(jnp.asarray, filled))
    start = (create_state(MODEL, optimizer, jax.random.key(0)), MODEL.empty_tapes(2, 1))
    (padded, tapes), sums = run(start, windows)
    (alone, tapes_alone), sums_alone = run(start, jax.tree.map(lambda leaf: leaf[: len(cut)], windows))
    assert padded.step == alone.step == len(cut)
    close((padded.params, tapes, sums), (alone.params, tapes_alone, sums_alone))
