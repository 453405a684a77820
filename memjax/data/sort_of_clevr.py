# SPDX-License-Identifier: Apache-2.0
"""Sort-of-CLEVR: images of six objects, and questions about one of them or about how it stands to the others."""

import dataclasses
import difflib
from collections.abc import Iterator

import numpy as np

from memjax import _checks
from memjax.data.stories import tokenize

SPLITS = ("train", "valid", "test")
#: Images of each split. The paper withholds 200 of 10,000; settings are chosen on 200 others here.
NUM_IMAGES = {"train": 9800, "valid": 200, "test": 200}

SIZE = 75  # pixels of a side
RADIUS = 5  # pixels from an object's centre to its edge
COLOURS = ("red", "green", "blue", "orange", "gray", "yellow")
SHAPES = ("square", "circle")
ANSWERS = ("yes", "no", *SHAPES, "1", "2", "3", "4", "5", "6")

#: The six kinds of questions, those about one object first.
KINDS = ("shape", "left", "top", "nearest", "farthest", "count")
#: Kinds from this one on are relational.
FIRST_RELATIONAL = 3
_FORMS = (
    "what is the shape of the {} object?",
    "is the {} object on the left?",
    "is the {} object at the top?",
    "what is the shape of the object nearest to the {} object?",
    "what is the shape of the object farthest from the {} object?",
    "how many objects have the shape of the {} object?",
)
#: Every question there is: of kind k about colour c at place 6 k + c.
QUESTIONS = tuple(form.format(colour) for form in _FORMS for colour in COLOURS)

_RGB = np.array(
    [(255, 0, 0), (0, 160, 0), (0, 0, 255), (255, 150, 0), (128, 128, 128), (255, 255, 0)], np.uint8
)  # of COLOURS
_BACKGROUND = 255
_ASKED = 10  # questions of each sort about an image


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """One image, and what is asked about it.

    Attributes:
        image: red, green and blue of each pixel, rows from the top, uint8 `[75, 75, 3]`.
        centers: x and y of the object of each colour, one after the other.
        shapes: of the object of each colour.
        questions: ten about single objects, then ten relational ones.
        answers: of the questions.
    """

    image: np.ndarray
    centers: tuple[int, ...]
    shapes: tuple[str, ...]
    questions: tuple[str, ...]
    answers: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Scenes:
    """Images, each once, and twenty questions about each. Object i of an image has colour i of `COLOURS`.

    Attributes:
        images: uint8 `[M, 75, 75, 3]`, rows from the top.
        centers: x from the left and y from the top of each object, int32 `[M, 6, 2]`.
        shapes: index into `SHAPES`, int32 `[M, 6]`.
        questions: index into `QUESTIONS`, int32 `[M, 20]`: ten about single objects, then ten relational ones.
        answers: index into `ANSWERS`, int32 `[M, 20]`.
        supports: the object that is asked about, then the nearest or farthest one where that is the question, else -1;
            int32 `[M, 20, 2]`.
    """

    images: np.ndarray
    centers: np.ndarray
    shapes: np.ndarray
    questions: np.ndarray
    answers: np.ndarray
    supports: np.ndarray

    def __len__(self) -> int:
        """The number of images, M."""
        return len(self.images)

    def __getitem__(self, index: int) -> Scene:
        """One image, its questions and answers as text."""
        return Scene(
            image=self.images[index],
            centers=tuple(self.centers[index].ravel().tolist()),
            shapes=tuple(SHAPES[shape] for shape in self.shapes[index]),
            questions=tuple(QUESTIONS[question] for question in self.questions[index]),
            answers=tuple(ANSWERS[answer] for answer in self.answers[index]),
        )

    def __iter__(self) -> Iterator[Scene]:
        """All images, in their order."""
        return (self[index] for index in range(len(self)))


class _Dice:
    """Arrays of random integers from the raw bits of PCG64, a stream that NumPy promises to keep."""

    def __init__(self, *entropy: int):
        self._bits = np.random.PCG64(np.random.SeedSequence(entropy))

    def below(self, n: int, *shape: int) -> np.ndarray:
        """Integers in [0, n), int32; the bias is below n / 2**32."""
        raw = self._bits.random_raw(int(np.prod(shape))).reshape(shape) >> np.uint64(32)
        return ((raw * np.uint64(n)) >> np.uint64(32)).astype(np.int32)

    def some(self, k: int, n: int, rows: int) -> np.ndarray:
        """k different integers in [0, n), in random order, for each row."""
        return self._bits.random_raw(rows * n).reshape(rows, n).argsort(axis=1, kind="stable")[:, :k].astype(np.int32)


