# SPDX-License-Identifier: Apache-2.0
"""The segmenter and its loss against the paper's equations as NumPy loops; streams into memory."""

import importlib.util
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.memory import empty, oldest_slot, write
from memjax.models import MemNN, Segmenter
from memjax.training import SegmentBatch, make_segment_loss

_spec = importlib.util.spec_from_file_location("reference", pathlib.Path(__file__).parents[1] / "reference.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

WORDS, FEATURES, LONGEST, SLOTS, BLOCK = 6, 4, 5, 4, 24


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def build(seed=0):
    """A segmenter whose words have scores of both signs, and its parameters for the reference."""
    model = Segmenter(WORDS, FEATURES, longest=LONGEST, param_dtype=jnp.float64, rngs=nnx.Rngs(seed))
    nnx.update(model, jax.tree.map(lambda leaf: leaf * 10, nnx.state(model, nnx.Param)))
    return model, (np.asarray(model.words.weights[0]), np.asarray(model.weights[...]))


def pieces(cuts, stream):
    """The segments and what is left, without padding."""
    ends = np.flatnonzero(cuts.ends) + 1
    return [[token for token in piece.tolist() if token] for piece in np.split(np.asarray(stream), ends)]


segment = jax.jit(lambda model, stream: model.segment(stream))
listen = jax.jit(lambda model, memory, stream, answers, hearing: model.listen(memory, stream, answers.embed, hearing))


def test_segments_are_those_of_the_equations():
    model, (U_S, W_seg) = build()
    rng = np.random.default_rng(0)
    lengths, before = set(), segment._cache_size()
    for _ in range(4):
        stream = rng.integers(0, WORDS + 2, BLOCK)
        hearing, cuts = segment(model, jnp.asarray(stream, jnp.int32))
        found, ends, scores = reference.segments(stream, U_S, W_seg, model.threshold, LONGEST)
        assert np.flatnonzero(cuts.ends).tolist() == ends
        assert pieces(cuts, stream) == found
        np.testing.assert_allclose(cuts.scores, scores, atol=1e-12)
        assert hearing.words[: hearing.length].tolist() == found[-1] and not hearing.words[hearing.length :].any()
        np.testing.assert_allclose(model(reference.bag(found[0], WORDS)), reference.seg(found[0], U_S, W_seg))
        lengths |= set(map(len, found[:-1]))
    assert segment._cache_size() == before + 1
    assert {1, LONGEST} < lengths, "some fire at once, some never"


def test_streams_that_hold_nothing_and_streams_that_never_end():
    model, _ = build()
    memory = empty(SLOTS, jnp.zeros(()), jnp.zeros(LONGEST, jnp.int32))
    hear = jax.jit(lambda memory, stream: model.listen(memory, stream, lambda words: jnp.zeros(())))
    for stream in (jnp.zeros(0, jnp.int32), jnp.zeros(BLOCK, jnp.int32)):  # no words
        written, hearing, cuts = hear(memory, stream)
        assert not cuts.ends.any() and cuts.scores.shape == stream.shape
        assert (int(written.count), int(hearing.length), float(hearing.score)) == (0, 0, 0)
    written, hearing, cuts = hear(memory, jnp.ones(BLOCK, jnp.int32))  # unknown words never fire
    assert np.flatnonzero(cuts.ends).tolist() == [LONGEST - 1 + LONGEST * n for n in range(BLOCK // LONGEST)]
    assert (int(written.count), int(hearing.length)) == divmod(BLOCK, LONGEST)
    with pytest.raises(ValueError, match="longest: expected an integer of at least 1, got 0"):
        Segmenter(WORDS, FEATURES, longest=0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"tokens: expected 1 axes \[T\]"):
        model.segment(jnp.zeros((2, 3), jnp.int32))


def test_listening_is_a_loop_of_writes_however_the_stream_is_broken():
    model, _ = build(1)
    answers = MemNN(WORDS, FEATURES, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    stream = jnp.asarray(np.random.default_rng(1).integers(1, WORDS + 2, 2 * BLOCK), jnp.int32)
    tokens = jax.ShapeDtypeStruct((LONGEST,), jnp.int32)
    start = empty(SLOTS, jax.eval_shape(answers.embed, tokens), tokens)
    *told, left = pieces(segment(model, stream)[1], stream)
    assert len(told) > SLOTS and left
    expected, embed, store = start, jax.jit(answers.embed), jax.jit(partial(write, slot_fn=oldest_slot))
    for words in told:
        words = jnp.asarray(words + [0] * (LONGEST - len(words)), jnp.int32)
        expected = store(expected, embed(words), words)
    memory, hearing = start, model.silence()
    for block in jnp.split(stream, 2):
        memory, hearing, _ = listen(model, memory, block, answers, hearing)
    assert hearing.words[: hearing.length].tolist() == left
    for one, other in zip(jax.tree.leaves(memory), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def known_segments(rng):
    """Segments and what follows, the last one at the end of its stream; as lists and as a batch."""
    known = [rng.integers(1, WORDS + 2, size).tolist() for size in (1, 3, LONGEST, 2)]
    following = [rng.integers(1, WORDS + 2, size).tolist() for size in (LONGEST, 1, 3, 0)]
    padded = [jnp.array([row + [0] * (LONGEST - len(row)) for row in rows], jnp.int32) for rows in (known, following)]
    return known, following, SegmentBatch(*padded)


def test_loss_is_that_of_the_equations():
    model, weights = build(2)
    known, following, batch = known_segments(np.random.default_rng(2))
    value, metrics = jax.jit(make_segment_loss(margin=0.3, negatives="all"))(model, batch, jax.random.key(0))
    expected = reference.loss_seg(known, following, *weights, gamma=0.3)
    np.testing.assert_allclose((metrics["right"], metrics["wrong"]), np.divide(expected, len(known)), rtol=1e-12)
    np.testing.assert_allclose(value, sum(expected) / len(known), rtol=1e-12)
    with pytest.raises(ValueError, match="negatives: expected one of"):
        make_segment_loss(negatives="some")


def test_sampled_wrong_segments_are_drawn_from_all():
    model, weights = build(2)
    known, following, batch = known_segments(np.random.default_rng(2))
    sampled = jax.jit(jax.vmap(lambda key: make_segment_loss(margin=0.3)(model, batch.take(jnp.array([2])), key)[1]))
    drawn = sampled(jax.random.split(jax.random.key(0), 200))["wrong"]
    terms = [max(0.0, 0.3 + reference.seg(c, *weights)) for c in reference.wrong_segments(known[2], following[2])]
    np.testing.assert_allclose(np.unique(np.round(drawn, 9)), np.unique(np.round(terms, 9)))


def test_gradients_agree_with_finite_differences():
    model, _ = build(3)
    batch = known_segments(np.random.default_rng(3))[2]
    loss_fn = make_segment_loss(negatives="all")
    graphdef, state = nnx.split(model)
    value = jax.jit(jax.value_and_grad(lambda state: loss_fn(nnx.merge(graphdef, state), batch, jax.random.key(0))[0]))
    rng = np.random.default_rng(4)
    way = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape), state)
    ends = [value(jax.tree.map(lambda x, w, e=eps: x + e * w, state, way))[0] for eps in (1e-6, -1e-6)]
    slopes = jax.tree.leaves(jax.tree.map(lambda g, w: np.sum(g * w), value(state)[1], way))
    np.testing.assert_allclose(sum(slopes), (ends[0] - ends[1]) / 2e-6, rtol=1e-6)
    assert all(abs(slope) > 1e-3 for slope in slopes)
