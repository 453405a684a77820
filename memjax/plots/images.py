# SPDX-License-Identifier: Apache-2.0
"""Pictures of hops over an image: where each one looked."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from memjax.plots._figure import cut, make_figure
from memjax.recipes import Sight

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 70


def image_hops(image: ArrayLike, sight: Sight) -> "Figure":
    """Draws an image as it is, and once for each hop: what the hop did not look at fades.

    Args:
        image: uint8 `[R, C, 3]`, that was asked about.
        sight: of `memjax.recipes.Observer.ask`.

    Returns:
        A matplotlib figure: the image on the left, a copy with the weights of its cells for each hop.

    Raises:
        ImportError: if the extra `app` is not installed.
        ValueError: if the image has another shape, or no hop looked at it.

    Example:
        >>> sight = Sight("is the red object on the left?", "yes", {"yes": 1.0}, np.full((2, 8, 8), 1 / 64), 10)
        >>> len(image_hops(np.zeros((75, 75, 3), np.uint8), sight).axes)
        3
    """
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"image: expected shape [R, C, 3], got {pixels.shape}; draw one image at a time")
    hops = len(sight.weights)
    if not hops:
        raise ValueError("sight: expected hops to draw, got none; a model without a memory has no hops")
    rows, columns = pixels.shape[:2]
    figure = make_figure(2.1 * (hops + 1), 2.75, layout="constrained")
    axes = figure.subplots(1, hops + 1)
    for place, axis in enumerate(axes):
        axis.imshow(pixels, interpolation="nearest")
        axis.set_axis_off()
        if not place:
            axis.set_title("image", fontsize=10)
            continue
        weights = sight.weights[place - 1]
        veil = np.kron(weights, np.ones((sight.pixels, sight.pixels)))[
            :rows, :columns
        ]  # cells may reach beyond the edge
        veil = 0.85 * (1 - veil / max(float(veil.max()), 1e-9))
        dark = np.zeros((rows, columns, 4))
        dark[..., 2], dark[..., 3] = 0.15, veil
        axis.imshow(dark, interpolation="nearest")
        axis.set_title(f"hop {place}: {weights.max():.2f} at most", fontsize=10)
    figure.suptitle(f"{cut(sight.question, _LONGEST)}   →   {sight.answer}", fontsize=11, parse_math=False, wrap=True)
    return figure
