# SPDX-License-Identifier: Apache-2.0
"""Pictures of hops: what is drawn, and which bar is dark."""

import sys

import numpy as np
import pytest

from memjax.recipes import Reply, Support

pytest.importorskip("matplotlib", reason="the extra `app` is not installed")
plots = pytest.importorskip("memjax.plots")

STORY = tuple(f"{who} went to the {where}." for who in ("Joe", "Fred", "Dan") for where in ("kitchen", "garden"))


def make_reply(
    found: tuple[int, ...], story: tuple[str, ...] = STORY, forgotten: int = 0, answer: str = "hall"
) -> Reply:
    """An answer whose hops found the rows `found`; equal statements have equal scores."""
    by_text = {text: score for score, text in enumerate(dict.fromkeys(story))}
    scores = np.array([[hop + by_text[text] / 4 - 0.4 for text in story] for hop in range(max(len(found), 1))])
    supports = tuple(
        Support(story[row], row + forgotten, row, float(scores[hop, row])) for hop, row in enumerate(found)
    )
    return Reply(answer, supports, (), scores, story)


def bars(axis) -> list:
    """The bars of a hop from the first statement to the last."""
    return sorted(axis.patches, key=lambda bar: bar.get_y())


def dark_rows(axis) -> list[int]:
    """The rows of another colour than most: the darkest."""
    brightness = [sum(bar.get_facecolor()[:3]) for bar in bars(axis)]
    return [row for row, value in enumerate(brightness) if value < 1.5]


def draw(figure) -> None:
    """Draws for real: layout and fonts can warn, and warnings are errors."""
    figure.canvas.draw()


@pytest.mark.parametrize("found", [(3,), (2, 0), (5, 4, 1)])
def test_one_column_a_hop_with_what_was_found_dark(found):
    reply = make_reply(found)
    figure = plots.hop_scores("Where is Joe?", reply)
    draw(figure)
    assert len(figure.axes) == len(found)
    for hop, axis in enumerate(figure.axes):
        assert axis.get_title() == f"hop {hop + 1}"
        assert dark_rows(axis) == [found[hop]]
        np.testing.assert_allclose([bar.get_width() for bar in bars(axis)], reply.scores[hop])


def test_the_first_statement_is_at_the_top():
    figure = plots.hop_scores("Where is Joe?", make_reply((0,)))
    draw(figure)
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == list(STORY)
    top, bottom = axis.transData.transform([(0, 0), (0, len(STORY) - 1)])[:, 1]
    assert top > bottom


def test_question_and_answer_are_the_title():
    figure = plots.hop_scores("Where is Joe?", make_reply((0,)))
    assert "Where is Joe?" in figure.get_suptitle() and "hall" in figure.get_suptitle()
    figure = plots.hop_scores("Where is Joe?", make_reply((), answer=""))
    draw(figure)
    assert "nothing to answer from" in figure.get_suptitle()
    (axis,) = figure.axes
    assert axis.get_title() == "hop 1: none found" and dark_rows(axis) == []


# Where some are forgotten, equal statements are told apart by a hop that found another one.
@pytest.mark.parametrize(
    ("found", "forgotten"), [((0, 2), 0), ((2, 0), 0), ((4, 2), 0), ((1, 4), 0), ((1, 4), 7), ((2, 3), 7)]
)
def test_the_right_one_of_equal_statements_is_dark(found, forgotten):
    """Also past the memory's capacity, when rows and numbers of statements differ."""
    story = ("Joe left.", "Joe sat.", "Joe left.", "Joe stood.", "Joe left.", "Joe ran.")
    figure = plots.hop_scores("Where is Joe?", make_reply(found, story, forgotten))
    shown = [dark_rows(axis) for axis in figure.axes]
    assert shown == [[row] for row in found]


def test_statements_that_could_not_be_found_have_no_bar():
    reply = make_reply((2, 0))
    scores = reply.scores.copy()
    scores[1, 2:4] = np.nan
    figure = plots.hop_scores("Where is Joe?", Reply("hall", reply.supports, (), scores, STORY))
    draw(figure)
    assert [bar.get_width() for bar in bars(figure.axes[1])][2:4] == [0, 0]
    assert dark_rows(figure.axes[1]) == [0]


def test_long_statements_and_signs_of_formulas():
    story = ("Joe " + "very " * 40 + "slowly left.", "It cost $5_^ and ${x$.", "a_b\\c é")
    figure = plots.hop_scores("Where is ${x$?", make_reply((0, 1), story, answer="${x$"))
    draw(figure)
    label = figure.axes[0].get_yticklabels()[0].get_text()
    assert len(label) == 60 and label.endswith("…")


def test_nothing_in_memory():
    with pytest.raises(ValueError, match="reply: expected statements in memory to draw, got none; tell the answerer"):
        plots.hop_scores("Where is Joe?", Reply("", (), (), np.zeros((1, 0)), ()))


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'memjax\[app\]'"):
        plots.hop_scores("Where is Joe?", make_reply((0,)))


@pytest.mark.parametrize("count", [1, 6, 40])
def test_a_picture_of_any_length_can_be_saved(tmp_path, count):
    story = tuple(f"Joe went to room {row}." for row in range(count))
    figure = plots.hop_scores("Where is Joe?", make_reply((count - 1, 0), story))
    figure.savefig(tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")
    height = figure.get_size_inches()[1]
    assert 0.25 < height / count < 2.5, "a row keeps its height"
