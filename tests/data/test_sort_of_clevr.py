# SPDX-License-Identifier: Apache-2.0
"""Images of six objects: what is drawn is what lies there, and answers are those of a loop over the objects."""

import numpy as np
import pytest

from memjax.data import sort_of_clevr
from memjax.data.sort_of_clevr import ANSWERS, COLOURS, QUESTIONS, SHAPES, generate, question_number
from tests import reference

SCENES = generate(3, "train", 300)


def test_answers_and_supports_are_those_of_a_loop():
    for i in range(len(SCENES)):
        centers, shapes = SCENES.centers[i].tolist(), [SHAPES[shape] for shape in SCENES.shapes[i]]
        for question, answer, supports in zip(
            SCENES.questions[i], SCENES.answers[i], SCENES.supports[i].tolist(), strict=True
        ):
            colour = next(word for word in QUESTIONS[question].split() if word in COLOURS)
            expected, rests_on = reference.scene_answer(QUESTIONS[question], COLOURS.index(colour), centers, shapes)
            assert ANSWERS[answer] == expected
            assert [support for support in supports if support >= 0] == rests_on


def test_objects_lie_apart_inside_the_image_and_are_drawn_where_they_lie():
    across = np.abs(SCENES.centers[:, :, None] - SCENES.centers[:, None]).max(3)
    across[:, range(6), range(6)] = 99
    assert across.min() > 2 * sort_of_clevr.RADIUS
    assert SCENES.centers.min() >= 5 and SCENES.centers.max() <= 69
    rgb = {tuple(SCENES.images[0][y, x]) for x, y in SCENES.centers[0]}
    assert len(rgb) == 6  # a colour each
    for i in range(40):
        image, drawn = SCENES.images[i], 0
        for (x, y), shape in zip(SCENES.centers[i], SCENES.shapes[i], strict=True):
            part = (image[y - 5 : y + 6, x - 5 : x + 6] == image[y, x]).all(2)
            dy, dx = np.mgrid[-5:6, -5:6]
            expected = (dx**2 + dy**2 <= 30.25) if SHAPES[shape] == "circle" else np.ones((11, 11), bool)
            np.testing.assert_array_equal(part, expected)
            drawn += expected.sum()
        assert (image != 255).any(2).sum() == drawn  # nothing else


def test_ten_different_questions_of_each_sort():
    first = sort_of_clevr.FIRST_RELATIONAL * len(COLOURS)
    assert (SCENES.questions[:, :10] < first).all() and (SCENES.questions[:, 10:] >= first).all()
    assert all(len(set(row)) == 20 for row in SCENES.questions.tolist())
    assert np.bincount(SCENES.questions.ravel(), minlength=36).min() > 120
    assert np.bincount(SCENES.answers.ravel(), minlength=10).min() > 0


def test_splits_and_seeds_differ_and_come_again():
    again = generate(3, "train", 300)
    for name in ("images", "centers", "shapes", "questions", "answers", "supports"):
        np.testing.assert_array_equal(getattr(again, name), getattr(SCENES, name))
    assert SCENES.images.dtype == np.uint8 and SCENES.images.shape == (300, 75, 75, 3)
    for other in (generate(3, "valid", 300), generate(4, "train", 300)):
        assert (other.centers != SCENES.centers).any(axis=(1, 2)).mean() > 0.99
    assert len(generate(0, "valid")) == len(generate(0, "test")) == 200
    with pytest.raises(ValueError, match=r"split: expected one of .* did you mean 'valid'"):
        generate(0, "vaild")
    with pytest.raises(ValueError, match="num_images: expected an integer of at least 1, got 0"):
        generate(0, "train", 0)
    with pytest.raises(ValueError, match=r"seed: expected an integer from 0 to 2\*\*32 - 1, got -1"):
        generate(-1, "train")


def test_questions_are_known_by_their_words():
    for number, question in enumerate(QUESTIONS):
        assert question_number(question.upper().removesuffix("?")) == number
    for wrong, message in {
        "is the purple object on the left?": r"words that are in none of them: \['purple'\]",
        "what is the colour of the red object?": r"\['colour'\]",
        "is the red object on the right": "did you mean 'is the red object on the left\\?'",
        "": "question: expected one of .* with a colour of .*'yellow'",
    }.items():
        with pytest.raises(ValueError, match=message):
            question_number(wrong)
