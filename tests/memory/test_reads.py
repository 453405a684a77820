# SPDX-License-Identifier: Apache-2.0
"""What reads a memory, or marks it, without writing a slot."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import memory as mm


def small_memory(num_slots=4):
    """Slots 0, 2 and 3 hold something, slot 1 was forgotten; one write was dropped."""
    memory = mm.empty(num_slots, {"vector": jnp.zeros(2)}, jnp.int32(0))
    memory = mm.write_many(memory, {"vector": jnp.arange(1.0, 9.0).reshape(4, 2)}, jnp.arange(10, 14))
    memory = mm.write(memory, {"vector": jnp.ones(2)}, jnp.int32(99), lambda memory, key: -1)
    return mm.credit(mm.forget(memory, jnp.array([1])), jnp.array([0, 3]), jnp.array([0.5, 0.25]))


def rows(memory):
    """Slots as tuples, in plain Python."""
    vectors = np.asarray(memory.keys["vector"]).tolist()
    columns = (vectors, memory.values.tolist(), memory.times.tolist(), memory.usage.tolist())
    return list(zip(*columns, strict=True))


def test_empty_takes_arrays_and_shapes_alike():
    key, value = {"a": jnp.ones((2, 3), jnp.bfloat16)}, np.ones(3, np.int32)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (key, value))
    for memory in (mm.empty(5, key, value), mm.empty(5, *shapes)):
        assert (memory.keys["a"].shape, memory.keys["a"].dtype) == ((5, 2, 3), jnp.bfloat16)
        assert (memory.values.shape, memory.values.dtype) == ((5, 3), jnp.int32)
        assert not memory.keys["a"].any() and not memory.values.any() and not memory.usage.any()
        assert (memory.times.tolist(), int(memory.count), int(memory.dropped)) == ([-1] * 5, 0, 0)
        assert memory.num_slots == 5
    assert jax.vmap(lambda _: mm.empty(5, key, value))(jnp.arange(3)).num_slots == 5


def test_valid_is_data():
    assert mm.valid(small_memory()).tolist() == [True, False, True, True]
    assert not mm.valid(mm.empty(3, jnp.zeros(1), jnp.zeros(1))).any()
    # A count past the capacity says nothing about what is held.
    assert not mm.valid(mm.empty(3, jnp.zeros(1), jnp.zeros(1)).replace(count=jnp.int32(9))).any()


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.int8, jnp.uint32])
def test_gather_equals_rows(dtype):
    memory = small_memory()
    slots = [3, 0, 0, 1, 2, 4, 100] + ([-1, -4, -100] if jnp.issubdtype(dtype, jnp.signedinteger) else [])
    nothing = ([0.0, 0.0], 0, -1, 0.0)
    expected = [rows(memory)[slot] if 0 <= slot < 4 else nothing for slot in slots]
    for gather in (mm.gather, jax.jit(mm.gather)):
        found = gather(memory, jnp.array(slots, dtype))
        assert rows(found) == expected
        assert (int(found.count), int(found.dropped)) == (5, 1)
        assert found.num_slots == len(slots)
    batched = jax.vmap(lambda slot: mm.gather(memory, slot))(jnp.array(slots, dtype)[:, None])
    assert rows(jax.tree.map(lambda leaf: leaf[:, 0] if leaf.ndim > 1 else leaf, batched)) == expected


def test_a_slot_that_int32_does_not_hold_is_outside():
    memory = mm.empty(2, jnp.zeros(3), jnp.zeros(3)).replace(times=jnp.array([5, 4]))
    with jax.enable_x64(True):
        assert mm.gather(memory, jnp.array([2**32, 1])).times.tolist() == [-1, 4]
    assert mm.gather(memory, jnp.array([1, 100], jnp.int8)).times.tolist() == [4, -1]


def test_gather_of_empty_memory_is_zero_with_zero_gradient():
    memory = mm.empty(2, jnp.zeros(3), jnp.zeros(3))

    def read(keys):
        return mm.gather(memory.replace(keys=keys), jnp.array([-1, 2, 5])).keys

    assert not read(jnp.full((2, 3), jnp.nan)).any()
    assert not jax.grad(lambda keys: jnp.sum(jnp.exp(read(keys))))(jnp.ones((2, 3))).any()


def test_permuted_slots_permute_every_field():
    memory, order = small_memory(), [2, 0, 3, 1]
    permuted = mm.gather(memory, jnp.array(order))
    assert rows(permuted) == [rows(memory)[slot] for slot in order]
    # The same updates reach the same slots, wherever they lie.
    back = jnp.argsort(jnp.array(order))

    def update(memory, slots):
        memory = mm.credit(memory, slots, jnp.array([0.5, 1.0]))
        return mm.generalize(memory, lambda key, value, x, m: ({"vector": key["vector"] * x}, value + 1), 3.0)

    assert rows(mm.gather(update(permuted, back[jnp.array([0, 2])]), back)) == rows(update(memory, jnp.array([0, 2])))


def test_more_empty_slots_change_nothing():
    small, large = small_memory(), small_memory(num_slots=9)
    assert rows(large) == rows(small) + [([0.0, 0.0], 0, -1, 0.0)] * 5
    scale = jnp.float32(2.0)

    def loss(scale, memory):
        mapped = mm.map_keys(memory, lambda key: jnp.exp(key["vector"] * scale))
        return jnp.sum(mm.generalize(mapped, lambda key, value, x, m: (key + x, value), scale).keys)

    for fn in (loss, jax.grad(loss)):
        assert float(fn(scale, small)) == float(fn(scale, large))


def test_map_keys_changes_structure_and_keeps_empty_slots_zero():
    memory = small_memory()
    mapped = mm.map_keys(memory, lambda key: {"double": key["vector"] * 2, "sum": key["vector"].sum() + 7})
    assert mapped.keys["double"].tolist() == [[2.0, 4.0], [0.0, 0.0], [10.0, 12.0], [14.0, 16.0]]
    assert mapped.keys["sum"].tolist() == [10.0, 0.0, 18.0, 22.0]
    assert rows(mapped.replace(keys=memory.keys)) == rows(memory)
    written = mm.write(mapped, {"double": jnp.ones(2), "sum": jnp.float32(1)}, jnp.int32(5), mm.next_free_slot)
    assert written.keys["sum"].tolist() == [10.0, 1.0, 18.0, 22.0]


def test_credit_adds_to_held_slots_alone():
    memory = small_memory()
    slots, weights = jnp.array([0, 2, 2, 1, -1, 4, -4]), jnp.array([1.0, 0.25, 0.5, 8.0, 8.0, 8.0, 8.0])
    for credit in (mm.credit, jax.jit(mm.credit)):
        credited = credit(memory, slots, weights)
        assert credited.usage.tolist() == [1.5, 0.0, 0.75, 0.25]
        assert rows(credited.replace(usage=memory.usage)) == rows(memory)
    batch = jax.vmap(lambda scale: mm.credit(memory, slots, weights * scale))(jnp.array([1.0, 0.0]))
    assert batch.usage.tolist() == [[1.5, 0.0, 0.75, 0.25], memory.usage.tolist()]


def test_usage_fades_before_credit_is_added():
    memory = small_memory()
    fade = jax.jit(lambda memory, decay: mm.credit(memory, jnp.array([3, 2, 1]), jnp.array([1.0, 0.5, 8.0]), decay))
    assert fade(memory, 0.5).usage.tolist() == [0.25, 0.0, 0.5, 1.125]
    assert fade(memory, 0.0).usage.tolist() == [0.0, 0.0, 0.5, 1.0]
    assert fade(memory, 1.0).usage.tolist() == fade(memory, None).usage.tolist() == [0.5, 0.0, 0.5, 1.25]


def test_errors_say_what_to_do():
    memory = small_memory()
    batch = jax.vmap(lambda _: memory)(jnp.arange(2))
    with pytest.raises(ValueError, match=r"slots: expected 1 axes \[K\], got shape \(\); of a single item"):
        mm.gather(memory, jnp.int32(0))
    with pytest.raises(ValueError, match=r"slots: expected integers, got dtype float32"):
        mm.gather(memory, jnp.zeros(2))
    with pytest.raises(ValueError, match=r"memory.times: expected 1 axes \[N\], got shape \(2, 4\)"):
        mm.map_keys(batch, lambda key: key)
    with pytest.raises(ValueError, match=r"weights: expected shape \(2,\), one for each slot, got \(3,\)"):
        mm.credit(memory, jnp.zeros(2, jnp.int32), jnp.zeros(3))
    with pytest.raises(ValueError, match=r"decay: expected 0 axes \[\], got shape \(4,\)"):
        mm.credit(memory, jnp.zeros(2, jnp.int32), jnp.zeros(2), jnp.ones(4))
