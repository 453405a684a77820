# SPDX-License-Identifier: Apache-2.0
"""Models of scenes: order of slots, empty slots, and what each question is answered from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.encoding import slot_memory
from memjax.memory import gather
from memjax.models import SceneMemNN, SceneMLP
from memjax.nn import ImageEncoder
from memjax.training import SceneBatch, answer_scenes, make_scene_loss, measure_scenes

QUESTION = jnp.array([2, 5, 0])


@pytest.fixture(scope="module")
def model():
    return SceneMemNN(6, 10, 4, 8, hops=2, score_features=8, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def ask(model):
    return jax.jit(lambda question, memory: model(question, memory))


@pytest.fixture(scope="module")
def slots():
    return jnp.asarray(np.random.default_rng(0).standard_normal((5, 4)), jnp.float32)


@pytest.mark.thorough
def test_slots_can_change_places_and_empty_ones_change_nothing(ask, slots):
    plain = ask(QUESTION, slot_memory(slots))
    order = np.array([3, 9, 0, 4, 9, 1, 2])
    moved = ask(QUESTION, gather(slot_memory(slots), jnp.asarray(order)))
    np.testing.assert_allclose(moved.scores, plain.scores, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moved.weights[:, order < 5], plain.weights[:, order[order < 5]], rtol=1e-5, atol=1e-6)
    assert not moved.weights[:, order == 9].any()
    assert (plain.weights.sum(1) < 1).all()  # a part of what could be read is left


def test_an_empty_memory_is_answered_from_without_nan(model, slots):
    nothing = gather(slot_memory(slots), jnp.full(5, -1))

    def value(slots, memory):
        answer = model(QUESTION, memory.replace(keys=slots, values=slots))
        return answer.scores.sum(), answer

    (_, answer), slope = jax.jit(jax.value_and_grad(value, has_aux=True))(slots, nothing)
    assert not answer.weights.any() and np.isfinite(answer.scores).all() and not slope.any()


@pytest.mark.thorough
def test_a_slot_that_was_read_scores_less_after(model, slots):
    sharp = SceneMemNN(6, 10, 4, 8, hops=2, score_features=8, rngs=nnx.Rngs(0))
    for hop in sharp.hops:  # the same hop twice, that looks for the first feature alone
        hop.of_key[...] = jnp.zeros_like(hop.of_key[...]).at[0, 0].set(1.0)
        hop.of_read[...] = jnp.zeros_like(hop.of_read[...])
        hop.weigh.kernel[...] = jnp.zeros_like(hop.weigh.kernel[...])
        hop.weigh.bias[...] = jnp.zeros_like(hop.weigh.bias[...]).at[0].set(10.0)
        hop.again[...] = jnp.asarray(-100.0)
    scene = jnp.zeros((5, 4)).at[2, 0].set(2.0).at[4, 0].set(1.5)
    assert sharp(QUESTION, slot_memory(scene)).weights.argmax(1).tolist() == [2, 4]


@pytest.mark.thorough
def test_the_baseline_sees_slots_side_by_side(slots):
    baseline = SceneMLP(6, 10, 5, 4, 8, hidden_features=16, rngs=nnx.Rngs(0))
    answer = jax.jit(lambda slots: baseline(QUESTION, slot_memory(slots)))(slots)
    assert answer.scores.shape == (10,) and answer.weights.shape == (0, 5)
    assert not np.allclose(answer.scores, baseline(QUESTION, slot_memory(slots[::-1])).scores)
    with pytest.raises(ValueError, match="memory: expected 5 slots, got 4"):
        baseline(QUESTION, slot_memory(slots[:4]))


@pytest.mark.thorough
def test_sizes_are_checked():
    for name, sizes in {"hops": {"hops": 0}, "score_features": {"score_features": -1}}.items():
        with pytest.raises(ValueError, match=f"{name}: expected an integer of at least 1"):
            SceneMemNN(6, 10, 4, rngs=nnx.Rngs(0), **sizes)
    with pytest.raises(ValueError, match=r"question: expected 1 axes \[S\]"):
        SceneMemNN(6, 10, 4, rngs=nnx.Rngs(0)).embed(QUESTION[None])
    with pytest.raises(ValueError, match="supports: expected a number of at least 0"):
        make_scene_loss(-1)
    with pytest.raises(ValueError, match="slot_features: expected 34, the encoder's features, x and y, got 4"):
        SceneMemNN(6, 10, 4, encoder=ImageEncoder(rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0))


def test_slots_of_another_kind_are_refused(model, slots):
    with pytest.raises(ValueError, match="scene: expected floats, got dtype int32; describe each object"):
        model.see(jnp.ones((5, 4), jnp.int32))
    baseline = SceneMLP(6, 10, 5, 4, 8, rngs=nnx.Rngs(0))
    for each in (model, baseline):
        with pytest.raises(ValueError, match=r"memory: expected values of shape \[N, 4\], got \(5, 3\); use see"):
            each(QUESTION, slot_memory(slots[:, :3]))


def test_more_supports_than_hops_are_refused(model):
    batch = SceneBatch(
        scenes=jnp.ones((1, 5, 4)),
        questions=jnp.zeros((1, 2), jnp.int32),
        answers=jnp.zeros((1, 2), jnp.int32),
        supports=jnp.zeros((1, 2, 3), jnp.int32),
        texts=jnp.array([[2, 3]]),
        relational=jnp.array([False]),
    )
    with pytest.raises(ValueError, match="supports: expected at most 2, one for each hop, got 3; add hops"):
        jax.eval_shape(make_scene_loss(1.0), model, batch, None)


def test_the_loss_keeps_double_precision():
    with jax.enable_x64(True):
        model = SceneMemNN(6, 10, 4, hops=2, features=8, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
        batch = SceneBatch(
            scenes=jnp.ones((1, 5, 4)),
            questions=jnp.zeros((1, 2), jnp.int32),
            answers=jnp.zeros((1, 2), jnp.int32),
            supports=jnp.zeros((1, 2, 2), jnp.int32),
            texts=jnp.array([[2, 3]]),
            relational=jnp.array([False]),
        )
        loss, _ = jax.eval_shape(make_scene_loss(0.0), model, batch, None)
    assert loss.dtype == jnp.float64


def test_loss_and_measures_are_those_of_a_loop(model, ask):
    rng = np.random.default_rng(1)
    batch = SceneBatch(
        scenes=jnp.asarray(rng.standard_normal((3, 5, 4)), jnp.float32),
        questions=jnp.asarray(rng.integers(0, 4, (3, 6)), jnp.int32),
        answers=jnp.asarray(rng.integers(0, 10, (3, 6)), jnp.int32),
        supports=jnp.asarray(rng.integers(-1, 5, (3, 6, 2)), jnp.int32),
        texts=jnp.asarray(rng.integers(0, 8, (4, 3)), jnp.int32),
        relational=jnp.array([False, False, True, True]),
    )

    @jax.jit
    def all_of(batch):
        losses = [make_scene_loss(weight)(model, batch, None) for weight in (0.0, 0.5)]
        return answer_scenes(model, batch), losses, measure_scenes(model, batch)

    answered, losses, sums = all_of(batch)
    nats, supports = 0.0, 0.0
    right, asked = {True: 0, False: 0}, {True: 0, False: 0}
    for i in range(3):
        memory = slot_memory(batch.scenes[i])
        for j in range(6):
            one = ask(batch.texts[batch.questions[i, j]], memory)
            np.testing.assert_allclose(answered.scores[i, j], one.scores, rtol=1e-5, atol=1e-5)
            scores, answer = np.asarray(one.scores, float), int(batch.answers[i, j])
            nats -= scores[answer] - np.log(np.exp(scores).sum())
            for hop, slot in enumerate(batch.supports[i, j].tolist()):
                supports -= np.log(float(one.weights[hop, slot])) if slot >= 0 else 0
            relational = bool(batch.relational[batch.questions[i, j]])
            asked[relational] += 1
            right[relational] += scores.argmax() == answer
    for weight, (loss, shares) in zip((0.0, 0.5), losses, strict=True):
        np.testing.assert_allclose(loss, (nats + weight * supports) / 18, rtol=1e-3)
        np.testing.assert_allclose(shares["relational"], right[True] / asked[True], rtol=1e-6)
        np.testing.assert_allclose(shares["single"], right[False] / asked[False], rtol=1e-6)
    assert (sums["relational"], sums["single_asked"]) == (right[True], asked[False])
    assert len(batch) == 3 and len(batch.take(jnp.array([2, 0]))) == 2
