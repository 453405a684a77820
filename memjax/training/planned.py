# SPDX-License-Identifier: Apache-2.0
"""Epochs over batches of few shapes: which examples each step takes, and how far they are padded, is planned before."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct

from memjax.training.state import StepFn, TrainState
from memjax.typing import Array, PyTree


class Padded(Protocol):
    """Examples of different lengths on the device; `memjax.training.TextBatch` is one."""

    def take(self, rows: Array, num_steps: int) -> Any:
        """The examples of `rows`, int `[B]`, padded to `num_steps`; -1 is one without steps, which counts nothing."""
        ...


@struct.dataclass
class Plan:
    """What P steps read. Plans of as many steps share a program.

    Attributes:
        kinds: which of the planned shapes; one more than there are: nothing, and the step changes nothing.
        rows: examples; -1 = none.
    """

    kinds: Array  # int32 [P]
    rows: Array  # int32 [P, B]


def make_planned_steps(
    step: StepFn, shapes: Sequence[int]
) -> Callable[[TrainState, Padded, Plan], tuple[TrainState, dict[str, Array]]]:
    """Makes the steps of a plan: one `lax.scan`, with a branch for each shape.

    Args:
        step: of `make_step`; its metrics are sums over a batch.
        shapes: lengths that batches are padded to, rising.

    Returns:
        `fn(state, corpus, plan) -> (state, metrics)`, metrics summed over the steps.
    """

    def run(state: TrainState, corpus: Padded, plan: Plan) -> tuple[TrainState, dict[str, Array]]:
        def taught(num_steps: int, state: TrainState, rows: Array) -> tuple[TrainState, dict[str, Array]]:
            return step(state, corpus.take(rows, num_steps))

        branches = [partial(taught, int(num_steps)) for num_steps in shapes]
        return scan_kinds(branches, state, plan.kinds, plan.rows)

    return run


def make_planned_sums(
    measure: Callable[[PyTree, Any], dict[str, Array]], shapes: Sequence[int]
) -> Callable[[PyTree, Padded, Plan], dict[str, Array]]:
    """Makes a measurement over a plan.

    Args:
        measure: `fn(params, batch) -> sums over the batch`.
        shapes: lengths that batches are padded to, rising.

    Returns:
        `fn(params, corpus, plan) -> sums`.
    """

    def run(params: PyTree, corpus: Padded, plan: Plan) -> dict[str, Array]:
        def measured(num_steps: int, state: None, rows: Array) -> tuple[None, dict[str, Array]]:
            return state, measure(params, corpus.take(rows, num_steps))

        branches = [partial(measured, int(num_steps)) for num_steps in shapes]
        return scan_kinds(branches, None, plan.kinds, plan.rows)[1]

    return run


def scan_kinds(
    branches: Sequence[Callable[[Any, Any], tuple[Any, dict[str, Array]]]], state: Any, kinds: Array, inputs: PyTree
) -> tuple[Any, dict[str, Array]]:
    """Scans over steps of several kinds.

    Args:
        branches: `fn(state, input) -> (state, sums)`, one for each kind; all give sums of the same shapes.
        state: before the first step.
        kinds: int32 `[P]`, of each step; one more than there are branches: nothing, and the step changes nothing.
        inputs: leaves lead with P.

    Returns:
        The state after the last step; the sums, added up.
    """
    first = jax.tree.map(lambda leaf: leaf[0], inputs)
    shapes = jax.eval_shape(branches[0], state, first)[1]
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    branches = [*branches, lambda state, given: (state, nothing)]

    def body(
        carry: tuple[Any, dict[str, Array]], step: tuple[Array, PyTree]
    ) -> tuple[tuple[Any, dict[str, Array]], None]:
        state, sums = carry
        state, found = jax.lax.switch(step[0], branches, state, step[1])
        return (state, jax.tree.map(jnp.add, sums, found)), None

    return jax.lax.scan(body, (state, nothing), (kinds, inputs))[0]
