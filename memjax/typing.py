# SPDX-License-Identifier: Apache-2.0
"""Axis letters, aliases, and the roles that callers may fill with functions of their own.

Shapes are written in docstrings and trailing comments with these letters:

| letter | axis |
|---|---|
| `B` | batch |
| `N` | slots of a memory |
| `Q` | queries |
| `K` | retrieved slots or candidates |
| `P` | hops |
| `T` | time steps |
| `J` | source positions |
| `S` | words of a sentence |
| `M` | different sentences of a corpus |
| `D` | features |
| `H` | hidden features |
| `A` | attention features; words of an answer |
| `W` | words with features of their own |
| `V` | vocabulary, the special tokens included |
| `L` | layers |
"""

from typing import Any, Protocol

import jax

Array = jax.Array
PyTree = Any

#: Token ids with a meaning of their own. Words start at `NUM_SPECIAL`.
PAD = 0
UNKNOWN = 1
NUM_SPECIAL = 2


class SlotFn(Protocol):
    """H of the paper: chooses the slot that a write goes to."""

    def __call__(self, memory: Any, key: PyTree) -> Array:
        """Returns a slot.

        Args:
            memory: a `memjax.memory.Memory` of N slots, unbatched.
            key: one slot's key.

        Returns:
            int32 scalar. A slot outside [0, N) drops the write.
        """
        ...


class RelationFn(Protocol):
    """How a fact that a memory holds stands to a new one."""

    def __call__(self, key: PyTree, held: PyTree) -> Array:
        """Returns a bool scalar.

        Args:
            key: one slot's key, of the new fact.
            held: one slot's key, of the fact held.
        """
        ...


class ScoreFn(Protocol):
    """s(x, y): how well one slot matches one query."""

    def __call__(self, query: PyTree, key: PyTree) -> Array:
        """Returns a scalar score.

        Args:
            query: one query.
            key: one slot's key. Empty slots hold zeros and are scored too, so score and gradient must be finite there:
                a scorer that divides by the key's length wants a small number under the root.
        """
        ...


class PreferFn(Protocol):
    """s(x, y, y'): by how much each slot of a scored memory is preferred to one other."""

    def __call__(self, query: PyTree, scores: Array, times: Array, previous: Array, score: Array, time: Array) -> Array:
        """Returns the preferences `[N]`.

        Args:
            query: one query.
            scores: float `[N]`, the score of each slot.
            times: int32 `[N]`, write times.
            previous: int32 scalar, write time of the memory found last; the number of writes so far at the first hop.
            score: scalar, the score of the other, y'.
            time: int32 scalar, its write time; -1 for the stop slot.
        """
        ...


class SelectFn(Protocol):
    """Chooses one slot of a scored memory."""

    def __call__(self, query: PyTree, scores: Array, times: Array, previous: Array, stop: Array | None) -> Array:
        """Returns the slot of the winner.

        Args:
            query: one query.
            scores: float `[N]`, the score of each slot.
            times: int32 `[N]`, write times; -1 where a slot may not be chosen.
            previous: int32 scalar, write time of the memory found last; the number of writes so far at the first hop.
            stop: score of the stop slot, or None where there is none.

        Returns:
            int32 scalar in [0, N), or -1: the stop slot won, or there is no slot to choose.
        """
        ...


class SearchFn(Protocol):
    """Finds the K slots of a memory that score best."""

    def __call__(self, queries: Any, memory: Any, where: Array | None = None) -> Any:
        """Returns `memjax.search.Hits`.

        Args:
            queries: `memjax.search.Queries` of Q.
            memory: a `memjax.memory.Memory` of N slots, unbatched.
            where: bool `[N]` or `[Q, N]`, slots that may be found; all valid ones by default.
        """
        ...


class LossFn(Protocol):
    """A ranking loss of one right choice against many wrong ones."""

    def __call__(self, advantages: Array, where: Array, margin: float = ...) -> Array:
        """Returns a scalar loss.

        Args:
            advantages: float `[K]`, by how much the right choice outscores each wrong one.
            where: bool `[K]`, the wrong choices that count.
            margin: gamma, the advantage that is enough.
        """
        ...
