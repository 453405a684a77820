# SPDX-License-Identifier: Apache-2.0
"""Parameters that several layers share the shape of."""

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks
from memjax.typing import Array

#: Uniform in +-1 / sqrt(rows), as of the released code of the LSTMN and of most LSTMs.
default_init = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def matrix(rngs: nnx.Rngs, rows: int, columns: int, init: nnx.Initializer, dtype: DTypeLike) -> nnx.Param:
    """Makes a parameter `[rows, columns]`."""
    return nnx.Param(init(rngs.params(), (rows, columns), dtype))


def vector(rngs: nnx.Rngs, size: int, init: nnx.Initializer, dtype: DTypeLike) -> nnx.Param:
    """Makes the parameter `[size]` that scores are a product with: a matrix of one column."""
    return nnx.Param(init(rngs.params(), (size, 1), dtype)[:, 0])


def bias(size: int, use: bool, dtype: DTypeLike) -> nnx.Param | None:
    """Makes a bias `[size]` of zeros, or none."""
    return nnx.Param(jnp.zeros(size, dtype)) if use else nnx.data(None)


def cast(param: nnx.Param | None, dtype: DTypeLike) -> Array | None:
    """Returns a parameter's array as the type that is computed in."""
    return None if param is None else param[...].astype(dtype)


def compute_dtype(dtype: DTypeLike | None, param: nnx.Param, inputs: Array | None = None) -> jnp.dtype:
    """Returns the type to compute in: the one asked for, else that of parameters and inputs together."""
    if dtype is not None:
        return jnp.dtype(dtype)
    own = param.get_value().dtype  # also of a module that is a structure only
    return own if inputs is None else jnp.promote_types(inputs.dtype, own)


def check_sizes(**sizes: int | None) -> None:
    """Raises `ValueError` unless each size that is not None is an integer of at least 1."""
    for name, size in sizes.items():
        if size is not None:
            _checks.positive(name, size)
