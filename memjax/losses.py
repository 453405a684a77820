# SPDX-License-Identifier: Apache-2.0
"""Losses: margin ranking of one right choice against wrong ones, and the log-likelihood of words."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jax.typing import DTypeLike

from memjax import _checks
from memjax.typing import Array


def hinge(advantages: Array, where: Array, margin: float = 0.1) -> Array:
    """The sum over wrong choices of max(0, margin - advantage).

    Args:
        advantages: float `[K]`, by how much the right choice outscores each other one.
        where: bool `[K]`, the wrong choices; none give a loss of 0.
        margin: gamma.

    Returns:
        Scalar.

    Example:
        >>> hinge(jnp.array([1.0, 0.0]), jnp.array([True, True]), margin=0.5)
        Array(0.5, dtype=float32)

    Reference: Weston et al. 2015, equations 6 to 8; margin of section 5.
    Departs from the paper: nothing.
    """
    return jnp.sum(jnp.where(where, jax.nn.relu(margin - advantages), 0.0))


def softmax_margin(advantages: Array, where: Array, margin: float = 0.1) -> Array:
    """log(1 + sum over wrong choices of exp(margin - advantage)).

    A smooth hinge over all wrong choices at once: their gradients add up to less than 1, so that many easy ones do
    not outweigh the hard one.

    Args:
        advantages: float `[K]`, by how much the right choice outscores each other one.
        where: bool `[K]`, the wrong choices; none give a loss of 0.
        margin: gamma.

    Returns:
        Scalar.

    Example:
        >>> softmax_margin(jnp.array([0.0, 5.0]), jnp.array([True, False]), margin=0.0)
        Array(0.6931472, dtype=float32)

    Departs from the paper: the paper uses the hinge.
    """
    excess = jnp.where(where, margin - advantages, -jnp.inf)
    top = jax.lax.stop_gradient(jnp.max(excess, initial=0.0))
    return top + jnp.log(jnp.exp(-top) + jnp.sum(jnp.exp(excess - top)))


def sample_one(key: Array, where: Array) -> Array:
    """Keeps one of the choices, drawn uniformly: the paper's one wrong choice for each step.

    Args:
        key: a random key.
        where: bool `[K]`, the choices to draw from.

    Returns:
        bool `[K]`, one True at most; none where there was nothing to draw.

    Example:
        >>> sample_one(jax.random.key(0), jnp.array([False, True, False]))
        Array([False,  True, False], dtype=bool)

    Reference: Weston et al. 2015, section 3.1, after WSABIE.
    Departs from the paper: it does not state the distribution.
    """
    drawn = jnp.argmax(jnp.where(where, jax.random.uniform(key, where.shape), -1.0))
    return where & (jnp.arange(where.shape[0]) == drawn)


def word_loss(
    hidden: Array,
    kernel: Array,
    bias: Array,
    targets: Array,
    weights: Array,
    block: int = 256,
    dtype: DTypeLike | None = None,
) -> Array:
    """The weighted sum of -log softmax(h W + b) at the right words: the loss of a language model.

    Words are taken in blocks, and each block gives its part of the gradient while its scores are at hand: no array of
    words times vocabulary stays, and the products are three, not four. Unbatched in the sense that all words are one
    axis; join batch and steps first.

    Args:
        hidden: h, float `[M, H]`.
        kernel: W, float `[H, V]`.
        bias: b, float `[V]`.
        targets: int `[M]`, the right words.
        weights: float `[M]`, of each word in the sum; 0 leaves it out. They get no gradient.
        block: words whose scores are held at once, up to the next multiple of 8.
        dtype: of what enters the products; sums are at least float32. None is that of the arguments.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: if a shape does not fit, or `block` is below 1.

    Example:
        >>> word_loss(jnp.ones((2, 3)), jnp.zeros((3, 4)), jnp.zeros(4), jnp.array([1, 2]), jnp.array([1.0, 0.0]))
        Array(1.3862944, dtype=float32)

    Reference: Cheng et al. 2016, section 5.1: perplexity is exp of this loss over the number of words.
    Departs from the paper: nothing.
    """
    _check_words(hidden, kernel, bias, targets, weights, block)
    left_out = weights == 0
    targets = jnp.where(left_out, 0, targets)  # what is left out may be no word, and no number
    hidden = jnp.where(left_out[:, None], jnp.zeros((), hidden.dtype), hidden)
    weights = weights.astype(jnp.promote_types(jnp.float32, hidden.dtype))
    return _word_loss(hidden, kernel, bias, targets, weights, block, dtype)


@partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def _word_loss(
    hidden: Array, kernel: Array, bias: Array, targets: Array, weights: Array, block: int, dtype: DTypeLike | None
) -> Array:
    log_probs = _log_probs(hidden, kernel, bias, targets, block, dtype)
    return -jnp.sum(jnp.where(weights == 0, 0, weights * log_probs))


def _word_loss_fwd(
    hidden: Array, kernel: Array, bias: Array, targets: Array, weights: Array, block: int, dtype: DTypeLike | None
) -> tuple[Array, tuple[Array, ...]]:
    dtype = jnp.result_type(hidden, kernel) if dtype is None else dtype
    sums = jnp.promote_types(jnp.float32, hidden.dtype)
    product = partial(jnp.matmul, preferred_element_type=sums)
    transposed = _row_major(jnp.asarray(kernel.T, dtype))  # [V, H]

    def one(carry: tuple[Array, ...], args: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array]:
        loss, kernel_grad, bias_grad = carry
        states, words, weight = args
        scores = _scores(states, kernel, bias, dtype)  # [block, V]
        total = jax.nn.logsumexp(scores, axis=1)
        loss = loss + jnp.sum(jnp.where(weight == 0, 0, weight * (total - _at(scores, words))))
        right = jnp.arange(scores.shape[1])[None] == words[:, None]
        pull = weight[:, None] * (jnp.exp(scores - total[:, None]) - right)
        bias_grad = bias_grad + jnp.sum(pull, axis=0)
        pull = pull.astype(dtype)
        kernel_grad = kernel_grad + product(_row_major(states.T.astype(dtype)), pull)
        return (loss, kernel_grad, bias_grad), product(pull, transposed)

    start: tuple[Array, ...] = (jnp.zeros((), sums), jnp.zeros(kernel.shape, sums), jnp.zeros(bias.shape, sums))
    (loss, kernel_grad, bias_grad), pulls = jax.lax.scan(one, start, _blocks((hidden, targets, weights), block))
    hidden_grad = _joined(pulls)[: hidden.shape[0]]
    grads = (hidden_grad.astype(hidden.dtype), kernel_grad.astype(kernel.dtype), bias_grad.astype(bias.dtype))
    return loss, (*grads, jnp.zeros_like(weights))


def _row_major(matrix: Array) -> Array:
    """Copies a transposed matrix of narrow floats: on a CPU, products with a mere view take four times as long."""
    return matrix if matrix.dtype.itemsize > 2 else with_layout_constraint(matrix, Layout(major_to_minor=(0, 1)))


def _word_loss_bwd(
    block: int, dtype: DTypeLike | None, grads: tuple[Array, ...], cotangent: Array
) -> tuple[Array | None, ...]:
    hidden, kernel, bias, weights = grads

    def scale(grad: Array) -> Array:
        return (cotangent * grad).astype(grad.dtype)

    return scale(hidden), scale(kernel), scale(bias), None, weights


_word_loss.defvjp(_word_loss_fwd, _word_loss_bwd)


def word_log_probs(
    hidden: Array,
    kernel: Array,
    bias: Array,
    targets: Array,
    block: int = 256,
) -> Array:
    """log softmax(h W + b) at given words, in blocks of words.

    Args:
        hidden: h, float `[M, H]`.
        kernel: W, float `[H, V]`.
        bias: b, float `[V]`.
        targets: int `[M]`.
        block: words whose scores are held at once, up to the next multiple of 8.

    Returns:
        `[M]`, at least float32.

    Raises:
        ValueError: if a shape does not fit, or `block` is below 1.

    Example:
        >>> word_log_probs(jnp.ones((1, 3)), jnp.zeros((3, 4)), jnp.zeros(4), jnp.array([1])).shape
        (1,)
    """
    _check_words(hidden, kernel, bias, targets, targets, block)

    return _log_probs(hidden, kernel, bias, targets, block, None)


def _log_probs(hidden: Array, kernel: Array, bias: Array, targets: Array, block: int, dtype: DTypeLike | None) -> Array:
    def one(args: tuple[Array, Array]) -> Array:
        scores = _scores(args[0], kernel, bias, dtype)
        return _at(scores, args[1]) - jax.nn.logsumexp(scores, axis=1)

    return _joined(jax.lax.map(one, _blocks((hidden, targets), block)))[: hidden.shape[0]]


def _check_words(hidden: Array, kernel: Array, bias: Array, targets: Array, weights: Array, block: int) -> None:
    _checks.positive("block", block)
    _checks.rank("hidden", hidden, 2, "[M, H]")
    _checks.shape("kernel", kernel, (hidden.shape[1], *jnp.shape(kernel)[1:2]))
    _checks.shape("bias", bias, kernel.shape[1:])
    _checks.shape("targets", targets, hidden.shape[:1])
    _checks.shape("weights", weights, hidden.shape[:1])


def _scores(hidden: Array, kernel: Array, bias: Array, dtype: DTypeLike | None) -> Array:
    """h W + b, `[M, V]`."""
    sums = jnp.promote_types(jnp.float32, hidden.dtype)
    if dtype is not None:
        hidden, kernel = hidden.astype(dtype), kernel.astype(dtype)
    return jnp.matmul(hidden, kernel, preferred_element_type=sums) + bias.astype(sums)[None]


def _at(scores: Array, words: Array) -> Array:
    """Each row's score of its word."""
    return jnp.take_along_axis(scores, words[:, None], axis=1)[:, 0]


def _blocks(arrays: tuple[Array, ...], block: int) -> tuple[Array, ...]:
    """Splits leading axes into blocks of equal size, a multiple of 8, with zeros at the end.

    Word i is of block i modulo their number: where devices divide the words, each computes its part of every block.
    """
    size = arrays[0].shape[0]
    count = -(-size // block)
    block = -(-size // max(8 * count, 1)) * 8  # no block that is almost all padding

    def split(array: Array) -> Array:
        rest = count * block - size
        padded = jnp.pad(array, ((0, rest), *[(0, 0)] * (array.ndim - 1)))
        return jnp.swapaxes(padded.reshape(block, count, *array.shape[1:]), 0, 1)

    return tuple(split(array) for array in arrays)


def _joined(blocks: Array) -> Array:
    """The inverse of `_blocks`, with its zeros."""
    return jnp.swapaxes(blocks, 0, 1).reshape(-1, *blocks.shape[2:])
