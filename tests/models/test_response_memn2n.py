# SPDX-License-Identifier: Apache-2.0
"""The Memory Network for dialogs: the equations; empty slots, order, no memory; types of entities."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.memory import empty, gather, write_many
from memjax.models import Candidates, ResponseMemN2N

_spec = importlib.util.spec_from_file_location("reference", pathlib.Path(__file__).parents[1] / "reference.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

W, D = 7, 4
ONLY_THOROUGH = pytest.mark.thorough
TOLD = jnp.array([[2, 3, 0], [4, 1, 5], [2, 8, 8]])
QUESTION = jnp.array([2, 6, 1])
CANDIDATES = Candidates(
    tokens=jnp.array([[3, 4], [5, 0], [1, 7]]),
    entities=jnp.array([[0, 2], [1, -1], [-1, -1]]),
    types=jnp.array([1, 0, 1]),
)
PRESENT = jnp.array([True, False, True])


def model_of(places="index", num_types=2, **options):
    model = ResponseMemN2N(
        W, D, num_types=num_types, places=places, num_places=2, rngs=nnx.Rngs(1), **{"hops": 2, **options}
    )
    model.follow[...] = jnp.asarray(np.random.default_rng(0).standard_normal((D, D)), jnp.float32)
    return jax.tree.map(lambda leaf: leaf, model)


@jax.jit
def respond(model, memory, present=PRESENT):
    return model(QUESTION, memory, CANDIDATES, present)


@jax.jit
def memory_of(model, told=TOLD):
    keys = model.embed(told)
    return write_many(empty(5, keys[0], told[0]), keys, told)


def test_a_mask_in_a_call():
    model = model_of("age")
    memory = memory_of(model)
    masked = model(QUESTION, memory, CANDIDATES, PRESENT, jnp.array([True, False, True, False, False]))
    kept = respond(model, gather(memory, jnp.array([0, 9, 2, 9, 9])))
    np.testing.assert_allclose(masked.scores, kept.scores, rtol=1e-5)


@pytest.mark.parametrize(
    ("places", "expected"), [pytest.param("index", [0, 1, 1], marks=pytest.mark.thorough), ("age", [1, 1, 0])]
)
def test_scores_and_weights_are_those_of_the_equations(places, expected):
    model = model_of(places)

    def rows(param):
        return np.concatenate([np.zeros((2, D)), np.asarray(param[...], float)])

    embeddings = {"A": rows(model.words), "W": rows(model.response_words)}
    embeddings |= {"places": np.asarray(model.place_words[...]), "types": np.asarray(model.type_words[...])}
    matched = [[1, 1], [], []]  # entities 0 and 2 are there, 1 is not
    weights, scores = reference.response_scores(
        embeddings,
        np.asarray(model.follow[...], float),
        2,
        list(zip(TOLD.tolist(), expected, strict=True)),
        QUESTION.tolist(),
        list(zip(CANDIDATES.tokens.tolist(), matched, strict=True)),
    )
    found = respond(model, memory_of(model))
    np.testing.assert_allclose(found.hops.weights[:, :3], weights, rtol=1e-5)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5, atol=1e-6)
    assert not found.hops.weights[:, 3:].any()


@pytest.mark.parametrize("places", ["age", *(pytest.param(p, marks=ONLY_THOROUGH) for p in ("index", "none"))])
def test_empty_slots_and_their_order_change_nothing(places):
    model = model_of(places)
    memory = memory_of(model)
    order = jnp.array([9, 2, 0, 9, 1])
    plain, moved = (respond(model, mem) for mem in (memory, gather(memory, order)))
    np.testing.assert_allclose(plain.scores, moved.scores, rtol=1e-5)
    np.testing.assert_allclose(moved.hops.weights[:, [1, 2, 4]], plain.hops.weights[:, [2, 0, 1]], rtol=1e-5)


def test_of_an_empty_memory_nothing_is_read():
    model = model_of("age")
    found = respond(model, gather(memory_of(model), jnp.full(5, -1)))
    np.testing.assert_allclose(found.hops.query, model.embed(QUESTION), rtol=1e-6)
    assert not found.hops.weights.any()


@pytest.mark.thorough
def test_an_empty_memory_has_no_gradient():
    model = model_of()
    nothing = gather(memory_of(model), jnp.full(5, -1))
    grads = jax.jit(nnx.grad(lambda model: respond(model, nothing).scores.sum()))(model)
    assert not grads.follow[...].any() and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.thorough
def test_turns_share_a_memory_of_the_whole_dialog():
    """A mask and the time of the turn do what a memory of what was told before does."""
    for places in ("index", "age"):
        model = model_of(places)
        whole, before = memory_of(model), memory_of(model, TOLD[:2])
        read = jax.jit(lambda model, *args: model.read(model.embed(QUESTION), *args).query)
        shared = read(model, whole, jnp.arange(5) < 2, jnp.int32(2))
        alone = read(model, before)
        np.testing.assert_allclose(shared, alone, rtol=1e-6)


def test_types_count_only_where_they_are_there():
    model = model_of("age")
    memory = memory_of(model)
    plain, matched = (respond(model, memory, present) for present in (jnp.zeros(3, bool), PRESENT))
    added = np.asarray(matched.scores - plain.scores)
    np.testing.assert_allclose(added[1:], [0, 0], atol=1e-6)
    np.testing.assert_allclose(added[0], 2 * model.type_words[1] @ plain.hops.query, rtol=1e-4)


@pytest.mark.thorough
def test_without_types_entities_are_words():
    model = model_of(num_types=0)
    query = model.embed(QUESTION)[None]
    assert model.type_words is None
    unmatched = model.respond(query, CANDIDATES)
    np.testing.assert_array_equal(model.respond(query, CANDIDATES, PRESENT[:, None]), unmatched)


def test_sizes_and_switches_are_checked():
    with pytest.raises(ValueError, match="hops: expected an integer of at least 1, got 0"):
        model_of(hops=0)
    with pytest.raises(ValueError, match="places: expected one of .* did you mean 'age'"):
        model_of("ages")
    with pytest.raises(ValueError, match="num_types: expected at least 0, got -1"):
        model_of(num_types=-1)
