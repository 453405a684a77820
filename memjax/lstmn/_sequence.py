# SPDX-License-Identifier: Apache-2.0
"""Padded batches of sequences: which steps count, and in what order they run."""

import jax.numpy as jnp
from jax import lax

from memjax.typing import Array


def counts(batch: int, count: int, lengths: Array | None) -> Array:
    """Returns bool `[B, T]`: the steps that count."""
    if lengths is None:
        return jnp.ones((batch, count), bool)
    return jnp.arange(count)[None] < lengths[:, None]


def keep(array: Array, lengths: Array | None) -> Array:
    """Returns `[B, T, F]` with zeros at padded steps."""
    if lengths is None:
        return array
    batch, count = array.shape[:2]
    return jnp.where(counts(batch, count, jnp.asarray(lengths))[..., None], array, 0)


def places(batch: int, count: int, lengths: Array | None) -> Array:
    """Returns `[B, T]`: where each place is found in a row whose first `length` steps are turned round."""
    place = jnp.arange(count)[None]
    if lengths is None:
        return jnp.broadcast_to(count - 1 - place, (batch, count))
    return jnp.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)


def turn(array: Array, lengths: Array | None) -> Array:
    """Turns the first `length` steps of each row round; `[B, T, F]`."""
    if lengths is None:
        return lax.rev(array, (1,))
    batch, count, _ = array.shape
    return jnp.take_along_axis(array, places(batch, count, lengths)[..., None], axis=1)


def time_major(array: Array, lengths: Array | None, reverse: bool) -> Array:
    """Returns `[T, B, F]` of `[B, T, F]`, in the order in which the steps run."""
    return (turn(array, lengths) if reverse else array).swapaxes(0, 1)


def batch_major(array: Array, lengths: Array | None, reverse: bool) -> Array:
    """Takes `time_major` back, with zeros at padded steps."""
    array = keep(array.swapaxes(0, 1), lengths)
    return turn(array, lengths) if reverse else array
