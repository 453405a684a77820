# SPDX-License-Identifier: Apache-2.0
"""Training on a batch that devices divide, and checkpoints that others restore. Run by test_devices.py."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from memjax import memory as mm
from memjax import search
from memjax.losses import word_loss
from memjax.models import MemNN
from memjax.nn import LSTMN
from memjax.training import (
    StoryBatch,
    create_state,
    load_pytree,
    make_epoch,
    make_memnn_loss,
    make_step,
    save_pytree,
)

S, BATCH, WORDS = 8, 16, 6
DATA = PartitionSpec("data")


def corpus(questions):
    rng = np.random.default_rng(0)
    sentences = np.array([[0, 0], *([2 + who, 5 + where] for who in range(3) for where in range(3))])
    slots = np.stack([[1 + 3 * who + rng.integers(3) for who in rng.permutation(3)] for _ in range(questions)])
    supports = rng.integers(0, 3, (questions, 1))
    facts = sentences[slots[np.arange(questions), supports[:, 0]]]
    return StoryBatch(*map(jnp.asarray, (sentences, slots, facts[:, :1], supports, facts[:, 1:])))


def memnn():
    """State, corpus and epoch of a Memory Network."""
    model, optimizer = MemNN(WORDS, 8, hops=1, rngs=nnx.Rngs(0)), optax.adam(0.05)
    epoch = make_epoch(make_step(model, optimizer, make_memnn_loss()), BATCH)
    return create_state(model, optimizer, jax.random.key(0)), corpus(2 * BATCH), epoch


def lstmn():
    """State, batch and step of an LSTMN."""
    model, optimizer = LSTMN(3, 4, rngs=nnx.Rngs(0)), optax.adam(0.05)

    def loss(model, batch, key):
        return jnp.mean((model(batch["inputs"], batch["lengths"]) - batch["targets"]) ** 2), {}

    rng = np.random.default_rng(1)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)  # noqa: E731
    batch = {"inputs": draw(BATCH, 6, 3), "targets": draw(BATCH, 6, 4), "lengths": jnp.arange(BATCH) % 7}
    return create_state(model, optimizer, jax.random.key(0)), batch, make_step(model, optimizer, loss)


def test_each_device_scores_its_own_words():
    mesh = jax.make_mesh((S,), ("data",), axis_types=(AxisType.Auto,))
    whole, data = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, DATA)
    rng = np.random.default_rng(2)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)  # noqa: E731
    targets = jnp.asarray(rng.integers(0, 50, 120))  # no full blocks
    args = (draw(120, 6), draw(6, 50), draw(50), targets, jnp.abs(draw(120)))
    divided = jax.device_put(args, (data, whole, whole, data, data))
    run = jax.jit(jax.value_and_grad(lambda *args: word_loss(*args, block=32), argnums=(0, 1, 2)))
    got = run(*divided)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(run(*args)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert got[1][0].sharding.is_equivalent_to(data, 2)
    operations = [run.lower(*each).compile().cost_analysis()["flops"] for each in (divided, args)]
    assert operations[0] < operations[1] / (S - 2)


@pytest.mark.parametrize(
    ("build", "kind"),
    [(memnn, AxisType.Explicit), pytest.param(lstmn, AxisType.Auto, marks=pytest.mark.thorough)],
    ids=["memnn epoch", "lstmn step"],
)
def test_training_equals_one_device(build, kind):
    mesh = jax.make_mesh((S,), ("data",), axis_types=(kind,))
    whole = NamedSharding(mesh, PartitionSpec())
    state, batch, run = build()
    # Under an Explicit mesh a function must say how its arrays are divided, unless it is left to XLA.
    plain, divided = jax.jit(run), jax.jit(jax.sharding.auto_axes(run, out_sharding=whole))
    expected, got = state, jax.device_put(state, whole)
    spread = batch.shard(mesh, "data") if build is memnn else jax.device_put(batch, NamedSharding(mesh, DATA))
    for _ in range(2):
        expected, metrics = plain(expected, batch)
        got, ours = divided(got, spread)
    for one, other in zip(
        jax.tree.leaves((got.params, ours)), jax.tree.leaves((expected.params, metrics)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        assert one.sharding.is_fully_replicated
    assert "all-reduce" in divided.lower(got, spread).compile().as_text()


def test_a_batch_that_cannot_be_divided():
    mesh = jax.make_mesh((S,), ("data",))
    with pytest.raises(
        ValueError, match="questions: expected a multiple of 8.*'data', got 12; leave some out with take"
    ):
        corpus(12).shard(mesh, "data")
    with pytest.raises(ValueError, match=r"axis: expected one of \['data'\], got 'slots'"):
        corpus(16).shard(mesh, "slots")


@pytest.mark.parametrize(("saved", "loaded"), [(8, 2), pytest.param(8, 1, marks=pytest.mark.thorough), (1, 8)])
def test_a_divided_memory_is_loaded_on_other_devices(tmp_path, saved, loaded):
    make = lambda: mm.empty(16, jnp.zeros(3), jnp.int32(0))  # noqa: E731
    draw = jax.random.normal(jax.random.key(0), (11, 3))
    memory = mm.write_many(make(), draw, jnp.arange(11))
    meshes = [jax.make_mesh((size,), ("slots",), devices=jax.devices()[:size]) for size in (saved, loaded)]
    save_pytree(tmp_path, search.shard_memory(meshes[0], "slots", memory))
    like = search.shard_memory(meshes[1], "slots", jax.eval_shape(make))
    got = load_pytree(tmp_path, like)
    assert got.keys.sharding == like.keys.sharding and len(got.keys.addressable_shards) == loaded
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(got), jax.device_get(memory))
