# SPDX-License-Identifier: Apache-2.0
"""Steps, epochs and seeds."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from memjax.models import MemNN
from memjax.training import StoryBatch, accuracy, create_state, make_epoch, make_memnn_loss, make_step, with_params

WORDS, QUESTIONS = 6, 11


def corpus(seed=0, questions=QUESTIONS):
    """Stories in which the answer is a word of the one sentence that shares a word with the question."""
    rng = np.random.default_rng(seed)
    sentences = np.array([[0, 0], *([2 + who, 5 + where] for who in range(3) for where in range(3))])
    slots = np.stack([[1 + 3 * who + rng.integers(3) for who in rng.permutation(3)] for _ in range(questions)])
    supports = rng.integers(0, 3, (questions, 1))
    facts = sentences[slots[np.arange(questions), supports[:, 0]]]
    return StoryBatch(*map(jnp.asarray, (sentences, slots, facts[:, :1], supports, facts[:, 1:])))


@functools.cache
def parts(batch_size=4):
    model = MemNN(WORDS, 8, hops=1, rngs=nnx.Rngs(0))
    optimizer = optax.adam(0.05)
    step = make_step(model, optimizer, make_memnn_loss(loss="softmax", negatives="all"))
    return model, optimizer, step, make_epoch(step, batch_size)


def start(seed=0):
    model, optimizer, _, _ = parts()
    return create_state(model, optimizer, jax.random.key(seed))


def assert_same(one, other, **tolerance):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 0, "atol": 0}))


@pytest.mark.thorough
def test_epochs_learn_the_task():
    model, _, _, epoch = parts()
    run = jax.jit(epoch)
    state = start()
    first = None
    for _ in range(20):
        state, metrics = run(state, corpus(questions=60))
        first = first or metrics
    assert metrics["loss"] < 0.2 * first["loss"]
    assert accuracy(with_params(model, state.params), corpus(1))["accuracy"] == 1


@pytest.mark.thorough
def test_each_seed_has_its_own_order_and_negatives():
    model, optimizer, _, epoch = parts()
    states = [dataclasses.replace(start(), key=jax.random.key(seed)) for seed in (0, 1)]
    ends = [jax.jit(epoch)(state, corpus())[0].params["output"]["words"]["weights"] for state in states]
    assert not np.allclose(*ends)
    step = jax.jit(make_step(model, optimizer, make_memnn_loss()))
    assert step(states[0], corpus())[1]["loss"] != step(states[1], corpus())[1]["loss"]


@pytest.mark.thorough
def test_an_epoch_is_its_steps_and_each_epoch_has_its_own_order():
    _, _, step, epoch = parts()
    seen = []

    class Recorder(StoryBatch):
        def take(self, indices):
            jax.debug.callback(lambda at: seen.append(tuple(at.tolist())), indices, ordered=True)
            return StoryBatch(*(getattr(self, name) for name in StoryBatch.__dataclass_fields__)).take(indices)

    jax.tree_util.register_pytree_node(
        Recorder,
        lambda c: (tuple(getattr(c, name) for name in StoryBatch.__dataclass_fields__), None),
        lambda _, leaves: Recorder(*leaves),
    )
    recorder = Recorder(*(getattr(corpus(), name) for name in StoryBatch.__dataclass_fields__))
    state = start()
    expected = state
    for number in range(2):
        state, metrics = epoch(state, recorder)
        jax.effects_barrier()
        order = seen[2 * number :]
        assert len(order) == QUESTIONS // 4 and len(set(sum(order, ()))) == 8, "each question at most once"
        losses = []
        for indices in order:
            expected, one = jax.jit(step)(expected, corpus().take(jnp.array(indices)))
            losses.append(one["loss"])
        assert_same(state, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(metrics["loss"], np.mean(losses), rtol=1e-5)
    assert seen[:2] != seen[2:]


def test_seeds_side_by_side_are_seeds_alone():
    model, optimizer, _, epoch = parts()
    keys = jax.random.split(jax.random.key(5), 3)
    together = jax.vmap(lambda key: create_state(model, optimizer, key))(keys)
    together, _ = jax.jit(jax.vmap(epoch, in_axes=(0, None)))(together, corpus())
    for number, key in enumerate(keys):
        alone, _ = jax.jit(epoch)(create_state(model, optimizer, key), corpus())
        assert_same(jax.tree.map(lambda leaf, n=number: leaf[n], together), alone, rtol=1e-5, atol=1e-6)
    assert not np.allclose(
        together.params["output"]["words"]["weights"][0], together.params["output"]["words"]["weights"][1]
    )


def test_the_same_seed_gives_the_same_bits_and_batches_of_one_shape_compile_once():
    _, _, step, _ = parts()
    traces = []

    @functools.partial(jax.jit, donate_argnums=0)
    def counted(state, batch):
        traces.append(1)
        return step(state, batch)

    ends = []
    for _ in range(2):
        state = start()
        for at in range(3):
            state, _ = counted(state, corpus().take(jnp.arange(at, at + 4)))
        ends.append(state)
    assert_same(*ends)
    assert len(traces) == 1


def test_a_donated_state_is_used_again():
    _, _, step, _ = parts()
    state = start()
    old = state.params["output"]["words"]["weights"]
    jax.jit(step, donate_argnums=0)(state, corpus())
    assert old.is_deleted()


def test_sampled_negatives_change_with_the_step_only():
    model, optimizer, _, _ = parts()
    step = jax.jit(make_step(model, optimizer, make_memnn_loss()))
    state = start()
    again, later = step(state, corpus())[1], step(state.replace(step=state.step + 1), corpus())[1]
    assert step(state, corpus())[1]["loss"] == again["loss"]
    assert later["loss"] != again["loss"]


def test_a_batch_checks_its_arrays():
    fields = {name: np.zeros((2, 1), np.int32) for name in StoryBatch.__dataclass_fields__}
    fake = type("Fake", (), fields)
    assert len(StoryBatch.from_stories(fake)) == 2
    with pytest.raises(ValueError, match="supports: expected 2 questions, as slots, got 3"):
        StoryBatch.from_stories(type("Fake", (), {**fields, "supports": np.zeros((3, 1))}))
    with pytest.raises(ValueError, match=r"answers: expected 2 axes"):
        StoryBatch.from_stories(type("Fake", (), {**fields, "answers": np.zeros(2)}))


def test_an_optimizer_that_begins_with_the_parameters_can_be_donated():
    model, *_ = parts()
    optimizer = optax.contrib.prodigy()
    step = jax.jit(make_step(model, optimizer, make_memnn_loss(loss="softmax", negatives="all")), donate_argnums=0)
    state, _ = step(create_state(model, optimizer, jax.random.key(0)), corpus().take(jnp.arange(4)))
    assert int(state.step) == 1


def test_the_memories_of_stories_can_be_donated():
    memories = corpus().memory()
    forget = jax.jit(jax.vmap(lambda memory: memory.replace(values=memory.values + 1)), donate_argnums=0)
    assert (forget(memories).values == corpus().memory().keys + 1).all()
