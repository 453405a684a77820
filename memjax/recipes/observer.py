# SPDX-License-Identifier: Apache-2.0
"""A trained model that looks at an image and answers questions about it."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memjax import data
from memjax.data import sort_of_clevr
from memjax.errors import RunError
from memjax.recipes.images import TrainedImages, image_grid, load_images
from memjax.recipes.program import params_of_seed


@dataclasses.dataclass(frozen=True)
class Sight:
    """What an observer answers, and where it looked.

    Attributes:
        question: as it was understood.
        answer: the most probable one.
        probabilities: of each answer.
        weights: of each cell of the image at each hop, `[P, R, C]`; P = 0 of a model without a memory.
        pixels: of a side of a cell.
    """

    question: str
    answer: str
    probabilities: dict[str, float]
    weights: np.ndarray
    pixels: int


class Observer:
    """Sees an image once, and answers questions about it.

    Args:
        trained: of `memjax.recipes.train_images` or `load_images`, on pixels.
        seed_index: which of the models that were trained.

    Raises:
        RunError: if the model was trained on descriptions of objects.
        ValueError: if there is no such model.

    Example:
        `Observer.load("runs/images").see(image).ask("is the red object on the left?").answer`
    """

    def __init__(self, trained: TrainedImages, seed_index: int = 0):
        if trained.config.input != "pixels":
            raise RunError("input: expected a run on pixels to show images to, got one on 'state'; train another")
        self._program = trained.program
        self._params = params_of_seed(trained.params, seed_index)
        texts = data.encode_sequences([data.tokenize(each) for each in sort_of_clevr.QUESTIONS], trained.vocabulary)
        self._texts = jnp.asarray(texts.tokens)
        self._memory: Any = None
        self.image: np.ndarray | None = None

    @classmethod
    def load(cls, folder: str | Path, seed_index: int = 0) -> "Observer":
        """Loads a model of a run folder.

        Raises:
            RunError: if there is no run, no checkpoint in it, or it is none on pixels.
            DataError: if a file is damaged.
            ValueError: if the run has no such model.
        """
        return cls(load_images(Path(folder)), seed_index)

    def see(self, image: Any) -> "Observer":
        """Looks at an image, in place of the one before.

        Args:
            image: uint8 `[75, 75, 3]`: red, green and blue, rows from the top.

        Returns:
            Itself.

        Raises:
            ValueError: if the image has another shape or dtype.
        """
        image = np.asarray(image)
        shape = (sort_of_clevr.SIZE, sort_of_clevr.SIZE, 3)
        if image.shape != shape:
            raise ValueError(f"image: expected shape {shape}, got {image.shape}; scale it, and drop what is no colour")
        if image.dtype != np.uint8:
            raise ValueError(f"image: expected uint8, from 0 to 255, got {image.dtype}; convert it with .astype")
        self.image = image
        self._memory = self._program.see(self._params, jnp.asarray(image))
        return self

    def ask(self, question: str) -> Sight:
        """Answers a question about the image.

        Args:
            question: one of `memjax.data.sort_of_clevr.QUESTIONS`; case and marks do not count.

        Raises:
            ValueError: if it is none of them, or no image was seen.
        """
        number = sort_of_clevr.question_number(question)
        if self._memory is None:
            raise ValueError("image: expected one to answer from, got none; call see first")
        answered = self._program.ask(self._params, self._texts[number], self._memory)
        cells, pixels = image_grid()
        shares = np.asarray(jax.nn.softmax(answered.scores))
        return Sight(
            question=sort_of_clevr.QUESTIONS[number],
            answer=sort_of_clevr.ANSWERS[int(shares.argmax())],
            probabilities=dict(zip(sort_of_clevr.ANSWERS, shares.tolist(), strict=True)),
            weights=np.asarray(answered.weights).reshape(-1, cells, cells),
            pixels=pixels,
        )
