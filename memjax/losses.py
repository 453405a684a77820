# SPDX-License-Identifier: Apache-2.0
"""Margin ranking losses: one right choice against wrong ones."""

import jax
import jax.numpy as jnp

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
