# SPDX-License-Identifier: Apache-2.0
"""Pictures of hops and of attention: what is drawn, which bar is dark, which arc is thick, and that words fit."""

import itertools
import sys

import numpy as np
import pytest

from memjax.recipes import Heard, Reply, Sight, Support

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
    assert "(no answer)" in figure.get_suptitle()
    (axis,) = figure.axes
    assert axis.get_title() == "hop 1: none found" and dark_rows(axis) == []


def test_a_long_question_stays_within_the_picture():
    figure = plots.hop_scores("Where is Joe " + "and everybody else " * 9 + "?", make_reply((0,)))
    draw(figure)
    title = figure._suptitle.get_window_extent()
    assert title.x0 >= 0 and title.x1 <= figure.bbox.width


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


PIANO = ["he", "sits", "down", "at", "the", "piano", "and", "plays"]
WORDS = {
    "short": ["a"] * 40,
    "piano": PIANO,
    "one": ["Hi"],
    "long": ["incomprehensibilities" if word % 3 else "is" for word in range(40)],
    "signs": ["$5_^", "${x$", "a_b\\c", "é", ""],
}


def make_weights(count: int) -> np.ndarray:
    """Attention of each token to earlier ones; the first has none."""
    rng = np.random.default_rng(count)
    return np.array(
        [[*rng.dirichlet(np.ones(t)), *np.zeros(count - t)] if t else np.zeros(count) for t in range(count)]
    )


def arcs(figure) -> dict[tuple[int, int], object]:
    """The arcs by (token that attends, token attended to)."""
    (axis,) = figure.axes
    centers = np.array([word.get_position()[0] for word in axis.texts])
    found = {}
    for patch in axis.patches:
        start, end = (patch.get_path().vertices[at] for at in (0, -1))
        assert start[1] == end[1] == 0
        found[tuple(int(np.argmin(abs(centers - x))) for x in (start[0], end[0]))] = patch
        assert min(abs(centers - start[0])) < 1e-9 and min(abs(centers - end[0])) < 1e-9
    assert len(found) == len(axis.patches)
    return found


def assert_fits(figure, texts) -> None:
    """No text covers another, and none comes near the edge of the picture."""
    draw(figure)
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    width, height = figure.get_size_inches() * figure.dpi
    for box in boxes:
        assert box.x0 > 10 and box.y0 > 10 and box.x1 < width - 10 and box.y1 < height - 10


def test_an_arc_for_each_weight_that_is_not_below_the_threshold():
    weights = np.zeros((4, 4))
    weights[1, 0] = 1
    weights[2, :2] = 0.25, 0.75
    weights[3, :3] = 0.05, 0.2, 0.75
    words = ["the", "dog", "is", "chasing"]
    assert set(arcs(plots.attention_arcs(words, weights))) == {(1, 0), (2, 0), (2, 1), (3, 1), (3, 2)}
    # A weight equal to the threshold is drawn.
    assert set(arcs(plots.attention_arcs(words, weights, threshold=0.25))) == {(1, 0), (2, 0), (2, 1), (3, 2)}
    assert set(arcs(plots.attention_arcs(words, weights, threshold=1))) == {(1, 0)}
    # A weight of 0 has no arc; every other one goes backward.
    every = arcs(plots.attention_arcs(words, weights, threshold=0))
    assert set(every) == {(t, i) for t in range(4) for i in range(t)}


def test_higher_weights_have_thicker_and_darker_arcs_on_top():
    weights = np.zeros((5, 5))
    weights[4, :4] = 0.3, 0.1, 0.4, 0.2
    figure = plots.attention_arcs(PIANO[:5], weights)
    found = arcs(figure)
    ascending = [found[4, i] for i in (1, 3, 0, 2)]
    for value in ("get_linewidth", "get_alpha"):
        steps = np.diff([getattr(arc, value)() for arc in ascending])
        assert steps.min() > 0 and np.allclose(steps, steps[0]), "in proportion to the weight"
    assert list(figure.axes[0].patches) == ascending
    full = arcs(plots.attention_arcs(["a", "b"], [[0, 0], [1, 0]]))[1, 0]
    assert full.get_alpha() == 1 and full.get_linewidth() < 5
    assert ascending[0].get_linewidth() > 0.5 and ascending[0].get_alpha() > 0.2, "still seen"


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_arcs_are_higher_where_tokens_are_farther_apart_and_stay_in_the_picture(words):
    figure = plots.attention_arcs(words, make_weights(len(words)), threshold=0)
    draw(figure)
    (axis,) = figure.axes
    paths = [arc.get_path() for arc in arcs(figure).values()]
    paths.sort(key=lambda path: abs(np.subtract(*path.vertices[[0, -1], 0])))
    heights = [path.get_extents().y1 for path in paths]
    assert all(low <= high + 1e-9 for low, high in itertools.pairwise(heights)) and min(heights, default=1) > 0.05
    assert all(0 < height < axis.get_ylim()[1] for height in heights)
    unit = axis.transData.transform([(0, 0), (1, 1)])
    np.testing.assert_allclose(unit[1] - unit[0], figure.dpi, rtol=1e-6, err_msg="a unit is an inch")


