# SPDX-License-Identifier: Apache-2.0
"""Pictures of a stream of words: the running score, and where it was cut."""

from typing import TYPE_CHECKING

import numpy as np

from memjax.plots._figure import cut, make_figure
from memjax.recipes import Heard

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 16


def segment_scores(heard: Heard) -> "Figure":
    """Draws the score of the running segment after each word, and the cuts.

    Args:
        heard: of `memjax.recipes.Listener.hear`.

    Returns:
        A matplotlib figure: words from left to right as they came, one bar each. A dark bar takes the score above the
        threshold (dashed); the segment ends there, and the next word begins anew from 0. Segments are shaded in turn.

    Raises:
        ImportError: if the extra `app` is not installed.
        ValueError: if no word was heard.

    Example:
        >>> heard = Heard(("joe", "left"), np.array([-1.0, 1.0]), np.array([False, True]), ("joe left",), (), 0.1)
        >>> len(segment_scores(heard).axes)
        1
    """
    count = len(heard.words)
    if not count:
        raise ValueError("heard: expected words to draw, got none; let the listener hear something first")
    figure = make_figure(1.6 + 0.27 * count, 3.4, layout="constrained")
    axis = figure.subplots()
    axis.bar(np.arange(count), heard.scores, color=["#1f4e79" if end else "#a9c4de" for end in heard.ends])
    axis.axhline(0, color="#666666", linewidth=0.8)
    axis.axhline(heard.threshold, color="#b03a2e", linewidth=0.8, linestyle="--")
    breaks = np.flatnonzero(heard.ends) + 0.5
    for number, (start, end) in enumerate(zip([-0.5, *breaks], [*breaks, count - 0.5], strict=True)):
        if number % 2 == 0 and end > start:
            axis.axvspan(start, end, color="#f2f0e9", zorder=0)
    # People's words may hold a $, which is no formula.
    labels = [cut(word, _LONGEST) for word in heard.words]
    axis.set_xticks(
        np.arange(count), labels, rotation=60, ha="right", rotation_mode="anchor", fontsize=9, parse_math=False
    )
    for label, end in zip(axis.get_xticklabels(), heard.ends, strict=True):
        label.set_fontweight("bold" if end else "normal")
    axis.set_xlim(-0.5, count - 0.5)
    axis.set_ylabel("seg(c) of the running segment", fontsize=9)
    axis.tick_params(axis="y", labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    figure.suptitle(f"{len(heard.segments)} segments in {count} words", fontsize=11)
    return figure
