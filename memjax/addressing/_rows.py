# SPDX-License-Identifier: Apache-2.0
"""Soft hops over slots that point into tables, so that what many slots or many queries share is embedded once."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from memjax.addressing._soft import SoftHops, WeighFn, soft_hops, weigh_softmax
from memjax.memory import Memory
from memjax.typing import Array


def row_hops(
    query: Array,
    memory: Memory,
    inputs: Sequence[Array],
    outputs: Sequence[Array],
    *,
    follow_fn: Callable[[Array, Array, int], Array],
    input_ages: Sequence[Array] | None = None,
    output_ages: Sequence[Array] | None = None,
    weigh_fn: WeighFn = weigh_softmax,
) -> SoftHops:
    """Reads a memory whose slots are rows of a table: m_i = input[row] + T_A[age], c_i = output[row] + T_C[age].

    A hop multiplies its query with the whole table, once for all slots, and slots look their score up; what is read is
    a product of the weights of the rows. So under `jax.vmap` over queries that share a table no array grows with
    queries, slots and features together.

    Unbatched; lift with `jax.vmap`.

    Args:
        query: u, `[D]`.
        memory: N slots, keys and values `{"row": int32 [N], "age": int32 [N]}`: which row, and how many slots are
            younger.
        inputs: of each of P hops, what scores are products with, `[M, D]`.
        outputs: of each hop, what is read, `[M, D']`.
        follow_fn: `fn(query, read, hop) -> query`.
        input_ages: of each hop, T_A, `[ages, D]`; slots that are older share the last row. None for no ages.
        output_ages: of each hop, T_C, `[ages, D']`.
        weigh_fn: from scores to weights.

    Returns:
        As of `memjax.addressing.soft_hops`.

    Raises:
        ValueError: if there is no hop, or the tables are not as many as hops.

    Example:
        >>> from memjax.memory import empty, write
        >>> slot = {"row": jnp.int32(1), "age": jnp.int32(0)}
        >>> memory = write(empty(3, slot, slot), slot, slot)
        >>> table = jnp.array([[9.0, 9.0], [1.0, 2.0]])
        >>> row_hops(jnp.ones(2), memory, [table], [table], follow_fn=lambda query, read, hop: query + read).query
        Array([2., 3.], dtype=float32)

    Reference: Sukhbaatar et al. 2015, sections 2 and 4.1.
    Departs from the paper: nothing.
    """
    tables = {"outputs": outputs, "input_ages": input_ages, "output_ages": output_ages}
    for name, given in tables.items():
        if given is not None and len(given) != len(inputs):
            raise ValueError(f"{name}: expected {len(inputs)} tables, one for each hop, got {len(given)}")

    def score(query: Array, key: dict[str, Array], hop: int) -> Array:
        scores = (inputs[hop] @ query).at[key["row"]].get(mode="promise_in_bounds")
        if input_ages is None:
            return scores
        ages = input_ages[hop]
        return scores + (ages @ query).at[jnp.minimum(key["age"], len(ages) - 1)].get(mode="promise_in_bounds")

    def read(weights: Array, memory: Memory, hop: int) -> Array:
        by_row = sums_at(weights, memory.values["row"], len(outputs[hop]))
        found = by_row @ outputs[hop]
        if output_ages is None:
            return found
        ages = output_ages[hop]
        by_age = sums_at(weights, jnp.minimum(memory.values["age"], len(ages) - 1), len(ages))
        return found + by_age @ ages

    return soft_hops(
        query, memory, hops=len(inputs), score_fn=score, follow_fn=follow_fn, read_fn=read, weigh_fn=weigh_fn
    )


def sums_at(weights: Array, at: Array, size: int) -> Array:
    """The sums of weights that go to the same place, each summed in float32 at least.

    Args:
        weights: `[N]`.
        at: int `[N]`, places from 0 to `size` - 1.
        size: of the result.

    Returns:
        `[size]`, of the weights' dtype.

    Example:
        >>> sums_at(jnp.array([0.5, 0.25, 0.25]), jnp.array([1, 0, 1]), 2)
        Array([0.25, 0.75], dtype=float32)
    """
    wide = jnp.promote_types(jnp.float32, weights.dtype)
    return jnp.zeros(size, wide).at[at].add(weights.astype(wide)).astype(weights.dtype)
