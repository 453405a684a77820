# SPDX-License-Identifier: Apache-2.0
"""s(x, y) and s(x, y, y'): how well a memory matches a query, and which of two memories matches better.

All of it is written for one query and one slot. `jax.vmap` lifts it over slots and queries, and XLA turns the lifted
products into matrix products.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp

from memjax import _checks
from memjax.memory import Memory
from memjax.typing import Array, PyTree, ScoreFn

TimeForm = Literal["none", "printed", "signed"]

#: Number of time features of each form.
NUM_TIME_FEATURES: dict[str, int] = {"none": 0, "printed": 3, "signed": 2}


def inner_product(query: Array, key: Array) -> Array:
    """s = query . key, the score of features that were embedded before.

    Args:
        query: `[D]`.
        key: `[D]`.

    Returns:
        Scalar of their dtype.

    Raises:
        ValueError: if the two differ in shape or are no vectors.

    Example:
        >>> inner_product(jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]))
        Array(11., dtype=float32)
    """
    _checks.rank("query", query, 1, "[D]")
    if jnp.shape(query) != jnp.shape(key):
        raise ValueError(f"key: expected shape {jnp.shape(query)}, as the query, got {jnp.shape(key)}")
    return query @ key


def bilinear(phi_x: Array, words_x: Array, phi_y: Array, words_y: Array) -> Array:
    """s(x, y) = Phi_x(x)^T U^T U Phi_y(y) over raw features.

    U of the paper has one column for each word and role (D = 3|W|); here each role's columns are an array of their
    own, so Phi_x and Phi_y are plain counts. The product runs from the query to the words, so that a vmap over slots
    computes U_y U_x^T Phi_x once and never embeds a slot.

    Args:
        phi_x: `[W]`, features of the query.
        words_x: `[W, D]`, the dictionary of the query's role.
        phi_y: `[W]`, features of the memory.
        words_y: `[W, D]`, the dictionary of the memory's role.

    Returns:
        Scalar.

    Example:
        >>> eye = jnp.eye(2)
        >>> bilinear(jnp.array([1.0, 1.0]), eye, jnp.array([0.0, 2.0]), eye)
        Array(2., dtype=float32)

    Reference: Weston et al. 2015, section 3.1, the embedding model.
    Departs from the paper: nothing.
    """
    return inner_product(words_y @ (phi_x @ words_x), phi_y)


def score_slots(score_fn: ScoreFn, query: PyTree, memory: Memory) -> Array:
    """Scores every slot of a memory: the one place where a scorer is lifted over slots.

    Args:
        score_fn: s(query, key), written for one slot.
        query: one query.
        memory: N slots, unbatched.

    Returns:
        `[N]`. Empty slots get whatever the scorer makes of them: mask by `memory.valid` before use.

    Example:
        >>> from memjax.memory import empty, write
        >>> memory = write(empty(2, jnp.zeros(1), jnp.zeros(1)), jnp.ones(1), jnp.ones(1))
        >>> score_slots(inner_product, jnp.array([3.0]), memory)
        Array([3., 0.], dtype=float32)
    """
    return jax.vmap(score_fn, in_axes=(None, 0))(query, memory.keys)  # [N]


def time_preference(form: TimeForm, weights: Array, previous: Array, time: Array, other: Array) -> Array:
    """The part of s(x, y, y') that looks at write times: Phi_x(x)^T U^T U Phi_t(x, y, y').

    `"printed"` is the paper's: the 0/1 features [p older than y], [p older than y'] and [y older than y'], where p is
    what the question is about: the question itself at the first hop, the memory found last afterwards. In its
    Algorithm 1 the third is 0 at every comparison, so that printed features cannot influence the first hop at all.
    `"signed"` repairs this: [p older than y] - [p older than y'] and sign(t_y - t_y'), which change their sign when
    y and y' change places.

    Args:
        form: which features.
        weights: `[F]`, the score of each feature for this query; F of `NUM_TIME_FEATURES`.
        previous: int, write time of p; newer than every slot at the first hop.
        time: int, write time of y.
        other: int, write time of y'; of one shape with `time`, or one of the two a scalar.

    Returns:
        The preference for y over y', of the broadcast shape.

    Example:
        >>> time_preference("signed", jnp.array([0.0, 2.0]), jnp.array(9), jnp.array(3), jnp.array(5))
        Array(-2., dtype=float32)

    Raises:
        ValueError: if there is no such form.

    Reference: Weston et al. 2015, section 3.4.
    Departs from the paper: `"signed"`.
    """
    _checks.one_of("form", form, NUM_TIME_FEATURES)
    if form == "none":
        return jnp.zeros(jnp.broadcast_shapes(jnp.shape(time), jnp.shape(other)), weights.dtype)
    seen, other_seen = previous < time, previous < other
    if form == "printed":
        features = [seen, other_seen, time < other]
    else:
        features = [seen.astype(jnp.int32) - other_seen.astype(jnp.int32), jnp.sign(time - other)]
    terms = [weight * feature.astype(weights.dtype) for weight, feature in zip(weights, features, strict=True)]
    return functools.reduce(jnp.add, terms)


def triple_score(
    form: TimeForm, weights: Array, previous: Array, score: Array, time: Array, other_score: Array, other_time: Array
) -> Array:
    """s(x, y, y') = s(x, y) - s(x, y') + time: above 0 it prefers y.

    It needs only the two scores, which are known for every slot after one pass over the memory, and F scalars of the
    query.

    Args:
        form: the time features.
        weights: `[F]`, the score of each feature for this query.
        previous: int, write time of p; newer than every slot at the first hop.
        score: s(x, y).
        time: int, write time of y.
        other_score: s(x, y').
        other_time: int, write time of y'.

    Returns:
        The preference for y over y', of the broadcast shape.

    Example:
        >>> two, half = jnp.array(2.0), jnp.array(0.5)
        >>> triple_score("none", jnp.zeros(0), jnp.array(9), two, jnp.array(0), half, jnp.array(1))
        Array(1.5, dtype=float32)

    Reference: Weston et al. 2015, section 3.4 and appendix C.
    Departs from the paper: see `time_preference`.
    """
    return score - other_score + time_preference(form, weights, previous, time, other_time)
