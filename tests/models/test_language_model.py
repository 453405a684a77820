# SPDX-License-Identifier: Apache-2.0
"""Language models: one word at a time is all at once; padding, dropout, tied scores."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.losses import word_log_probs, word_loss
from memjax.models import LanguageModel

_spec = importlib.util.spec_from_file_location("reference", pathlib.Path(__file__).parents[1] / "reference_lstmn.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

W, D, H = 5, 3, 4
TOKENS = jnp.array([[2, 3, 6, 4], [5, 1, 0, 0]])
LENGTHS = jnp.array([4, 2])


def make(**options):
    return LanguageModel(W, D, H, rngs=nnx.Rngs(0), **options)


@pytest.mark.parametrize(("core", "span"), [("lstm", None), ("lstmn", None), ("lstmn", 2)])
def test_word_by_word_is_all_at_once(core, span):
    layers = {"num_layers": 2, "skip_connections": True} if span else {}
    model = make(core=core, span=span, **layers)
    assert [layer.gates_input.shape[0] for layer in model.core.layers] == [D, H + D][: len(model.core.layers)]
    state, found = model.start(2, 4), []
    step = jax.jit(model.step)
    for tokens in TOKENS.T:
        state, scores = step(state, tokens)
        found.append(scores)
    whole = jax.jit(lambda tokens: model(tokens))(TOKENS)
    np.testing.assert_allclose(jnp.stack(found, axis=1), whole, rtol=1e-5, atol=1e-6)


def test_scores_are_those_of_the_equations():
    model = make(core="lstm")
    table, kernel, bias = (np.asarray(x, np.float64) for x in (model.embedding.table[...], *model.output()))
    layer = model.core.layers[0]
    weights = [np.asarray(x[...], np.float64) for x in (layer.gates_input, layer.gates_read, layer.gates_bias)]
    hidden, _ = reference.lstm(*weights, table[np.asarray(TOKENS[0])], np.zeros(H), np.zeros(H))
    np.testing.assert_allclose(model(TOKENS)[0], hidden @ kernel + bias, rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
def test_padding_changes_nothing():
    model = make(core="lstm")
    wider = jnp.pad(TOKENS, ((0, 1), (0, 2)), constant_values=3)
    one, other = model(TOKENS, LENGTHS), model(wider, jnp.array([4, 2, 0]))
    np.testing.assert_allclose(one[0], other[0, :4], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one[1, :2], other[1, :2], rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_log_probs_are_those_of_the_scores():
    model = make(core="lstm", tied=True)  # H is not D: projected
    targets = jnp.roll(TOKENS, 1)
    expected = jnp.take_along_axis(jax.nn.log_softmax(model(TOKENS)), targets[..., None], axis=2)[..., 0]
    np.testing.assert_allclose(model.log_probs(TOKENS, targets), expected, rtol=1e-5)
    assert model.kernel is None and model.projection.shape == (H, D)
    assert LanguageModel(W, D, D, tied=True, rngs=nnx.Rngs(0)).projection is None


@pytest.mark.thorough
def test_dropout_wants_a_key_and_has_a_mask_for_each_step():
    model = make(core="lstm", dropout=0.5)
    np.testing.assert_array_equal(model.read(TOKENS)[0], make(core="lstm").read(TOKENS)[0])
    dropped, _ = model.read(jnp.full((50, 4), 2), key=jax.random.key(1))
    off = np.asarray(dropped == 0)
    differ = (off != off[:, :1]).any(axis=(0, 2))  # from the first step
    assert differ.tolist() == [False, True, True, True] and 0.3 < off.mean() < 0.7


@pytest.mark.thorough
def test_word_dropout_takes_whole_words():
    model = make(core="lstm", word_dropout=0.5)
    nnx.update(model, jax.tree.map(jnp.ones_like, nnx.state(model)))
    words = jnp.arange(2, W + 2)[:, None]  # each a text of its own
    hidden = np.asarray(model.read(words, key=jax.random.key(0))[0][:, 0, 0])
    plain = np.asarray(model.read(words)[0][:, 0, 0])
    without = np.asarray(model.read(jnp.zeros((1, 1), jnp.int32))[0][0, 0, 0])
    gone = np.isclose(hidden, without)
    assert 0 < gone.sum() < W and (hidden[~gone] > plain[~gone]).all()


def test_the_loss_in_blocks_is_the_loss():
    rng = np.random.default_rng(0)
    hidden, kernel, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((7, 3), (3, 9), (9,)))
    targets, weights = rng.integers(0, 9, 7), rng.random(7).astype(np.float32)
    expected = reference.word_loss(hidden, kernel, bias, targets, weights)
    for block in (1, 3, 7, 100):
        np.testing.assert_allclose(word_loss(hidden, kernel, bias, targets, weights, block), expected, rtol=1e-5)
    assert word_loss(hidden[:0], kernel, bias, targets[:0], weights[:0]) == 0
    weights[3] = 0  # a word that is left out may be none, and what was read there no number
    nothing = np.where(weights[:, None] == 0, np.nan, hidden).astype(np.float32)
    grads = [
        jax.value_and_grad(word_loss, (0, 1, 2))(states, kernel, bias, words, weights)
        for states, words in ((hidden, targets), (nothing, np.where(weights == 0, -100, targets)))
    ]
    jax.tree.map(np.testing.assert_array_equal, *grads)
    masked = np.where(np.arange(9) == 0, -np.inf, bias).astype(np.float32)  # padding is never the next word
    assert np.isfinite(word_loss(hidden, kernel, masked, np.where(weights == 0, 0, targets.clip(1)), weights))
    with jax.enable_x64(True):  # weights of another dtype
        wide = jax.grad(word_loss)(hidden, kernel, bias, targets, weights.astype(np.float64))
    np.testing.assert_allclose(wide, grads[0][1][0], rtol=1e-5, atol=1e-6)
    # In bfloat16 products, the gradient is that of the float32 loss but for rounding; all of it is differentiated.
    grads = [
        jax.grad(lambda *args, dtype=dtype: 3 * word_loss(*args, targets, weights, 3, dtype), (0, 1, 2))(
            *map(jnp.asarray, (hidden, kernel, bias))
        )
        for dtype in (None, jnp.bfloat16)
    ]
    for exact, rounded in zip(*grads, strict=True):
        np.testing.assert_allclose(rounded, exact, atol=0.02 * float(jnp.abs(exact).max()))


def test_bad_input_is_said():
    with pytest.raises(ValueError, match=r"core: expected one of .* did you mean 'lstm'"):
        make(core="lstnm")
    with pytest.raises(ValueError, match="dropout: expected a rate of at least 0 and below 1, got 1"):
        make(dropout=1)
    with pytest.raises(ValueError, match="tokens: expected integers"):
        make().embedding(jnp.ones((1, 2)))
    with pytest.raises(ValueError, match=r"kernel: expected shape \(3, 4\), got \(2, 4\)"):
        word_log_probs(jnp.ones((5, 3)), jnp.ones((2, 4)), jnp.ones(4), jnp.zeros(5, int))
    with pytest.raises(ValueError, match=r"targets: expected shape \(5,\)"):
        word_loss(jnp.ones((5, 3)), jnp.ones((3, 4)), jnp.ones(4), jnp.zeros(4, int), jnp.ones(5))
