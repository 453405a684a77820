# SPDX-License-Identifier: Apache-2.0
"""The weights of an LSTMN, and one step of it as the paper writes it: unbatched, pure."""

import jax
import jax.numpy as jnp
from flax import struct

from memjax import _checks
from memjax.lstmn._attention import softmax, wide
from memjax.typing import Array


@struct.dataclass
class Weights:
    """The weights of one layer. Vectors are rows: W_h h_i is `h_i @ key`.

    Attributes:
        key: W_h of eq. 4, `[H, A]`.
        query_input: W_x of eq. 4, `[D, A]`; W_l in an upper layer (eq. 10).
        query_read: W_h~ of eq. 4, `[H, A]`.
        score: v of eq. 4, `[A]`.
        gates_input: W of eq. 7, what multiplies x_t, `[D, 4H]`; columns in the order i, f, o, c^.
        gates_read: W of eq. 7, what multiplies h~_t, `[H, 4H]`.
        attention_bias: `[A]`, or None. The paper writes no biases.
        gates_bias: `[4H]`, or None.
    """

    key: Array
    query_input: Array
    query_read: Array
    score: Array
    gates_input: Array
    gates_read: Array
    attention_bias: Array | None = None
    gates_bias: Array | None = None


def plus(array: Array, bias: Array | None) -> Array:
    """Adds a bias over the last axis, where there is one."""
    return array if bias is None else array + jnp.broadcast_to(bias, array.shape)


def query(weights: Weights, x: Array, read: Array) -> Array:
    """Projects what a step looks for: W_x x_t + W_h~ h~_{t-1} (inside eq. 4).

    Args:
        weights: of the layer.
        x: x_t, `[D]`.
        read: h~_{t-1}, `[H]`.

    Returns:
        `[A]`.

    Example:
        >>> query(_example(), jnp.ones(2), jnp.zeros(3)).shape
        (4,)

    Reference: Cheng et al. 2016, equation 4.
    Departs from the paper: a bias, where the weights have one.
    """
    return plus(x @ weights.query_input + read @ weights.query_read, weights.attention_bias)


def intra_attention(
    score: Array, keys: Array, hidden: Array, cell: Array, query: Array, where: Array
) -> tuple[Array, Array, Array]:
    """Reads a tape: additive attention, scores from the hidden tape alone, applied to both tapes.

    Unbatched; lift with `jax.vmap`.

    Args:
        score: v, `[A]`.
        keys: W_h h_i of each slot, `[N, A]`.
        hidden: h_i, `[N, H]`.
        cell: c_i, `[N, H]`.
        query: `[A]`, of `query`.
        where: bool `[N]`, the slots that count.

    Returns:
        h~_t `[H]`, c~_t `[H]`, and the weights s^t `[N]` (float32 at least). Zeros where no slot counts.

    Raises:
        ValueError: if a shape does not fit.

    Example:
        >>> tape, none = jnp.ones((5, 3)), jnp.zeros(5, bool)
        >>> read, _, weights = intra_attention(jnp.ones(4), jnp.ones((5, 4)), tape, tape, jnp.ones(4), ~none)
        >>> read.tolist(), float(weights[0]).__round__(2)
        ([1.0, 1.0, 1.0], 0.2)
        >>> intra_attention(jnp.ones(4), jnp.ones((5, 4)), tape, tape, jnp.ones(4), none)[0].tolist()
        [0.0, 0.0, 0.0]

    Reference: Cheng et al. 2016, equations 4 to 6.
    Departs from the paper: the paper does not say what the first step reads; here it reads zeros.
    """
    slots = _checks.leading_size("hidden", hidden)
    for name, array, shape in (
        ("keys", keys, (slots, *score.shape)),
        ("cell", cell, hidden.shape),
        ("query", query, score.shape),
        ("where", where, (slots,)),
    ):
        _checks.shape(name, array, shape)
    sums = wide(hidden.dtype)
    a = jnp.tanh(keys + query[None]).astype(sums) @ score.astype(sums)  # eq. 4, [N]
    weights = softmax(a[None], where[None])[0][0]  # eq. 5
    read_hidden, read_cell = weights @ hidden.astype(sums), weights @ cell.astype(sums)  # eq. 6
    return read_hidden.astype(hidden.dtype), read_cell.astype(cell.dtype), weights


def update_cell(weights: Weights, x: Array, read_hidden: Array, read_cell: Array) -> tuple[Array, Array]:
    """Computes what a step writes: an LSTM's cell whose past is what was read.

    Unbatched; lift with `jax.vmap`.

    Args:
        weights: of the layer.
        x: x_t, `[D]`.
        read_hidden: h~_t, `[H]`.
        read_cell: c~_t, `[H]`.

    Returns:
        h_t and c_t, each `[H]`.

    Example:
        >>> hidden, cell = update_cell(_example(), jnp.ones(2), jnp.zeros(3), jnp.zeros(3))
        >>> hidden.shape, cell.shape
        ((3,), (3,))

    Reference: Cheng et al. 2016, equations 7 to 9.
    Departs from the paper: a bias, where the weights have one.
    """
    gates = plus(x @ weights.gates_input + read_hidden @ weights.gates_read, weights.gates_bias)
    i, f, o, u = jnp.split(gates, 4)
    cell = jax.nn.sigmoid(f) * read_cell + jax.nn.sigmoid(i) * jnp.tanh(u)  # eq. 8
    return jax.nn.sigmoid(o) * jnp.tanh(cell), cell  # eq. 9


def _example(features: int = 2, hidden: int = 3, attention: int = 4) -> Weights:
    return Weights(
        jnp.ones((hidden, attention)),
        jnp.ones((features, attention)),
        jnp.ones((hidden, attention)),
        jnp.ones(attention),
        jnp.ones((features, 4 * hidden)),
        jnp.ones((hidden, 4 * hidden)),
    )
