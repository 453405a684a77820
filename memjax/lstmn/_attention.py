# SPDX-License-Identifier: Apache-2.0
"""Additive attention of one step over a batch of tapes, and its gradient, in the form that is cheapest to evaluate.

With E = exp(2 k) kept on the tape for each key k = W_h h_i, and Q = exp(2 q) for the query of a step,

    tanh(k + q) = 1 - 2 / (E Q + 1),    1 - tanh(k + q)^2 = 4 w,    w = E Q / (E Q + 1)^2

so that a pair of slot and step costs a product and a division for each feature, and no exponential. Letters:
`memjax.typing`; N slots of the tape.
"""

import jax
import jax.numpy as jnp

from memjax.typing import Array

# exp(2 * 21.5) twice is below the largest float32. Beyond, tanh is 1 up to rounding, unless key and query are of
# opposite signs.
_LIMIT = 21.5
_MASKED = -1e30


def wide(dtype: jnp.dtype) -> jnp.dtype:
    """Returns the type of sums and of the softmax: float32 at least."""
    return jnp.promote_types(dtype, jnp.float32)


def outer(one: Array, other: Array) -> Array:
    """Sums the outer products of rows, `[..., F]` and `[..., G]` to `[F, G]`: the gradient of a weight."""
    one, other = one.reshape(-1, one.shape[-1]), other.reshape(-1, other.shape[-1])
    return jax.lax.dot_general(one, other, (((0,), (0,)), ((), ())), preferred_element_type=wide(one.dtype))


def exponential(projected: Array, dtype: jnp.dtype) -> Array:
    """Returns exp(2 k) of projected keys or queries, as `dtype`; raises `ValueError` where it is too narrow."""
    if dtype == jnp.float16:
        raise ValueError(
            "inputs: expected float32, float64 or bfloat16, got float16, in which exp of a key overflows; "
            "convert them, and the parameters, with .astype(jnp.bfloat16)"
        )
    return jnp.exp(2 * jnp.clip(projected.astype(wide(dtype)), -_LIMIT, _LIMIT)).astype(dtype)


def _ratio(keys: Array, query: Array, dtype: jnp.dtype) -> Array:
    return keys.astype(dtype) * query.astype(dtype)[:, None]  # E Q: [B, N, A]


def _tanh(keys: Array, query: Array) -> Array:
    ratio = _ratio(keys, query, wide(keys.dtype))
    return (1 - 2 / (ratio + 1)).astype(keys.dtype)  # [B, N, A]; forward mode of a quotient of two would overflow


def attend(keys: Array, values: Array, query: Array, score: Array, visible: Array) -> tuple[Array, Array]:
    """Reads a batch of tapes (eq. 4 to 6).

    Args:
        keys: `[B, N, A]`, exp(2 W_h h_i).
        values: `[B, N, F]`, [h_i, c_i].
        query: `[B, A]`, exp of twice the projected query.
        score: v, `[A]`.
        visible: bool `[B, N]` or `[1, N]`, the slots that count.

    Returns:
        read `[B, F]`, zeros where no slot is visible; logarithm `[B]` of the softmax's denominator.
    """
    sums = wide(keys.dtype)
    weights, log_total = softmax(scores(keys, query, score), visible)
    read = jnp.einsum("bn,bnf->bf", weights.astype(values.dtype), values, preferred_element_type=sums)
    return read.astype(values.dtype), log_total


def scores(keys: Array, query: Array, score: Array) -> Array:
    """Returns the scores a^t of eq. 4, `[B, N]`."""
    return jnp.einsum("bna,a->bn", _tanh(keys, query), score, preferred_element_type=wide(keys.dtype))


def softmax(a: Array, visible: Array) -> tuple[Array, Array]:
    """Returns the softmax over visible slots `[B, N]`, zeros where there are none, and log of its denominator `[B]`."""
    a = jnp.where(visible, a, _MASKED)
    top = a.max(axis=1, keepdims=True, initial=_MASKED)
    e = jnp.where(visible, jnp.exp(a - top), 0)
    # 1 at least where anything is visible; and no number so small that in forward mode its square is 0.
    total = jnp.maximum(e.sum(axis=1, keepdims=True), 0.5)
    return e / total, (top + jnp.log(total))[:, 0]


def attend_gradient(
    keys: Array, values: Array, query: Array, score: Array, visible: Array, log_total: Array, dread: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Recomputes the attention of a step and takes it back (the softmax needs no maximum: its denominator was kept).

    Args:
        keys: as in `attend`; `values`, `query`, `score`, `visible` too.
        log_total: what `attend` returned.
        dread: `[B, F]`, the gradient of `read`.

    Returns:
        weights s `[B, N]`; gradients of the scores `[B, N]`; w `[B, N, A]`; the gradient of the projected query
        `[B, A]`; that of `score` for each row, `[B, A]`. The gradient of the projected keys is 4 v times the scores'
        gradient times w.
    """
    sums, dtype = wide(keys.dtype), keys.dtype
    t = _tanh(keys, query)
    a = jnp.einsum("bna,a->bn", t, score, preferred_element_type=sums)
    s = jnp.where(visible, jnp.exp(jnp.where(visible, a - log_total[:, None], 0)), 0)  # no infinity: it has a gradient
    dweights = jnp.einsum("bnf,bf->bn", values, dread.astype(dtype), preferred_element_type=sums)
    da = s * (dweights - (s * dweights).sum(axis=1, keepdims=True))  # not from what was read, rounded: it must sum to 0
    ratio = _ratio(keys, query, sums)
    z = 1 / (ratio + 1)
    w = (ratio * z * z).astype(dtype)  # not (1 - t * t) / 4: reading t again costs more than dividing again
    dquery = jnp.einsum("bn,bna->ba", da.astype(dtype), w, preferred_element_type=sums) * (4 * score.astype(sums))[None]
    dscore = jnp.einsum("bn,bna->ba", da.astype(dtype), t, preferred_element_type=sums)
    return s, da, w, dquery, dscore


def attention_map(projected_keys: Array, queries: Array, score: Array, visible: Array) -> Array:
    """Computes the attention weights of many steps, one step at a time: nothing of size T x N x A is made.

    Args:
        projected_keys: `[B, N, A]`, W_h h_i.
        queries: `[T, B, A]`, projected.
        score: v, `[A]`.
        visible: bool `[T, B, N]` or `[T, 1, N]`.

    Returns:
        `[B, T, N]`, float32 at least; rows that see nothing are zeros.
    """
    keys = exponential(projected_keys, projected_keys.dtype)

    @jax.checkpoint
    def row(step: tuple[Array, Array]) -> Array:
        query, seen = step
        return softmax(scores(keys, exponential(query, keys.dtype), score), seen)[0]

    return jax.lax.map(row, (queries, visible)).swapaxes(0, 1)
