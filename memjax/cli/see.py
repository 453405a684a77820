# SPDX-License-Identifier: Apache-2.0
"""Images as files, and a conversation about one."""

import io
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from memjax.cli.ask import at_terminal, lines_to_answer, say
from memjax.cli.pictures import drawn
from memjax.data import sort_of_clevr
from memjax.errors import DataError
from memjax.recipes import Observer, Sight
from memjax.training.files import write_bytes, write_text

HELP = "Ask about the image, one question a line, as: {}  Empty line or Ctrl-D: leave."


def read_image(path: Path) -> np.ndarray:
    """Reads an image to ask about.

    Args:
        path: a PNG file of 75 x 75 pixels, in colours of 8 bits.

    Returns:
        uint8 `[75, 75, 3]`.

    Raises:
        DataError: if there is no such file, it is no image, or one of another size or without colours.
    """
    from PIL import Image, UnidentifiedImageError

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)  # far more pixels than memory is for
    try:
        with warnings.catch_warnings(action="error", category=bombs[1]), Image.open(path) as image:
            image.load()
            mode, size = image.mode, image.size
            pixels = np.asarray(image)
    except UnidentifiedImageError:
        raise DataError("expected an image, found something else; save it as PNG", path) from None
    except (OSError, SyntaxError, *bombs) as error:  # Pillow says so of a damaged PNG
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise DataError(f"expected an image that can be read: {reason}", path) from None
    side = sort_of_clevr.SIZE
    if mode == "RGBA" and pixels[..., 3].min() == 255:  # nothing shows through
        mode, pixels = "RGB", pixels[..., :3]
    if mode != "RGB":
        raise DataError(
            f"expected an image in red, green and blue (mode RGB), got mode {mode}; convert it to RGB", path
        )
    if size != (side, side):
        raise DataError(f"expected {side} x {side} pixels, got {size[0]} x {size[1]}; scale the image", path)
    return pixels


def draw(folder: Path, images: int, split: str, seed: int) -> list[Path]:
    """Writes images of Sort-of-CLEVR, each with its questions and answers beside it.

    Args:
        folder: where they go.
        images: how many.
        split: of which they are the first.
        seed: of the images.

    Returns:
        The PNG files.

    Raises:
        ValueError: if there are not so many images.
    """
    from PIL import Image

    most = sort_of_clevr.NUM_IMAGES[split]
    if not 1 <= images <= most:
        raise ValueError(f"images: expected 1 to {most}, as many as there are for {split!r}, got {images}")
    scenes = sort_of_clevr.generate(seed, split)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(images):
        scene = scenes[number]
        path = folder / f"{split}_{number}.png"
        encoded = io.BytesIO()
        Image.fromarray(scene.image).save(encoded, format="PNG")
        write_bytes(path, encoded.getvalue())
        lines = [f"{question}\t{answer}" for question, answer in zip(scene.questions, scene.answers, strict=True)]
        write_text(path.with_suffix(".txt"), "\n".join(lines) + "\n")
        paths.append(path)
    return paths


def show(sight: Sight) -> Iterator[str]:
    """The lines that show an answer, and where each hop looked most."""
    yield f"  -> {sight.answer}   ({100 * sight.probabilities[sight.answer]:.1f} %)"
    for hop, weights in enumerate(sight.weights, start=1):
        row, column = np.unravel_index(weights.argmax(), weights.shape)
        x, y = (min(sight.pixels * place + sight.pixels // 2, sort_of_clevr.SIZE - 1) for place in (column, row))
        yield f"     {hop}. looked most at x {x}, y {y}   (weight {weights.max():.2f})"


def converse(observer: Observer, lines: Iterable[str], picture: Path | None = None) -> Iterator[str]:
    """Answers one line after another.

    Args:
        observer: has seen an image.
        lines: questions.
        picture: where to draw where each answer's hops looked; a model without hops draws nothing.

    Yields:
        What there is to print.
    """
    for line in lines:
        if not line.strip():
            continue
        try:
            sight = observer.ask(line.strip())
        except ValueError as error:
            yield f"  ({error})"
            continue
        yield from show(sight)
        if picture is not None and observer.image is not None and len(sight.weights):
            from memjax import plots

            yield drawn(picture, plots.image_hops(observer.image, sight))


def ask_image(folder: Path, image: Path, picture: Path | None) -> None:
    """Answers questions about an image, at the terminal or from standard input."""
    observer = Observer.load(folder).see(read_image(image))
    if at_terminal():
        print(HELP.format(sort_of_clevr.QUESTIONS[0]))
    say(converse(observer, lines_to_answer(), picture))
