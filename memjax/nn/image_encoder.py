# SPDX-License-Identifier: Apache-2.0
"""From the pixels of an image to features of the cells of a grid."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks
from memjax.nn import _weights
from memjax.typing import Array


class ImageEncoder(nnx.Module):
    """A convolutional network: layers of a convolution and a ReLU, each with a stride.

    Args:
        features: of each layer; the last ones are D.
        kernels: pixels of a side of each layer's kernels.
        strides: of each layer; 1 keeps the size, 2 halves it, rounded up.
        channels: of the image.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if there is no layer, lists differ in length, or a size is below 1.

    Example:
        >>> encoder = ImageEncoder(rngs=nnx.Rngs(0))
        >>> encoder(jnp.zeros((75, 75, 3), jnp.uint8)).shape, encoder.cells(75)
        ((8, 8, 32), 8)

    Reference: Santoro et al. 2017 (Relation Networks), section 4.
    Departs from the paper: kernels, strides and features, which are chosen for a CPU; no batch normalization. Windows
    whose side is a multiple of their stride begin at whole strides from the image's corner; others are centred.
    """

    def __init__(
        self,
        features: Sequence[int] = (32, 48, 32),
        kernels: Sequence[int] = (10, 3, 1),
        strides: Sequence[int] = (5, 2, 1),
        *,
        channels: int = 3,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if not features or not len(features) == len(kernels) == len(strides):
            raise ValueError(
                f"features, kernels, strides: expected one of each for every layer, got {len(features)}, "
                f"{len(kernels)} and {len(strides)}"
            )
        sizes = {"features": features, "kernels": kernels, "strides": strides}
        for name, values in sizes.items():
            for value in values:
                _checks.positive(name, value)
        _weights.check_sizes(channels=channels)
        self.channels, self.sides, self.strides = channels, tuple(kernels), tuple(strides)
        self.kernels = nnx.List(
            _weights.matrix(rngs, before * kernel**2, after, nnx.initializers.he_uniform(), param_dtype)
            for before, after, kernel in zip((channels, *features), features, kernels, strict=False)
        )
        self.biases = nnx.List(nnx.Param(jnp.zeros(size, param_dtype)) for size in features)

    def __call__(self, image: Array) -> Array:
        """Encodes an image.

        Args:
            image: `[H, W, channels]`: integers from 0 to 255, or floats from 0 to 1.

        Returns:
            `[R, C, D]`.

        Raises:
            ValueError: if the image has another rank or other channels.
        """
        _checks.rank("image", image, 3, "[H, W, channels]")
        if image.shape[2] != self.channels:
            raise ValueError(f"image: expected {self.channels} channels, got shape {image.shape}")
        if jnp.issubdtype(image.dtype, jnp.integer):
            image = image.astype(self.kernels[0].get_value().dtype) / 255
        cells = image - 0.5
        for kernel, bias, side, stride in zip(self.kernels, self.biases, self.sides, self.strides, strict=True):
            patches = _patches(cells, side, stride)
            rows, columns, size = patches.shape
            mapped = patches.reshape(rows * columns, size) @ kernel[...] + bias[...][None]
            cells = jax.nn.relu(mapped).reshape(rows, columns, -1)
        return cells

    @property
    def features(self) -> int:
        """D, of each cell."""
        return self.biases[-1].get_value().shape[0]

    @property
    def stride(self) -> int:
        """Pixels from one cell to the next."""
        return math.prod(self.strides)

    def cells(self, size: int) -> int:
        """How many cells a side of `size` pixels is divided in."""
        for stride in self.strides:
            size = -(-size // stride)
        return size


def _patches(cells: Array, side: int, stride: int) -> Array:
    """What each step of a convolution sees, `[R, C, side side D]`, the sides padded with zeros.

    A convolution as a product: XLA's own is several times slower on a CPU inside of a scan, as an epoch is.
    """
    if stride > 1 and side % stride == 0:  # blocks that do not overlap are cheap; neighbouring blocks make a patch
        ends = [(0, -size % stride) for size in cells.shape[:2]]
        cells = jnp.pad(cells, (*ends, (0, 0)))
        rows, columns = cells.shape[0] // stride, cells.shape[1] // stride
        cells = cells.reshape(rows, stride, columns, stride, -1).transpose(0, 2, 1, 3, 4).reshape(rows, columns, -1)
        side, stride = side // stride, 1
    rows, columns = (-(-size // stride) for size in cells.shape[:2])
    missing = [max((-(-size // stride) - 1) * stride + side - size, 0) for size in cells.shape[:2]]
    cells = jnp.pad(cells, (*((short // 2, short - short // 2) for short in missing), (0, 0)))
    parts = [
        cells[i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
        for i in range(side)
        for j in range(side)
    ]
    return jnp.concatenate(parts, axis=2)
