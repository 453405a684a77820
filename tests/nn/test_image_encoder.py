# SPDX-License-Identifier: Apache-2.0
"""The image encoder against loops, and what it refuses."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax import encoding, nn
from tests import reference


@pytest.mark.parametrize(
    ("side", "stride", "size"), [(3, 1, (4, 5)), (3, 2, (6, 7)), (4, 2, (7, 6)), (5, 3, (8, 9)), (2, 2, (5, 4))]
)
def test_a_layer_is_a_convolution(side, stride, size):
    encoder = nn.ImageEncoder((3,), (side,), (stride,), channels=2, rngs=nnx.Rngs(0))
    encoder.biases[0][...] = jnp.array([0.1, -0.2, 0.3])
    image = np.random.default_rng(0).random((*size, 2))
    expected = reference.convolve(
        image - 0.5, *map(np.asarray, (encoder.kernels[0][...], encoder.biases[0][...])), stride
    )
    np.testing.assert_allclose(encoder(jnp.asarray(image, jnp.float32)), expected, rtol=1e-5, atol=1e-5)
    assert expected.shape[:2] == tuple(encoder.cells(length) for length in size)


def test_bytes_and_floats_are_the_same_image():
    encoder = nn.ImageEncoder((2, 3), (4, 1), (4, 1), rngs=nnx.Rngs(0))
    image = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_allclose(encoder(image), encoder(jnp.asarray(image / 255, jnp.float32)), rtol=1e-4, atol=1e-5)
    assert (encoder.features, encoder.stride, encoder.cells(8)) == (3, 4, 2)


def test_what_is_no_encoder_or_no_image():
    with pytest.raises(ValueError, match="expected one of each for every layer, got 2, 1 and 2"):
        nn.ImageEncoder((2, 3), (4,), (4, 1), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="strides: expected an integer of at least 1, got 0"):
        nn.ImageEncoder((2,), (4,), (0,), rngs=nnx.Rngs(0))
    encoder = nn.ImageEncoder((2,), (4,), (4,), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"image: expected 3 channels, got shape \(8, 8, 4\)"):
        encoder(jnp.zeros((8, 8, 4)))
    with pytest.raises(ValueError, match=r"image: expected 3 axes \[H, W, channels\], got shape \(8, 8\)"):
        encoder(jnp.zeros((8, 8)))


def test_cells_and_objects_are_slots_as_loops_make_them():
    rng = np.random.default_rng(2)
    grid = rng.standard_normal((3, 4, 2)).astype(np.float32)
    for span in (1.0, 4.0):
        found = encoding.grid_slots(jnp.asarray(grid), span)
        np.testing.assert_allclose(found, reference.grid_slots(grid, span), rtol=1e-6)
    with pytest.raises(ValueError, match="grid: expected floats, got dtype int32; encode the image first"):
        encoding.grid_slots(jnp.zeros((2, 2, 1), jnp.int32))
    with pytest.raises(ValueError, match="slots: rows: expected an integer of at least 1, got 0"):
        encoding.slot_memory(jnp.zeros((0, 3)))
    places, colours, shapes = rng.integers(0, 9, (5, 2)), rng.integers(0, 4, 5), rng.integers(0, 3, 5)
    sizes = {"size": 9, "num_colours": 4, "num_shapes": 3}
    found = encoding.object_slots(*map(jnp.asarray, (places, colours, shapes)), **sizes)
    np.testing.assert_allclose(found, reference.object_slots(places, colours, shapes, **sizes), rtol=1e-6, atol=1e-7)
    memory = encoding.slot_memory(found)
    np.testing.assert_array_equal(memory.keys, found)
    np.testing.assert_array_equal(memory.values, found)
    assert memory.times.tolist() == [0, 1, 2, 3, 4] and memory.count == 5