@pytest.mark.parametrize("title", [None, "layer 1", "a title ${x$ that is longer than the words " * 2])
@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_words_stand_in_order_under_the_arcs_and_do_not_overlap(words, title):
    figure = plots.attention_arcs(words, make_weights(len(words)), title=title)
    (axis,) = figure.axes
    assert_fits(figure, axis.texts)
    assert [text.get_text() for text in axis.texts] == [
        *(word if len(word) <= 20 else word[:19] + "…" for word in words),
        *([] if title is None else [title]),
    ]
    places = [text.get_position()[0] for text in axis.texts[: len(words)]]
    assert places == sorted(places)
    line = axis.transData.transform((0, 0))[1]
    for text in axis.texts[: len(words)]:
        assert text.get_window_extent().y1 < line or not text.get_text()
    width, height = figure.get_size_inches()
    assert width < 14 and height < 6


def test_short_sentences_lie_and_long_ones_stand():
    def turned(words):
        figure = plots.attention_arcs(words, make_weights(len(words)))
        return {text.get_rotation() for text in figure.axes[0].texts}

    assert turned(PIANO) == {0} and turned(PIANO * 5) == {90}


@pytest.mark.parametrize(
    ("words", "weights", "message"),
    [
        (["a", "b"], np.zeros((2, 3)), r"weights: expected shape \(2, 2\), tokens by tokens, got \(2, 3\); take"),
        (["a", "b"], np.zeros((3, 3)), r"expected shape \(2, 2\)"),
        (["a", "b"], np.zeros(2), r"expected shape \(2, 2\), tokens by tokens, got \(2,\)"),
        (["a", "b"], [[0, 0], [-0.1, 0]], r"weights: expected numbers from 0 to 1, got -0.1 at \[1, 0\]; take them af"),
        (["a", "b"], [[0, 0], [np.nan, 0]], r"got nan at \[1, 0\]"),
        (["a", "b"], [[0, 0], [np.inf, 0]], r"got inf at \[1, 0\]"),
        (["a", "b"], [[0, 0], [1.1, 0]], r"got 1.1 at \[1, 0\]"),
        (
            ["a", "b"],
            [[0, 0.5], [1, 0]],
            r"weights: expected row t to be 0 from column t on, got 0.5 at \[0, 1\]; rows",
        ),
        (["a", "b"], [[0, 0], [0.5, 0.5]], r"got 0.5 at \[1, 1\]"),
        ([], np.zeros((0, 0)), r"tokens: expected a list of at least one word, got \[\]; split the sentence"),
        ("ab", np.zeros((2, 2)), "tokens: expected a list of at least one word, got 'ab'"),
    ],
)
def test_weights_that_are_none_of_these_tokens(words, weights, message):
    with pytest.raises(ValueError, match=message):
        plots.attention_arcs(words, weights)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_weight(threshold):
    with pytest.raises(ValueError, match="threshold: expected a number from 0 to 1, got"):
        plots.attention_arcs(["a"], [[0]], threshold=threshold)


def test_weights_of_a_softmax_in_low_precision_may_pass_one():
    figure = plots.attention_arcs(["a", "b"], np.array([[0, 0], [1.0001, 0]], np.float32))
    assert len(arcs(figure)) == 1
    draw(figure)


@pytest.mark.parametrize(
    ("rows", "columns"), [("piano", "signs"), ("long", "short"), ("one", "long"), ("signs", "one")]
)
@pytest.mark.parametrize("title", [None, "premise to hypothesis ${x$, longer than a small map is wide"])
def test_a_map_has_rows_that_attend_and_columns_attended_to(rows, columns, title):
    rows, columns = WORDS[rows], WORDS[columns]
    weights = np.random.default_rng(0).dirichlet(np.ones(len(columns)), len(rows))
    figure = plots.attention_map(rows, columns, weights, title=title)
    axis, bar = figure.axes
    across, down = axis.get_xticklabels(), axis.get_yticklabels()
    assert_fits(figure, [*across, *down, *bar.get_yticklabels(), *figure.texts])
    for labels, words in ((across, columns), (down, rows)):
        assert [label.get_text() for label in labels] == [w if len(w) <= 20 else w[:19] + "…" for w in words]
    (image,) = axis.images
    np.testing.assert_array_equal(image.get_array(), weights)
    assert [text.get_text() for text in figure.texts] == ([] if title is None else [title])
    # Labels stand beside their cells, the first row on top, columns named above.
    box = axis.get_window_extent()
    for at, label in enumerate(down):
        low, high = sorted(axis.transData.transform([(0, at - 0.5), (0, at + 0.5)])[:, 1])
        extent = label.get_window_extent()
        assert not label.get_text() or (low < (extent.y0 + extent.y1) / 2 < high and extent.x1 < box.x0)
    for at, label in enumerate(across):
        low, high = axis.transData.transform([(at - 0.5, 0), (at + 0.5, 0)])[:, 0]
        extent = label.get_window_extent()
        assert not label.get_text() or (low < (extent.x0 + extent.x1) / 2 < high and extent.y0 > box.y1)
    assert axis.transData.transform((0, 0))[1] > axis.transData.transform((0, len(rows)))[1]


