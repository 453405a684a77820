# SPDX-License-Identifier: Apache-2.0
"""Pictures of attention over words: arcs above a sentence, and a map of two sentences.

Both are laid out in inches: words are measured first, and the figure is made as large as they need.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from memjax.plots._figure import cut, make_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

_LONGEST_TOKEN = 20
_LONGEST_TITLE = 100
_MARGIN = 0.2  # inches
_WIDEST_LINE = 11.0  # inches; the words of a longer sentence stand upright


def attention_arcs(
    tokens: Sequence[str], weights: ArrayLike, *, threshold: float = 0.1, title: str | None = None
) -> "Figure":
    """Draws a sentence, and an arc from each token to each earlier one it attends to.

    Args:
        tokens: the T words.
        weights: `[T, T]`, row t holds the weights of token t over the tokens before it, as s^t of equation 5. For a
            tape that starts with N slots, `[T, N + T]`, leave out the first N columns.
        threshold: arcs of lower weights are left out.
        title: above the arcs; None leaves it out.

    Returns:
        A matplotlib figure: the tokens from left to right, upright where they would make too long a line. The higher
        the weight, the thicker and darker the arc; weights of 0 have none.

    Raises:
        ImportError: if the extra `app` is not installed.
        ValueError: if there are no tokens, if the weights have another shape, are not between 0 and 1 or look at the
            token itself or a later one, or if the threshold is not between 0 and 1.

    Example:
        >>> figure = attention_arcs(["he", "sits", "down"], [[0, 0, 0], [1, 0, 0], [0.05, 0.95, 0]])
        >>> len(figure.axes[0].patches)
        2

    Reference:
        Cheng, Dong and Lapata, Long Short-Term Memory-Networks for Machine Reading, 2016 (arXiv 1601.06733), figure 4.
    """
    values = _checked(weights, ("tokens", tokens), ("tokens", tokens))
    forward = np.argwhere(np.triu(values))
    if len(forward):
        row, column = map(int, forward[0])
        raise ValueError(
            f"weights: expected row t to be 0 from column t on, got {values[row, column]:.3g} at [{row}, {column}]; "
            "rows are the tokens that attend; attention to later tokens is a picture for attention_map"
        )
    if not 0 <= threshold <= 1:
        raise ValueError(
            f"threshold: expected a number from 0 to 1, got {threshold!r}; arcs of lower weights are left out"
        )

    figure = make_figure()
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    words = [axis.text(0, 0, cut(token, _LONGEST_TOKEN), fontsize=11, parse_math=False) for token in tokens]
    widths, heights = _sizes(figure, words)
    room = np.maximum(widths + 0.14, 0.3)
    upright = room.sum() > _WIDEST_LINE
    if upright:
        room, heights = np.full(len(words), heights.max() + 0.08), widths
    centers = np.cumsum(room) - room / 2
    for word, center in zip(words, centers, strict=True):
        word.set(x=center, y=-0.08, ha="center", va="top", rotation=90 if upright else 0)

    drawn = [tuple(pair) for pair in np.argwhere((values >= threshold) & (values > 0))]
    longest = max((centers[t] - centers[i] for t, i in drawn), default=1.0)
    tallest = float(np.clip(longest / 2, 0.5, 2.6))
    for t, i in sorted(drawn, key=lambda pair: values[pair]):  # the strongest on top
        height = tallest * ((centers[t] - centers[i]) / longest) ** 0.8
        # A Bézier curve reaches three quarters of the height of its control points.
        corners = [(centers[t], 0), (centers[t], height * 4 / 3), (centers[i], height * 4 / 3), (centers[i], 0)]
        path = Path(corners, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        weight = float(values[t, i])
        style = {"linewidth": 0.4 + 3.6 * weight, "alpha": 0.25 + 0.75 * weight}
        axis.add_patch(PathPatch(path, fill=False, edgecolor="#1f4e79", capstyle="round", **style))

    left, right = -_MARGIN, room.sum() + _MARGIN
    bottom, top = -0.08 - heights.max() - _MARGIN, tallest + _MARGIN
    if title is not None:
        middle = room.sum() / 2
        heading = axis.text(
            middle, top, cut(title, _LONGEST_TITLE), fontsize=11, ha="center", va="bottom", parse_math=False
        )
        (width,), (height,) = _sizes(figure, [heading])
        left, right = min(left, middle - width / 2 - _MARGIN), max(right, middle + width / 2 + _MARGIN)
        top += height + _MARGIN
    axis.set(xlim=(left, right), ylim=(bottom, top))
    figure.set_size_inches(right - left, top - bottom)
    return figure


def attention_map(
    row_tokens: Sequence[str], column_tokens: Sequence[str], weights: ArrayLike, *, title: str | None = None
) -> "Figure":
    """Draws attention as a map: a row for each token that attends, a column for each one attended to.

    Args:
        row_tokens: the T words that attend.
        column_tokens: the J words attended to: the same sentence or another one. A slot that a tape starts with takes
            a name as well.
        weights: `[T, J]`, row t holds the weights of token t.
        title: above the map; None leaves it out.

    Returns:
        A matplotlib figure: the map, and a bar with the colours of 0 to 1.

    Raises:
        ImportError: if the extra `app` is not installed.
        ValueError: if one side has no tokens, or the weights have another shape or are not between 0 and 1.

    Example:
        >>> figure = attention_map(["a", "dog"], ["the", "black", "dog"], [[0.8, 0.1, 0.1], [0, 0.2, 0.8]])
        >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
        ['the', 'black', 'dog']
    """
    values = _checked(weights, ("row_tokens", row_tokens), ("column_tokens", column_tokens))
    count_rows, count_columns = values.shape
    figure = make_figure()
    axis = figure.add_axes((0, 0, 1, 1))
    image = axis.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axis.set_yticks(range(count_rows), [cut(t, _LONGEST_TOKEN) for t in row_tokens], fontsize=9, parse_math=False)
    axis.set_xticks(
        range(count_columns),
        [cut(token, _LONGEST_TOKEN) for token in column_tokens],
        fontsize=9,
        rotation=90,
        parse_math=False,
    )
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.set_xticks(np.arange(1, count_columns) - 0.5, minor=True)
    axis.set_yticks(np.arange(1, count_rows) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=0.8)
    axis.tick_params(which="minor", length=0)
    for side in axis.spines.values():
        side.set_color("#999999")

    cell = float(np.clip(5 / max(count_rows, count_columns), 0.24, 0.5))
    width, height = cell * count_columns, cell * count_rows
    left = _MARGIN + _sizes(figure, axis.get_yticklabels())[0].max() + 0.1
    head = _sizes(figure, axis.get_xticklabels())[1].max() + 0.1 + _MARGIN
    whole_width, whole_height = left + width + 0.9, _MARGIN + height + head
    if title is not None:
        heading = figure.text(0.5, 0, cut(title, _LONGEST_TITLE), fontsize=11, ha="center", va="top", parse_math=False)
        (title_width,), (title_height,) = _sizes(figure, [heading])
        whole_height += title_height + 0.1
        extra = max(title_width + 2 * _MARGIN - whole_width, 0)
        left, whole_width = left + extra / 2, whole_width + extra
        heading.set_y(1 - _MARGIN / whole_height)
    figure.set_size_inches(whole_width, whole_height)
    axis.set_position((left / whole_width, _MARGIN / whole_height, width / whole_width, height / whole_height))
    place = ((left + width + 0.2) / whole_width, _MARGIN / whole_height, 0.15 / whole_width, height / whole_height)
    bar = figure.colorbar(image, cax=figure.add_axes(place), ticks=[0, 0.5, 1])
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_edgecolor("#999999")
    return figure


def _checked(weights: ArrayLike, rows: tuple[str, Sequence[str]], columns: tuple[str, Sequence[str]]) -> np.ndarray:
    """The weights in float64; raises `ValueError` where they are no weights of these tokens."""
    for name, tokens in (rows, columns):
        if isinstance(tokens, str) or not len(tokens):
            raise ValueError(f"{name}: expected a list of at least one word, got {tokens!r}; split the sentence first")
    values = np.asarray(weights, np.float64)
    expected = (len(rows[1]), len(columns[1]))
    if values.shape != expected:
        raise ValueError(
            f"weights: expected shape {expected}, {rows[0]} by {columns[0]}, got {values.shape}; take the weights of "
            "one sentence, without padding"
        )
    wrong = np.argwhere(~((values >= 0) & (values <= 1 + 1e-3)))  # a NaN compares as false
    if len(wrong):
        at = tuple(map(int, wrong[0]))
        raise ValueError(
            f"weights: expected numbers from 0 to 1, got {values[at]:.3g} at {list(at)}; take them after the softmax"
        )
    return np.minimum(values, 1)


def _sizes(figure: "Figure", texts: Sequence["Text"]) -> tuple[np.ndarray, np.ndarray]:
    """Widths and heights of texts in inches."""
    boxes = [text.get_window_extent() for text in texts]
    return np.array([box.width for box in boxes]) / figure.dpi, np.array([box.height for box in boxes]) / figure.dpi
