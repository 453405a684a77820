# SPDX-License-Identifier: Apache-2.0
"""The memory of the latest inputs, against plain loops; windows, single steps, padding."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.models import LanguageModel
from memjax.nn import SoftMemory
from memjax.recipes import LanguageConfig

B, T, D, N, P = 2, 7, 4, 3, 2
INPUTS = jnp.asarray(np.random.default_rng(0).standard_normal((B, T, 2 * D)), jnp.float32)


def core(**options) -> SoftMemory:
    made = SoftMemory(2 * D, D, hops=P, slots=N, rngs=nnx.Rngs(0), **options)
    nnx.update(made, jax.tree.map(lambda leaf: 10 * leaf, nnx.state(made, nnx.Param)))
    return made


def by_hand(made: SoftMemory, inputs: np.ndarray) -> np.ndarray:
    """Sukhbaatar et al. 2015, section 5: a constant query, hops that share matrices, ReLU of half of the units."""
    ages, between = np.asarray(made.ages[...]), np.asarray(made.between[...])
    hidden = []
    for t in range(len(inputs)):
        u = np.full(D, 0.1)
        for _ in range(P):
            m, c = [], []
            for age in range(min(N, t + 1)):
                m.append(inputs[t - age][:D] + ages[0][age])
                c.append(inputs[t - age][D:] + ages[1][age])
            parts = np.exp([u @ each for each in m])
            u = u @ between + sum(p / parts.sum() * each for p, each in zip(parts, c, strict=True))
            u = np.array([max(x, 0) if k < D // 2 else x for k, x in enumerate(u)])
        hidden.append(u)
    return np.stack(hidden)


def test_hops_are_those_of_the_equations():
    made = core()
    found = made(INPUTS)
    for row in range(B):
        np.testing.assert_allclose(found[row], by_hand(made, np.asarray(INPUTS[row])), rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
def test_windows_and_single_steps_are_the_whole():
    made = core()
    whole, (latest,) = made(INPUTS, return_tape=True)
    first, tape = made(INPUTS[:, :2], return_tape=True)
    second, (after,) = made(INPUTS[:, 2:], initial_tape=tape, return_tape=True)
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), whole, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(after.inputs, latest.inputs)
    assert after.length.tolist() == latest.length.tolist() == [N, N]
    state, found = made.empty_tape(B), []
    for t in range(T):
        state, hidden = made.step(state, INPUTS[:, t])
        found.append(hidden)
    np.testing.assert_allclose(jnp.stack(found, 1), whole, rtol=1e-5, atol=1e-7)


@pytest.mark.thorough
def test_padding_changes_nothing():
    made, lengths = core(), jnp.array([3, 5])
    hidden, (tape,) = made(INPUTS, lengths, return_tape=True)
    for row, length in enumerate(lengths.tolist()):
        alone, (kept,) = made(INPUTS[row : row + 1, :length], return_tape=True)
        np.testing.assert_allclose(hidden[row, :length], alone[0], rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(tape.inputs[row], kept.inputs[0])
        assert not hidden[row, length:].any()
    short = made(INPUTS[:, :2], jnp.array([1, 0]), return_tape=True)[1][0]
    assert short.length.tolist() == [1, 0]
    np.testing.assert_array_equal(short.inputs[0, -1], INPUTS[0, 0])
    beyond = jax.grad(lambda inputs: jnp.sum(made(inputs, lengths) ** 2))(INPUTS)
    assert not beyond[0, 3:].any() and not beyond[1, 5:].any() and beyond[0, :3].any()
    padded = jnp.arange(T)[None] >= lengths[:, None]
    np.testing.assert_array_equal(made(jnp.where(padded[..., None], jnp.nan, INPUTS), lengths), hidden)


@pytest.mark.thorough
def test_a_language_model_over_the_latest_words():
    model = LanguageModel(6, 2 * D, D, core="memn2n", num_layers=P, span=N, rngs=nnx.Rngs(1))
    tokens = jnp.array([[2, 3, 4, 5, 2, 3]])
    scores = model(tokens)
    other = model(tokens.at[0, 1].set(6))
    np.testing.assert_allclose(scores[0, 4:], other[0, 4:], rtol=1e-5)  # beyond the slots
    assert not np.allclose(scores[0, 3], other[0, 3])
    first, tape = model.read(tokens[:, :4])
    rest, _ = model.read(tokens[:, 4:], None, tape)
    np.testing.assert_allclose(jnp.concatenate([first, rest], 1), model.read(tokens)[0], rtol=1e-5, atol=1e-6)

    def value(model, cut):  # of the last word
        return jnp.sum(
            model.read(tokens[:, cut:], None, model.read(tokens[:, :cut])[1] if cut else None)[0][0, -1] ** 2
        )

    whole, parted = (nnx.grad(partial(value, cut=cut))(model)["embedding"]["table"][...] for cut in (0, 5))
    np.testing.assert_allclose(whole, parted, rtol=1e-5, atol=1e-7)
    assert whole[tokens[0, 3]].any() and not whole[6].any()
    state = model.start(1, 99)
    for t in range(6):
        state, one = model.step(state, tokens[:, t])
        np.testing.assert_allclose(one, scores[:, t], rtol=1e-5, atol=1e-6)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="in_features: expected 8, twice hidden_features, .* got 6"):
        SoftMemory(6, 4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="span: expected the number of words that core 'memn2n' remembers, got None"):
        LanguageModel(6, 8, 4, core="memn2n", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="features: expected 600, twice hidden_features, for core 'memn2n', got 150"):
        LanguageConfig(core="memn2n", tape="carried")
    with pytest.raises(ValueError, match="span: expected at least 1 for core 'memn2n', which remembers so many words"):
        LanguageConfig(core="memn2n", features=600)
