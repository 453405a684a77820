# SPDX-License-Identifier: Apache-2.0
"""What models that read sequences share: the choice of a core, and dropout."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks
from memjax.nn import LSTM, LSTMN
from memjax.typing import Array

#: A recurrent core by name.
Core = Literal["lstm", "lstmn"]
CORES = ("lstm", "lstmn")


def make_core(
    core: str,
    in_features: int,
    hidden_features: int,
    num_layers: int,
    span: int | None,
    param_dtype: DTypeLike,
    rngs: nnx.Rngs,
) -> LSTM | LSTMN:
    """Makes a core; raises `ValueError` if there is none of that name."""
    _checks.one_of("core", core, CORES)
    if core == "lstm":
        return LSTM(in_features, hidden_features, num_layers=num_layers, param_dtype=param_dtype, rngs=rngs)
    return LSTMN(in_features, hidden_features, num_layers=num_layers, span=span, param_dtype=param_dtype, rngs=rngs)


def check_rate(name: str, rate: float) -> None:
    """Raises `ValueError` unless `rate` is in [0, 1)."""
    if not 0 <= rate < 1:
        raise ValueError(f"{name}: expected a rate of at least 0 and below 1, got {rate!r}")


def drop(x: Array, rate: float, key: Array | None, number: int, axes: tuple[int, ...] = ()) -> Array:
    """Sets a share of features to zero and scales the others up; nothing without a key.

    Args:
        x: anything.
        rate: of what is dropped.
        key: a random key, or None for none.
        number: of the place in the model, so that places differ.
        axes: along which all is dropped alike.
    """
    if key is None or not rate:
        return x
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - rate, shape)
    return jnp.where(kept, x / jnp.asarray(1 - rate, x.dtype), jnp.zeros((), x.dtype))
