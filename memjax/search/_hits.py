# SPDX-License-Identifier: Apache-2.0
"""What a search is asked, and what it finds."""

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from memjax import _checks
from memjax.memory import Memory, valid
from memjax.typing import Array, PyTree


@struct.dataclass
class Queries:
    """Q queries to a memory.

    Attributes:
        vector: what is compared with the keys: `[Q, D]` for vectors, `[Q, W]` for word ids, the score of each word.
        words: token ids of the question, for searches that hash words; None where none does.
    """

    vector: Array  # [Q, D]
    words: Array | None = None  # int32 [Q, S]


@struct.dataclass
class Hits:
    """The K best slots for each query, best first; of equal scores the lower slot first.

    Where there are fewer than K slots to find, the rest is not valid: slot -1, score -inf.

    Attributes:
        scores: score of each hit.
        slots: where it stands in the memory.
        valid: whether it is one.
        candidates: how many slots were scored for the query; of a search by lists, how many its lists hold.
        lost: how many of its candidates were left out for want of width; 0 in a search of all slots.
    """

    scores: Array  # float32 [Q, K]
    slots: Array  # int32 [Q, K]
    valid: Array  # bool [Q, K]
    candidates: Array  # int32 [Q]
    lost: Array  # int32 [Q]


def best(scores: Array, slots: Array, k: int) -> tuple[Array, Array]:
    """Selects the K best of each row; -inf stands for no slot.

    Args:
        scores: `[Q, C]`; NaN counts as -inf.
        slots: int32 `[Q, C]`, ascending where equal scores should go to the lower slot.
        k: K.

    Returns:
        scores `[Q, K]` and slots `[Q, K]`, -inf and -1 where there are fewer than K.
    """
    scores = jnp.where(scores > -jnp.inf, scores, -jnp.inf)
    missing = max(k - scores.shape[1], 0)
    scores = jnp.pad(scores, ((0, 0), (0, missing)), constant_values=-jnp.inf)
    top, at = lax.top_k(scores, k)
    slots = jnp.take_along_axis(jnp.pad(slots, ((0, 0), (0, missing))), at, axis=1)
    return top, jnp.where(top > -jnp.inf, slots, -1)


def check_queries(queries: Queries, where: Array | None, num_slots: int) -> None:
    """Raises `ValueError` unless queries and mask are shaped for a memory of `num_slots`."""
    if not isinstance(queries, Queries):
        raise ValueError(f"queries: expected memjax.search.Queries, got {type(queries).__name__}; Queries(vector=..)")
    _checks.rank("queries.vector", queries.vector, 2, "[Q, D]")
    num_queries = queries.vector.shape[0]
    if not num_queries:
        raise ValueError(
            f"queries.vector: expected at least one query, got shape {queries.vector.shape}; leave empty batches out"
        )
    if queries.words is not None:
        _checks.rank("queries.words", queries.words, 2, "[Q, S]")
        if queries.words.shape[0] != num_queries:
            raise ValueError(
                f"queries.words: expected {num_queries} rows, as queries.vector, got {queries.words.shape[0]}"
            )
    if where is not None and jnp.shape(where) not in ((num_slots,), (num_queries, num_slots)):
        raise ValueError(
            f"where: expected shape {(num_slots,)} or {(num_queries, num_slots)}, slots or queries and slots, "
            f"got {jnp.shape(where)}"
        )


def may_be_found(where: Array | None, slots: Array) -> Array | bool:
    """Returns whether each of `slots` is in a mask `[N]`; True without one."""
    return True if where is None else jnp.asarray(where).at[slots].get(mode="clip")


def readable_slots(memory: Memory, where: Array | None) -> Array:
    """Returns bool `[N]` or `[Q, N]`, as `where` is: the slots that may be found."""
    held = valid(memory)
    return held if where is None else jnp.expand_dims(held, range(jnp.ndim(where) - 1)) & where


def check_k(k: int, num_slots: int) -> None:
    """Raises `ValueError` unless K fits the memory."""
    if k > num_slots:
        raise ValueError(f"k: expected at most {num_slots}, the slots of the memory, got {k}; ask for fewer")


def stop_gradient(tree: PyTree) -> PyTree:
    """Cuts the gradients of all leaves."""
    return jax.tree.map(lax.stop_gradient, tree)
