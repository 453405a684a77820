# SPDX-License-Identifier: Apache-2.0
"""Labels: their loss, rows that do not count, planned steps, and vectors of words in the first epoch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from memjax.models import SequenceClassifier
from memjax.models._readers import drop
from memjax.training import (
    FirstUpdates,
    LabelledBatch,
    PairBatch,
    Plan,
    create_state,
    make_label_loss,
    make_planned_steps,
    make_step,
    measure_labels,
    scale_first_updates,
)

BATCH = LabelledBatch(
    jnp.array([[2, 3, 6], [5, 1, 0], [4, 0, 0]]), jnp.array([3, 2, 1]), jnp.array([1, 0, 2])
)  # fmt: skip


class Bag(nnx.Module):
    """As little of a classifier as the loss can tell: the sum of vectors, and scores."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.embedding = nnx.Dict(table=nnx.Param(jnp.asarray(rng.standard_normal((7, 2)), jnp.float32)))
        self.kernel = nnx.Param(jnp.asarray(rng.standard_normal((2, 3)), jnp.float32))

    def __call__(self, tokens, lengths, key=None):
        del key
        counts = (jnp.arange(tokens.shape[1])[None] < lengths[:, None])[..., None]
        return jnp.where(counts, self.embedding.table[...][tokens], 0).sum(1) @ self.kernel[...]


def test_rows_that_do_not_count_change_nothing():
    model, loss = Bag(), make_label_loss(0.1)
    value = jax.jit(lambda batch: loss(model, batch, None))
    some, none = BATCH.take(jnp.array([2, 0]), 3), BATCH.take(jnp.array([2, -1, 0, -1]), 3)
    assert none.lengths.tolist() == [1, 0, 3, 0] and none.labels.tolist() == [2, -1, 1, -1]
    one, other = value(some), value(none)
    np.testing.assert_allclose(one[0], other[0], rtol=1e-6)
    assert other[1]["examples"] == 2
    np.testing.assert_allclose(one[1]["nats"], other[1]["nats"], rtol=1e-6)
    nothing, sums = value(BATCH.take(jnp.array([-1] * 4), 3))
    assert np.isfinite(nothing) and sums["examples"] == 0 and sums["right"] == 0


def test_the_loss_is_the_mean_and_the_penalty():
    model = Bag()
    log_probs = jax.nn.log_softmax(model(*BATCH.inputs))
    nats = -sum(log_probs[row, label] for row, label in enumerate(BATCH.labels))
    weights = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    square = float((weights["kernel"] ** 2).sum())
    value, sums = make_label_loss(0.5)(model, BATCH, jax.random.key(0))
    np.testing.assert_allclose(value, nats / 3 + 0.25 * square, rtol=1e-6)
    assert sums["right"] == sum(log_probs.argmax(1) == BATCH.labels) and sums == measure_labels(model, BATCH)
    with pytest.raises(ValueError, match="l2: expected a number of at least 0"):
        make_label_loss(-1.0)


def test_a_loss_uses_its_key_for_dropout():
    model = SequenceClassifier(5, 3, 4, 3, core="lstm", dropout=0.5, rngs=nnx.Rngs(0))
    loss = jax.jit(lambda key: make_label_loss()(model, BATCH, key)[0])
    assert len({float(loss(jax.random.key(number))) for number in range(3)}) > 1


def test_dropout_drops_its_share_and_keeps_the_mean():
    dropped = np.asarray(drop(jnp.ones((100, 100)), 0.2, jax.random.key(0), 1))
    assert 0.17 < (dropped == 0).mean() < 0.23
    np.testing.assert_allclose(dropped[dropped != 0], 1.25, rtol=1e-6)


def test_pairs_are_taken_together():
    pairs = PairBatch(BATCH.tokens, BATCH.lengths, BATCH.tokens[:, ::-1], BATCH.lengths, BATCH.labels)
    taken = pairs.take(jnp.array([1, -1]), 2)
    assert len(taken) == 2 and taken.hypotheses.tolist()[0] == [0, 1] and taken.hypothesis_lengths.tolist() == [2, 0]
    assert [part.shape for part in taken.inputs] == [(2, 2), (2, 2), (2,), (2,)]


def test_vectors_found_change_less_in_the_first_epoch():
    params = {"embedding": {"table": jnp.zeros((3, 2))}, "head": jnp.zeros(2)}
    grads = jax.tree.map(jnp.ones_like, params)
    optimizer = optax.chain(optax.adam(0.1), scale_first_updates())
    adam, _ = optimizer.init(params)
    state = (adam, FirstUpdates(jnp.int32(2), jnp.array([1.0, 0.35, 0.0])))
    changes = []
    for _ in range(3):
        updates, state = optimizer.update(grads, state, params)
        changes.append(updates["embedding"]["table"][:, 0] / -0.1)
        np.testing.assert_allclose(updates["head"], -0.1, rtol=1e-4)
    np.testing.assert_allclose(changes, [[1, 0.35, 0], [1, 0.35, 0], [1, 1, 1]], rtol=1e-4)
    unset, _ = scale_first_updates().update(grads, scale_first_updates().init(params))
    np.testing.assert_array_equal(unset["embedding"]["table"], 1)


@pytest.mark.thorough
def test_planned_steps_are_a_plain_loop():
    model, optimizer = SequenceClassifier(5, 3, 4, 3, core="lstm", rngs=nnx.Rngs(0)), optax.adam(0.01)
    step = make_step(model, optimizer, make_label_loss(0.01))
    rows, kinds = [[0, 1], [2, -1], [-1, -1]], [1, 0, 2]  # the last does nothing
    state = create_state(model, optimizer, jax.random.key(0))
    planned, sums = jax.jit(make_planned_steps(step, (1, 3)))(state, BATCH, Plan(jnp.array(kinds), jnp.array(rows)))
    nats = 0.0
    for chosen, num_steps in (([0, 1], 3), ([2], 1)):
        state, metrics = jax.jit(step)(state, BATCH.take(jnp.array(chosen), num_steps))
        nats += metrics["nats"]
    assert planned.step == state.step == 2 and sums["examples"] == 3
    np.testing.assert_allclose(sums["nats"], nats, rtol=1e-5)
    for one, other in zip(jax.tree.leaves(planned.params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
