# SPDX-License-Identifier: Apache-2.0
"""Programs to compile and to export: functions of plain dictionaries, with the arguments to call them with.

`jax.export` serializes dictionaries, lists and arrays, but neither Flax's classes nor typed random keys, so programs
take the state apart at their border.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from benchmarks._torch_memnn import BATCH, BETA1, BETA2, EPSILON, FEATURES, LEARNING_RATE, MARGIN
from memjax import data, search
from memjax import memory as mm
from memjax.data import simulation
from memjax.models import MemNN
from memjax.nn import LSTMN
from memjax.training import StoryBatch, TrainState, make_memnn_loss, make_step

#: The mesh axis that programs are divided over.
AXIS = "devices"
#: `fn(state, inputs) -> (state, outputs)`, all dictionaries; the state is meant to be donated.
StateFn = Callable[[dict[str, Any], dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]]


class Program(NamedTuple):
    """A function and how to call it.

    Attributes:
        fn: makes the function for a mesh of the devices that it will run on, with the axis `AXIS`; only the programs
            that say themselves what each device does ask for it.
        arguments: makes `state` and `inputs`, anew at each call.
        divided: entries of either whose first axis several devices divide among them; each holds the others whole.
        settings: the sizes.
    """

    fn: Callable[[Mesh], StateFn]
    arguments: Callable[[], tuple[dict[str, Any], dict[str, Any]]]
    divided: frozenset[str]
    settings: dict[str, int]

    def shapes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the arguments' shapes and dtypes; nothing is allocated."""
        return jax.eval_shape(self.arguments)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _named(tree: Any) -> Any:
    """Returns nested dictionaries with names in the place of numbers: `nnx.List` numbers what is in it."""
    return {str(key): _named(value) for key, value in tree.items()} if isinstance(tree, dict) else tree


def _normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float = 1) -> jax.Array:
    """Returns normal numbers by NumPy: nothing to compile, and the benchmark asks nothing of the values."""
    return jnp.array(scale * rng.standard_normal(shape), jnp.float32)


def _train_program(
    make_model: Callable[[], Any],
    optimizer: optax.GradientTransformation,
    loss_fn: Any,
    batch_type: Callable[..., Any],
    inputs: Callable[[], dict[str, Any]],
    settings: dict[str, int],
) -> Program:
    """Returns the train step of a model, whose state has the entries of `TrainState`; its parameters are drawn."""
    model = nnx.eval_shape(make_model)
    step = make_step(model, optimizer, loss_fn)
    shapes = _named(nnx.to_pure_dict(nnx.state(model, nnx.Param)))

    def plain(state: TrainState) -> dict[str, Any]:
        leaves = jax.tree.leaves(state.opt_state)
        return {**_fields(state), "opt_state": leaves, "key": jax.random.key_data(state.key)}

    def fn(state: dict[str, Any], inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        structure = jax.tree.structure(jax.eval_shape(optimizer.init, state["params"]))
        opt_state = jax.tree.unflatten(structure, state["opt_state"])
        key = jax.random.wrap_key_data(state["key"])
        after, metrics = step(TrainState(**{**state, "opt_state": opt_state, "key": key}), batch_type(**inputs))
        return plain(after), metrics

    def arguments() -> tuple[dict[str, Any], dict[str, Any]]:
        rng = np.random.default_rng(0)
        params = jax.tree.map(lambda leaf: _normal(rng, leaf.shape, 0.1), shapes)
        state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), jax.random.key(0))
        return plain(state), inputs()

    divided = frozenset(jax.eval_shape(inputs)) - {"sentences"}
    return Program(lambda mesh: fn, arguments, divided, settings)


def memnn_step(batch: int = BATCH, features: int = FEATURES, **corpus: int) -> Program:
    """Returns the train step of `benchmarks.memnn_train` on a batch of its corpus, or of one of other sizes.

    Args:
        batch: B.
        features: n.
        corpus: sizes of the corpus that `memjax.data.simulation.generate` makes.
    """
    examples = simulation.generate(0, "train", difficulty=5, objects=True, **corpus)
    vocabulary = data.Vocabulary.build(data.token_lists(examples))
    stories = StoryBatch.from_stories(data.encode(examples, vocabulary))
    words = vocabulary.num_words

    def model() -> MemNN:
        return MemNN(words, features, hops=2, time="signed", exclude_found=False, rngs=nnx.Rngs(0))

    def inputs() -> dict[str, Any]:
        return _fields(stories.take(jnp.arange(batch)))

    optimizer = optax.adam(LEARNING_RATE, BETA1, BETA2, EPSILON)
    loss = make_memnn_loss(loss="softmax", negatives="all", margin=MARGIN, short_chains="repeat")
    settings = {"batch": batch, "slots": stories.slots.shape[1], "features": features, "words": words}
    settings["sentences"] = len(stories.sentences)
    return _train_program(model, optimizer, loss, StoryBatch, inputs, settings)


