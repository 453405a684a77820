# SPDX-License-Identifier: Apache-2.0
"""Pictures of hops: how each statement scored, and which one was found."""

from typing import TYPE_CHECKING

import numpy as np

from memjax.plots._figure import cut, make_figure
from memjax.recipes import Reply

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 60


def hop_scores(question: str, reply: Reply) -> "Figure":
    """Draws the score, or the weight, of each statement of a story at each hop, and which one was found.

    Args:
        question: as it was asked.
        reply: of `memjax.recipes.Answerer.ask`.

    Returns:
        A matplotlib figure: statements from top to bottom in the order they were told, one column of bars a hop.
        The found statement is dark, not always the longest bar: with time features a newer fact can win over one
        with a higher score. A statement that could not be found at a hop has no bar.

    Raises:
        ImportError: if the extra `app` is not installed.
        ValueError: if there is nothing in memory to draw.

    Example:
        >>> reply = Reply("hall", (), (), np.array([[0.5, 1.5]]), ("Joe left.", "Joe went to the hall."))
        >>> figure = hop_scores("Where is Joe?", reply)
        >>> len(figure.axes)
        1
    """
    if not reply.statements:
        raise ValueError("reply: expected statements in memory to draw, got none; tell the answerer something first")
    hops, told = reply.scores.shape
    figure = make_figure(4.2 + 2.6 * hops, 1.6 + 0.3 * told, layout="constrained")
    axes = figure.subplots(1, hops, sharey=True, squeeze=False)[0]
    rows = np.arange(told)
    labels = [cut(text, _LONGEST) for text in reply.statements]
    for hop, axis in enumerate(axes):
        found = reply.supports[hop].row if hop < len(reply.supports) else None
        colors = ["#1f4e79" if row == found else "#a9c4de" for row in rows]
        axis.barh(rows, np.nan_to_num(reply.scores[hop]), color=colors)
        axis.axvline(0, color="#666666", linewidth=0.8)
        axis.set_title(f"hop {hop + 1}: none found" if found is None else f"hop {hop + 1}", fontsize=10)
        axis.set_xlabel("weight" if reply.soft else "score $s_O$", fontsize=9)
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    # People's words may hold a $, which is no formula.
    axes[0].set_yticks(rows, labels, fontsize=8, parse_math=False)
    axes[0].set_ylim(told - 0.5, -0.5)  # the first on top
    title = f"{question}   →   {reply.answer or '(no answer)'}"
    figure.suptitle(title, fontsize=11, parse_math=False, wrap=True)
    return figure