def generate(seed: int, split: str, num_images: int | None = None) -> Scenes:
    """Draws images and asks about them.

    Six objects lie in each image, one of each colour, without overlap; each is a square or a circle. No object has two
    nearest or two farthest others, so that each question has one answer. Of the 18 questions of each sort that there
    are about an image, ten different ones are asked.

    Args:
        seed: of the images; the splits of one seed differ.
        split: one of `SPLITS`.
        num_images: M; as `NUM_IMAGES` by default. All are drawn together: fewer are not the first of more.

    Returns:
        The images and questions; the same ones for the same arguments.

    Raises:
        ValueError: if there is no such split, the seed is no integer of 32 bits, or `num_images` is below 1.

    Example:
        >>> scene = generate(0, "test", 1)[0]
        >>> scene.image.shape, scene.shapes[:2]
        ((75, 75, 3), ('square', 'square'))
        >>> scene.questions[0], scene.answers[0]
        ('what is the shape of the orange object?', 'circle')

    Reference: Santoro et al. 2017, "A simple neural network module for relational reasoning" (arXiv:1706.01427),
    section 3.2 and the supplement on Sort-of-CLEVR.
    Departs from the paper: a split for validation. It does not state the size of the objects, how distances that are
    equal are told apart, and whether a question can come twice.
    """
    _checks.one_of("split", split, SPLITS)
    check_seed("seed", seed)
    count = NUM_IMAGES[split] if num_images is None else num_images
    _checks.positive("num_images", count)
    dice = _Dice(seed, SPLITS.index(split))
    centers = _place(dice, count)
    shapes = dice.below(2, count, len(COLOURS))
    singles, relational = (dice.some(_ASKED, 3 * len(COLOURS), count) for _ in range(2))
    questions = np.concatenate([singles, relational + FIRST_RELATIONAL * len(COLOURS)], axis=1)
    answers, supports = _answer(centers, shapes, questions)
    return Scenes(_paint(centers, shapes), centers, shapes, questions, answers, supports)


def check_seed(name: str, seed: int) -> None:
    """Raises `ValueError` unless a seed is an integer from 0 to 2**32 - 1: others could draw the same images."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(f"{name}: expected an integer from 0 to 2**32 - 1, got {seed!r}")


def question_number(text: str) -> int:
    """The place of a question in `QUESTIONS`.

    Args:
        text: the question; case and marks do not count.

    Raises:
        ValueError: if it is none of them.

    Example:
        >>> question_number("Is the red object on the left")
        6
    """
    words = tokenize(text)
    known = {tuple(tokenize(question)): number for number, question in enumerate(QUESTIONS)}
    if tuple(words) in known:
        return known[tuple(words)]
    vocabulary = {word for question in known for word in question}
    unknown = [word for word in dict.fromkeys(words) if word not in vocabulary]
    near = difflib.get_close_matches(" ".join(words), [" ".join(question) for question in known], n=1)
    raise ValueError(
        f"question: expected one of {[form.format('...') for form in _FORMS]} with a colour of {list(COLOURS)}, "
        f"got {text!r}"
        + f", with words that are in none of them: {unknown}" * bool(unknown)
        + (f"; did you mean '{near[0]}?'" if near else "")
    )


def _place(dice: _Dice, count: int) -> np.ndarray:
    """Centres without overlap, and without two others that are equally near or far."""
    kept: list[np.ndarray] = []
    while (missing := count - sum(map(len, kept))) > 0:
        centers = np.zeros((missing, 0, 2), np.int32)
        for _ in COLOURS:
            new = np.zeros((missing, 1, 2), np.int32)
            open_rows = np.arange(missing)
            while len(open_rows):  # there is always room for one more
                new[open_rows] = RADIUS + dice.below(SIZE - 2 * RADIUS, len(open_rows), 1, 2)
                apart = np.abs(new[open_rows] - centers[open_rows]).max(axis=2, initial=0) > 2 * RADIUS
                open_rows = open_rows[~apart.all(axis=1)]
            centers = np.concatenate([centers, new], axis=1)
        ranked = np.sort(_squares(centers), axis=2)  # 0 for the object itself comes first
        unique = (ranked[:, :, 1] < ranked[:, :, 2]) & (ranked[:, :, -2] < ranked[:, :, -1])
        kept.append(centers[unique.all(axis=1)])
    return np.concatenate(kept)


def _squares(centers: np.ndarray) -> np.ndarray:
    """Squared distances of all pairs, `[M, 6, 6]`."""
    return ((centers[:, :, None] - centers[:, None]) ** 2).sum(axis=3)


def _paint(centers: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Draws the objects."""
    images = np.full((len(centers), SIZE, SIZE, 3), _BACKGROUND, np.uint8)
    steps = np.arange(-RADIUS, RADIUS + 1)
    inside = steps[:, None] ** 2 + steps**2 <= (RADIUS + 0.5) ** 2
    stamps = np.stack([np.ones_like(inside), inside])  # of SHAPES
    for colour, rgb in enumerate(_RGB):
        scene, dy, dx = np.nonzero(stamps[shapes[:, colour]])
        x, y = centers[scene, colour].T
        images[scene, y + steps[dy], x + steps[dx]] = rgb
    return images


def _answer(centers: np.ndarray, shapes: np.ndarray, questions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Answers and supports of questions `[M, Q]`."""
    kinds, asked = np.divmod(questions, len(COLOURS))
    rows = np.arange(len(centers))[:, None]
    squares = _squares(centers)[rows, asked]  # [M, Q, 6]
    farthest = squares.argmax(axis=2)
    nearest = np.where(squares > 0, squares, squares.max() + 1).argmin(axis=2)
    shape = ANSWERS.index(SHAPES[0]) + shapes  # as answers
    same = (shapes[:, None] == shapes[rows, asked][..., None]).sum(axis=2)
    x, y = np.moveaxis(centers[rows, asked], 2, 0)
    yes_no = [ANSWERS.index("no"), ANSWERS.index("yes")]
    answers = np.choose(
        kinds,
        [
            shape[rows, asked],
            np.take(yes_no, x < SIZE / 2),
            np.take(yes_no, y < SIZE / 2),
            shape[rows, nearest],
            shape[rows, farthest],
            ANSWERS.index("1") - 1 + same,
        ],
    )
    second = np.choose(kinds, [-1, -1, -1, nearest, farthest, -1])
    return answers.astype(np.int32), np.stack([asked, second], axis=2).astype(np.int32)