def lstmn_step(batch: int = 16, steps: int = 100, features: int = 300, hidden: int = 300, layers: int = 1) -> Program:
    """Returns the train step of an LSTMN on random sequences of different lengths: mean squared error, Adam.

    The sizes are a row of `benchmarks.lstmn`.
    """

    def model() -> LSTMN:
        return LSTMN(features, hidden, num_layers=layers, rngs=nnx.Rngs(0))

    def loss(model: LSTMN, batch: dict[str, Any], key: jax.Array) -> tuple[jax.Array, dict[str, Any]]:
        hidden = model(batch["inputs"], batch["lengths"])  # [B, T, H]
        return jnp.mean((hidden - batch["targets"]) ** 2), {}

    def inputs() -> dict[str, Any]:
        rng = np.random.default_rng(1)
        return {
            "inputs": _normal(rng, (batch, steps, features)),
            "targets": _normal(rng, (batch, steps, hidden)),
            "lengths": steps - jnp.arange(batch) % (steps // 2),
        }

    settings = {"batch": batch, "steps": steps, "features": features, "hidden": hidden, "layers": layers}
    return _train_program(model, optax.adam(1e-3), loss, dict, inputs, settings)


_SLOTS = frozenset({"keys", "values", "times", "usage"})


def memory_write(slots: int = 1_000_000, features: int = 128, *, sharded: bool = False) -> Program:
    """Returns the write of a key and a value of `benchmarks.memory_write`, to the oldest slot.

    Args:
        slots: N.
        features: of the key, and of the value.
        sharded: by `memjax.search.sharded_write`, not by XLA's partitioner.
    """
    row = jax.ShapeDtypeStruct((features,), jnp.float32)

    def fn(mesh: Mesh) -> StateFn:
        plain = lambda memory, key, value: mm.write(memory, key, value, mm.oldest_slot)  # noqa: E731
        write = search.sharded_write(mesh, AXIS, mm.oldest_slot) if sharded else plain
        return lambda state, inputs: (_fields(write(mm.Memory(**state), inputs["key"], inputs["value"])), {})

    def arguments() -> tuple[dict[str, Any], dict[str, Any]]:
        # Past its end, so that the slot is not the first one.
        state = {**_fields(mm.empty(slots, row, row)), "count": jnp.int32(slots + slots // 2)}
        return state, {"key": jnp.ones(features), "value": jnp.full(features, 2.0)}

    return Program(fn, arguments, _SLOTS, {"slots": slots, "features": features})


def memory_search(
    slots: int = 1_000_000, features: int = 128, queries: int = 64, k: int = 10, *, sharded: bool = False
) -> Program:
    """Returns a search of a full memory, which is given back as it was.

    Args:
        slots: N.
        features: D.
        queries: Q.
        k: K.
        sharded: by `memjax.search.sharded`, not by `exact`, which XLA's partitioner divides.
    """

    def fn(mesh: Mesh) -> StateFn:
        find = search.sharded(mesh, AXIS, k) if sharded else search.exact(k)
        return lambda state, inputs: (state, _fields(find(search.Queries(inputs["vector"]), mm.Memory(**state))))

    def arguments() -> tuple[dict[str, Any], dict[str, Any]]:
        rng = np.random.default_rng(2)
        state = _fields(mm.empty(slots, jax.ShapeDtypeStruct((features,), jnp.float32), jnp.int32(0)))
        state |= {"keys": _normal(rng, (slots, features)), "times": jnp.arange(slots, dtype=jnp.int32)}
        return state, {"vector": _normal(rng, (queries, features))}

    return Program(fn, arguments, _SLOTS, {"slots": slots, "features": features, "queries": queries, "k": k})


PROGRAMS: dict[str, Callable[..., Program]] = {
    "LSTMN train step": lstmn_step,
    "MemNN train step": memnn_step,
    "memory write": memory_write,
    "sharded write": partial(memory_write, sharded=True),
    "exact search": memory_search,
    "sharded search": partial(memory_search, sharded=True),
}