def test_colors_of_a_map_go_from_0_to_1_whatever_the_weights():
    figure = plots.attention_map(["a"], ["b", "c"], [[0.2, 0.3]])
    draw(figure)
    axis, bar = figure.axes
    assert axis.images[0].get_clim() == (0, 1) and bar.get_ylim() == (0, 1)
    dark = axis.images[0].cmap([0.0, 0.5, 1.0])[:, :3].sum(1)
    assert dark[0] > dark[1] > dark[2], "the higher, the darker"


@pytest.mark.parametrize(
    ("rows", "columns", "weights", "message"),
    [
        (
            ["a"],
            ["b", "c"],
            [[0.5], [0.5]],
            r"weights: expected shape \(1, 2\), row_tokens by column_tokens, got \(2, 1\)",
        ),
        (["a"], ["b", "c"], [[0.5, -0.5]], r"weights: expected numbers from 0 to 1, got -0.5 at \[0, 1\]"),
        ([], ["b"], np.zeros((0, 1)), "row_tokens: expected a list of at least one word"),
        (["a"], "b", [[1]], "column_tokens: expected a list of at least one word, got 'b'"),
    ],
)
def test_weights_that_make_no_map(rows, columns, weights, message):
    with pytest.raises(ValueError, match=message):
        plots.attention_map(rows, columns, weights)


def test_attention_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for picture in (lambda: plots.attention_arcs(["a"], [[0]]), lambda: plots.attention_map(["a"], ["b"], [[1]])):
        with pytest.raises(ImportError, match=r"pip install 'memjax\[app\]'"):
            picture()


def test_attention_can_be_saved(tmp_path):
    for name, figure in (
        ("arcs", plots.attention_arcs(PIANO, make_weights(8), title="piano")),
        ("map", plots.attention_map(PIANO, PIANO, make_weights(8))),
    ):
        figure.savefig(tmp_path / f"{name}.png", dpi=150)
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def make_heard(ends: tuple[int, ...], words: tuple[str, ...]) -> Heard:
    """Words, some of which end a segment."""
    cuts = np.isin(np.arange(len(words)), ends)
    pieces = np.split(np.array(words, object), np.flatnonzero(cuts) + 1)[: len(ends)]
    return Heard(words, np.where(cuts, 1.0, -0.5), cuts, tuple(map(" ".join, pieces)), (), 0.1)


@pytest.mark.parametrize("ends", [(), (4,), (4, 8)])
def test_a_stream_with_its_cuts(ends):
    heard = make_heard(ends, ("joe", "went", "to", "the", "${x$", "then", "fred", "left", "here"))
    figure = plots.segment_scores(heard)
    draw(figure)
    (axis,) = figure.axes
    assert f"{len(ends)} segments in 9 words" in figure.get_suptitle()
    assert [label.get_text() for label in axis.get_xticklabels()] == list(heard.words)
    assert [i for i, label in enumerate(axis.get_xticklabels()) if label.get_fontweight() == "bold"] == list(ends)
    np.testing.assert_allclose([bar.get_height() for bar in axis.containers[0]], heard.scores)


def test_nothing_was_heard():
    with pytest.raises(ValueError, match="heard: expected words to draw, got none; let the listener hear something"):
        plots.segment_scores(make_heard((), ()))


def test_an_image_fades_where_a_hop_did_not_look():
    weights = np.zeros((2, 8, 8))
    weights[0, 2, 5], weights[1] = 0.8, 1 / 64
    image = np.random.default_rng(0).integers(0, 256, (75, 75, 3), np.uint8)
    figure = plots.image_hops(image, Sight("what $x$ is it?", "circle", {"circle": 1.0}, weights, 10))
    draw(figure)
    plain, first, second = figure.axes
    assert len(plain.images) == 1
    np.testing.assert_array_equal(plain.images[0].get_array(), image)
    veil = np.asarray(first.images[1].get_array())[..., 3]
    assert not veil[20:30, 50:60].any() and (np.delete(veil, range(20, 30), axis=0) == 0.85).all()
    assert not np.asarray(second.images[1].get_array())[..., 3].any()  # it looked everywhere alike
    assert "circle" in figure.get_suptitle() and "0.80" in first.get_title()


def test_images_and_hops_that_cannot_be_drawn():
    sight = Sight("?", "yes", {"yes": 1.0}, np.zeros((0, 8, 8)), 10)
    with pytest.raises(ValueError, match="sight: expected hops to draw, got none; a model without a memory"):
        plots.image_hops(np.zeros((75, 75, 3), np.uint8), sight)
    with pytest.raises(ValueError, match=r"image: expected shape \[R, C, 3\], got \(75, 75\)"):
        plots.image_hops(np.zeros((75, 75), np.uint8), sight)
