# SPDX-License-Identifier: Apache-2.0
"""The Memory Network over a knowledge base against NumPy loops."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.encoding import random_codes
from memjax.models import FactMemNN

_spec = importlib.util.spec_from_file_location("reference", pathlib.Path(__file__).parents[1] / "reference.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

TOKENS, TRAINED, STEPS, FEATURES = 9, 5, 4, 6


@pytest.mark.parametrize("match", [True, False])
def test_scores_follow_the_equations_at_each_hop(match):
    model = FactMemNN(TOKENS, TRAINED, STEPS, FEATURES, match=match, code_scale=2.5, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    model.words[...] = jnp.asarray(rng.standard_normal((2, TRAINED, FEATURES)), jnp.float32)
    model.follow_weights[...] = jnp.array([1.5, -0.5])
    codes = np.asarray(random_codes(jnp.arange(TOKENS + 2), FEATURES), float)
    rows = {name: codes.copy() for name in ("question", "memory")}
    rows["question"] *= 2.5
    for role, name in enumerate(("question", "memory")):
        rows[name][2 : TRAINED + 2] = model.words[role]
    rows["steps"] = np.asarray(model.steps[...], float)
    weights = {token: match * (1.0 if token < TRAINED + 2 else 8.0) for token in range(2, TOKENS + 2)}
    question, keys = rng.integers(0, TOKENS + 2, 4), rng.integers(0, TOKENS + 2, (5, 3))
    chain = []
    query = model.query(jnp.asarray(question))
    for step in (3, 0, None):
        expected = [reference.fact_score(rows, weights, chain, question, key, (1.5, -0.5)) for key in keys]
        np.testing.assert_allclose(model.score(query, jnp.asarray(keys)), expected, rtol=2e-5, atol=1e-4)
        vector = np.pad(model.vector(query), (2, 0))
        np.testing.assert_allclose(vector[keys].sum(axis=1), expected, rtol=2e-5, atol=1e-4)
        if step is not None:
            chain.append((step, *rng.integers(0, TOKENS + 2, (2, 2))))
            query = model.follow(query, jnp.int32(step), *map(jnp.asarray, chain[-1][1:]))


@pytest.mark.thorough
def test_a_name_that_was_never_seen_matches_itself():
    model = FactMemNN(2000, 10, 2, 128, match=False, rngs=nnx.Rngs(0))
    phrases = jnp.arange(100, 2000, 100)[:, None]
    vectors = jax.vmap(lambda phrase: model.vector(model.query(phrase)))(phrases)
    assert jnp.argmax(vectors, axis=1).tolist() == (phrases[:, 0] - 2).tolist()


def test_codes_are_the_same_at_any_place_and_near_orthogonal():
    codes = random_codes(jnp.arange(500), 256)
    np.testing.assert_array_equal(random_codes(jnp.array([[7], [400]]), 256)[:, 0], codes[jnp.array([7, 400])])
    products = np.asarray(codes @ codes.T)
    np.testing.assert_allclose(np.diag(products), 1, rtol=1e-5)
    apart = products[~np.eye(500, dtype=bool)]
    assert abs(apart.mean()) < 0.002 and abs(apart.std() - 1 / 16) < 0.002


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((4, 5, 2, 8), "num_tokens: expected at least num_trained=5, got 4"), ((9, 5, 0, 8), "num_steps: expected")],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        FactMemNN(*sizes, rngs=nnx.Rngs(0))
