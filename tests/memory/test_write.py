# SPDX-License-Identifier: Apache-2.0
"""Writes against a memory of plain Python lists, and under every transformation of JAX."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from memjax import memory as mm

N = 4  # slots
BUCKET = 2  # slots of a bucket


class Oracle:
    """The contract of a memory, one slot after the other; imports nothing of memjax."""

    def __init__(self):
        self.slots = [None] * N  # (id, vector, value, time, usage)
        self.count = self.dropped = 0

    def choose(self, name, key):
        free = [i for i in range(N) if self.slots[i] is None]
        if name == "next":
            return self.count
        if name == "oldest":
            return self.count % N
        if name == "named":
            return key["id"]
        if name == "hashed":
            own = [i for i in range(N) if i // BUCKET == key["id"]]
            free = [i for i in own if i in free]
            return min(free or own, key=lambda i: -1 if i in free else self.slots[i][3], default=N)
        if free:
            return free[0]
        return N if name == "free" else min(range(N), key=lambda i: (self.slots[i][4], self.slots[i][3]))

    def write(self, name, key, value, where=True):
        if not where:
            return
        slot = self.choose(name, key)
        if 0 <= slot < N:
            self.slots[slot] = (key["id"], key["vector"], value, self.count, 0.0)
        else:
            self.dropped += 1
        self.count += 1

    def forget(self, slots):
        for slot in slots:
            if 0 <= slot < N:
                self.slots[slot] = None

    def credit(self, slots, weights):
        for slot, weight in zip(slots, weights, strict=True):
            if 0 <= slot < N and self.slots[slot] is not None:
                key, vector, value, time, usage = self.slots[slot]
                self.slots[slot] = (key, vector, value, time, usage + weight)

    def arrays(self):
        empty = (0, np.zeros(2, np.float32), 0, -1, 0.0)
        ids, vectors, values, times, usage = zip(*(slot or empty for slot in self.slots), strict=True)
        return {
            "id": np.array(ids, np.int32),
            "vector": np.stack(vectors),
            "values": np.array(values, np.int32),
            "times": np.array(times, np.int32),
            "usage": np.array(usage, np.float32),
            "count": np.int32(self.count),
            "dropped": np.int32(self.dropped),
        }


CHOOSERS = {
    "next": mm.next_slot,
    "oldest": mm.oldest_slot,
    "free": mm.next_free_slot,
    "least_used": mm.least_used_slot,
    "hashed": mm.hashed_slot(lambda key: key["id"], BUCKET),
    "named": lambda memory, key: key["id"],
}
KEY = {"id": jax.ShapeDtypeStruct((), jnp.int32), "vector": jax.ShapeDtypeStruct((2,), jnp.float32)}
VALUE = jax.ShapeDtypeStruct((), jnp.int32)


def new_memory(num_slots=N):
    return mm.empty(num_slots, KEY, VALUE)


def key_of(slot, serial):
    return {"id": np.int32(slot), "vector": np.array([serial, -serial], np.float32)}


def stacked(items):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *items)


def arrays(memory):
    return {**memory.keys, **{name: getattr(memory, name) for name in ("values", "times", "usage", "count", "dropped")}}


def assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for leaf, expected_leaf in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert leaf.dtype == expected_leaf.dtype
        np.testing.assert_array_equal(leaf, expected_leaf)


@functools.cache
def jitted_write(name):
    return jax.jit(lambda memory, key, value, where: mm.write(memory, key, value, CHOOSERS[name], where))


@functools.cache
def jitted_write_many(name):
    return jax.jit(lambda memory, keys, values, where: mm.write_many(memory, keys, values, CHOOSERS[name], where))


jitted_forget = jax.jit(mm.forget)
jitted_credit = jax.jit(mm.credit)

slot = st.sampled_from([-N - 1, -N, -1, 0, 1, 2, 3, N, 2 * N, 2**31 - 1])
slots = st.lists(slot, min_size=3, max_size=3)
operation = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(sorted(CHOOSERS)), slot, st.sampled_from([True, True, False])),
    st.tuples(st.just("forget"), slots),
    st.tuples(st.just("credit"), slots, st.lists(st.sampled_from([0.0, 0.25, 0.5]), min_size=3, max_size=3)),
)


@settings(max_examples=80, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(operation, min_size=1, max_size=20))
def test_program_of_operations_equals_oracle(program):
    memory, oracle = new_memory(), Oracle()
    for serial, (name, *rest) in enumerate(program, start=1):
        if name == "write":
            chooser, slot, where = rest
            memory = jitted_write(chooser)(memory, key_of(slot, serial), np.int32(serial), where)
            oracle.write(chooser, key_of(slot, serial), serial, where)
        elif name == "forget":
            memory = jitted_forget(memory, np.array(rest[0], np.int32))
            oracle.forget(rest[0])
        else:
            memory = jitted_credit(memory, np.array(rest[0], np.int32), np.array(rest[1], np.float32))
            oracle.credit(*rest)
        assert_same(arrays(memory), oracle.arrays())


@pytest.mark.parametrize("name", CHOOSERS)
@pytest.mark.parametrize("num_items, masked", [(0, True), (1, False), (11, False), (11, True)])
def test_write_many_equals_loop_bit_for_bit(name, num_items, masked):
    rng = np.random.default_rng(num_items)
    start = new_memory()
    for serial in range(3):  # a memory that is neither empty nor at count 0
        start = jitted_write("oldest")(start, key_of(0, 90 + serial), np.int32(90 + serial), True)
    items = [key_of(rng.choice([-1, 0, 0, 1, 3, N, 2 * N]), serial + 1) for serial in range(num_items)]
    keys = stacked(items) if items else jax.tree.map(lambda leaf: np.zeros((0, *leaf.shape), leaf.dtype), KEY)
    values = np.arange(num_items, dtype=np.int32)
    where = rng.random(num_items) < 0.6 if masked else None
    loop = start
    for serial, key in enumerate(items):
        loop = jitted_write(name)(loop, key, values[serial], True if where is None else bool(where[serial]))
    assert_same(jitted_write_many(name)(start, keys, values, where), loop)
    if masked:
        assert_same(mm.write_many(start, keys, values, CHOOSERS[name], where), loop)  # eager


def test_one_slot_keeps_the_last_of_many():
    vectors = np.arange(14, dtype=np.float32).reshape(7, 2)
    for slot_fn in (mm.oldest_slot, lambda memory, key: 0):
        memory = mm.write_many(mm.empty(1, vectors[0], vectors[0]), vectors, -vectors, slot_fn)
        np.testing.assert_array_equal(memory.keys, vectors[-1:])
        np.testing.assert_array_equal(memory.values, -vectors[-1:])
        assert (memory.times.tolist(), int(memory.count), int(memory.dropped)) == ([6], 7, 0)


@pytest.mark.parametrize("name", CHOOSERS)
def test_vmap_equals_loop(name):
    rng = np.random.default_rng(1)
    items = [[key_of(rng.integers(-1, N + 1), 10 * row + column + 1) for column in range(6)] for row in range(3)]
    keys = stacked([stacked(row) for row in items])  # [3, 6, ...]
    values = rng.integers(0, 99, (3, 6)).astype(np.int32)
    where = rng.random((3, 6)) < 0.7
    start = jax.vmap(lambda _: new_memory())(jnp.arange(3))
    together = jax.vmap(jitted_write_many(name))
    write = jax.vmap(jitted_write(name))
    one_by_one = start
    for column in range(6):
        column_keys = jax.tree.map(lambda leaf, column=column: leaf[:, column], keys)
        one_by_one = write(one_by_one, column_keys, values[:, column], where[:, column])
    loop = [jitted_write_many(name)(new_memory(), stacked(row), values[i], where[i]) for i, row in enumerate(items)]
    assert_same(together(start, keys, values, where), stacked(loop))
    assert_same(one_by_one, stacked(loop))


@pytest.mark.parametrize("name", CHOOSERS)
def test_eager_equals_jit(name):
    eager = traced = new_memory()
    for serial in range(6):
        key, value = key_of(serial % 3, serial + 1), np.int32(serial)
        eager = mm.write(eager, key, value, CHOOSERS[name], serial != 2)
        traced = jitted_write(name)(traced, key, value, serial != 2)
        assert_same(eager, traced)


def test_write_in_scan_carry_and_after_flatten():
    def step(memory, serial):
        key = {"id": serial, "vector": jnp.full(2, serial, jnp.float32)}
        return mm.write(memory, key, serial * 10, mm.oldest_slot), memory.count

    memory, counts = jax.lax.scan(step, new_memory(), jnp.arange(6))
    assert counts.tolist() == [0, 1, 2, 3, 4, 5]
    assert memory.keys["id"].tolist() == [4, 5, 2, 3]
    assert memory.values.tolist() == [40, 50, 20, 30]
    leaves, treedef = jax.tree.flatten(memory)
    restored = jax.tree.unflatten(treedef, [jnp.asarray(np.asarray(leaf)) for leaf in leaves])
    assert_same(step(restored, jnp.int32(6))[0], step(memory, jnp.int32(6))[0])


def test_restored_numpy_leaves_work_like_arrays():
    memory = jitted_write_many("oldest")(
        new_memory(), stacked([key_of(0, i) for i in range(1, 4)]), np.arange(3, dtype=np.int32), None
    )
    restored = jax.tree.map(np.asarray, memory)
    key, at, one = key_of(1, 9), np.array([0, 2, -1]), np.ones(3, np.float32)
    for change in (
        lambda memory: mm.write(memory, key, np.int32(9), mm.least_used_slot),
        lambda memory: mm.write_many(memory, stacked([key, key]), np.arange(2, dtype=np.int32)),
        lambda memory: mm.write_many(memory, stacked([key, key]), np.arange(2, dtype=np.int32), CHOOSERS["hashed"]),
        lambda memory: mm.credit(mm.forget(memory, at[1:]), at, one),
        lambda memory: mm.gather(memory, at),
        lambda memory: mm.map_keys(memory, lambda key: {**key, "vector": key["vector"] + 1}),
        lambda memory: mm.generalize(memory, lambda key, value, x, m: (key, value + x), np.int32(1)),
    ):
        assert_same(change(restored), change(memory))


def test_second_write_does_not_compile_again():
    traces = []

    @jax.jit
    def step(memory, vector):
        traces.append(1)
        return mm.write(memory, vector, jnp.float32(1))

    memory = mm.empty(3, jnp.zeros(2), jnp.float32(0))
    for _ in range(3):
        memory = step(memory, jnp.ones(2))
    memory = mm.generalize(memory, lambda key, value, feature, memory: (key * feature, 2.0), 0.5)
    memory = mm.map_keys(mm.forget(memory, jnp.array([0])), lambda key: key + 1.0)
    step(mm.credit(memory, jnp.array([1]), jnp.ones(1)), jnp.ones(2))
    assert len(traces) == 1


@pytest.mark.parametrize("slot_fn", [mm.next_slot, mm.oldest_slot])
def test_donated_write_is_in_place(slot_fn):
    num_slots = 1000
    step = jax.jit(lambda memory, key, value: mm.write(memory, key, value, slot_fn), donate_argnums=0)
    memory = jax.jit(lambda: mm.empty(num_slots, jnp.zeros(8), jnp.zeros(8)))()
    compiled = step.lower(memory, jnp.ones(8), jnp.ones(8)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < num_slots  # less than a byte for each slot
    if jax.default_backend() == "cpu":
        # Only a parameter or an update in place may have the size of the memory: no copy, no pass.
        made = re.findall(r"= \w+\[1000[\],].*? ([\w-]+)\(", compiled.as_text())
        assert set(made) <= {"parameter", "dynamic-update-slice", "fusion"}
        assert made.count("fusion") == made.count("dynamic-update-slice") == 4  # keys, values, times, usage
    before = [leaf.unsafe_buffer_pointer() for leaf in (memory.keys, memory.values, memory.times, memory.usage)]
    after = step(memory, jnp.ones(8), jnp.ones(8))  # a donation that is not used would warn, and warnings are errors
    assert memory.keys.is_deleted()
    assert before == [leaf.unsafe_buffer_pointer() for leaf in (after.keys, after.values, after.times, after.usage)]


@pytest.mark.parametrize("name", ["oldest", "named"])
@pytest.mark.thorough
def test_gradient_of_write_and_gather_equals_finite_differences(name):
    with jax.enable_x64(True):
        rng = np.random.default_rng(2)
        ids = jnp.array([0, 0, 3, -1, 1, N, 2], jnp.int32)  # two for one slot, two dropped
        where = jnp.array([True, True, True, True, False, True, True])
        table = jnp.asarray(rng.normal(size=(N, 2)))

        def loss(start, vectors, values):
            memory = mm.empty(N, {"id": jnp.int32(0), "vector": jnp.zeros(2)}, jnp.zeros(()))
            memory = memory.replace(
                keys={"id": memory.keys["id"], "vector": start},
                times=jnp.arange(N, dtype=jnp.int32),
                count=jnp.int32(N),
            )
            memory = mm.write_many(memory, {"id": ids, "vector": vectors}, values, CHOOSERS[name], where)
            memory = mm.write(memory, {"id": ids[-1], "vector": values[:2]}, values[0] ** 2, CHOOSERS[name])
            memory = mm.forget(memory, jnp.array([1, 1, -1]))
            memory = mm.map_keys(memory, lambda key: {"vector": jnp.sin(key["vector"])})
            memory = mm.generalize(
                memory, lambda key, value, x, _: ({"vector": key["vector"] * x}, value + x), values[1]
            )
            found = mm.gather(memory, jnp.array([3, 0, 0, -1, N, 2]))
            return jnp.sum(found.keys["vector"] @ table.T) + jnp.sum(found.values**2)

        args = (
            jnp.asarray(rng.normal(size=(N, 2))),
            jnp.asarray(rng.normal(size=(7, 2))),
            jnp.asarray(rng.normal(size=7)),
        )
        check_grads(jax.jit(loss), args, order=1, modes=["fwd", "rev"], atol=1e-6, rtol=1e-6, eps=1e-5)
        unused = jax.jit(jax.grad(loss, argnums=1))(*args)[jnp.array([3, 4, 5])] if name == "named" else jnp.zeros(1)
        assert not unused.any()  # dropped and masked items receive no gradient


def test_masked_write_ignores_nan_in_value_and_gradient():
    start = mm.write(mm.empty(2, jnp.zeros(2), jnp.zeros(2)), jnp.ones(2), jnp.ones(2))

    def loss(memory, key, where):
        return jnp.sum(mm.write(memory, key, key, where=where).keys)

    assert_same(mm.write(start, jnp.full(2, jnp.nan), jnp.full(2, jnp.nan), where=False), start)
    grad = jax.grad(loss, argnums=1)(start, jnp.full(2, jnp.nan), jnp.bool(False))
    assert grad.tolist() == [0.0, 0.0]


def test_bfloat16_stays_bfloat16():
    leaf = jnp.ones(3, jnp.bfloat16)
    memory = mm.empty(4, {"a": leaf}, leaf)
    memory = mm.write_many(memory, {"a": jnp.stack([leaf] * 2)}, jnp.stack([leaf] * 2))
    memory = mm.write(memory, {"a": leaf}, leaf, mm.least_used_slot)
    memory = mm.generalize(memory, lambda key, value, x, m: ({"a": key["a"] + x}, value * 2), leaf)
    memory = mm.gather(mm.credit(mm.forget(memory, jnp.array([1])), jnp.array([0]), leaf[:1]), jnp.array([0, 1, 9]))
    assert memory.keys["a"].dtype == memory.values.dtype == jnp.bfloat16
    assert memory.usage.dtype == jnp.float32
    assert memory.keys["a"][:, 0].tolist() == [2.0, 0.0, 0.0]


def test_generalize_equals_loop_and_leaves_empty_slots():
    memory = mm.write_many(mm.empty(4, jnp.zeros(2), jnp.zeros(())), jnp.arange(6.0).reshape(3, 2), jnp.arange(3.0))
    memory = mm.credit(mm.forget(memory, jnp.array([1])), jnp.array([0]), jnp.array([0.5]))

    def update(key, value, feature, whole):
        return key + feature["shift"] + whole.keys.sum(), value * 2 + 1

    feature = {"shift": jnp.array([1.0, -1.0])}
    updated = mm.generalize(memory, update, feature)
    total = np.asarray(memory.keys).sum()
    for i in range(4):
        held = i in (0, 2)
        key = np.asarray(memory.keys[i]) + [1.0, -1.0] + total if held else np.zeros(2)
        np.testing.assert_allclose(updated.keys[i], key, rtol=1e-6)
        assert float(updated.values[i]) == (2 * float(memory.values[i]) + 1 if held else 0.0)
    for name in ("times", "usage", "count", "dropped"):
        assert_same(getattr(updated, name), getattr(memory, name))


def test_errors_say_what_to_do():
    memory = mm.empty(3, {"a": jnp.zeros(2)}, jnp.zeros((), jnp.int32))
    good = {"a": jnp.zeros(2)}
    batch = jax.vmap(lambda _: memory)(jnp.arange(5))
    cases = [
        (lambda: mm.empty(0, jnp.zeros(2), jnp.zeros(2)), r"num_slots: expected an integer of at least 1, got 0"),
        (lambda: mm.write(memory, {"a": jnp.zeros(3)}, jnp.int32(0)), r"key\['a'\]: expected shape \(2,\).*got \(3,\)"),
        (lambda: mm.write(memory, good, jnp.float32(0)), r"value: expected dtype int32.*astype"),
        (lambda: mm.write(memory, jnp.zeros(2), jnp.int32(0)), r"key: expected the structure of memory.keys"),
        (lambda: mm.write(batch, good, jnp.int32(0)), r"memory.times: expected 1 axes \[N\].*jax.vmap"),
        (lambda: mm.write(memory, good, jnp.int32(0), where=jnp.ones(3, bool)), r"where: expected 0 axes"),
        (lambda: mm.write(memory, good, jnp.int32(0), lambda m, k: 0.5), r"slot_fn: expected an integer scalar"),
        (lambda: mm.write_many(memory, good, jnp.zeros(2, jnp.int32)), r"keys\['a'\]: expected shape \(2, 2\)"),
        (lambda: mm.write_many(memory, {"a": jnp.zeros((4, 2))}, jnp.zeros(3, jnp.int32)), r"values: .*\(4,\).*\(3,\)"),
        (
            lambda: mm.write_many(memory, {"a": jnp.zeros((1, 2))}, jnp.zeros(1, jnp.int32), where=jnp.ones(2, bool)),
            r"where: expected shape \(1,\)",
        ),
        (lambda: mm.forget(memory, jnp.zeros(2)), r"slots: expected integers.*astype"),
        (
            lambda: mm.generalize(memory, lambda k, v, x, m: (k, v + 0.5), 0),
            r"value that fn returns: expected dtype int32",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
