# SPDX-License-Identifier: Apache-2.0
"""Pictures as files."""

import io
from pathlib import Path
from typing import Any

from memjax import _checks
from memjax.training.files import write_bytes

#: Formats of pictures, by the suffix of a file.
FORMATS = ("png", "pdf", "svg", "jpg", "jpeg", "webp", "tif", "tiff", "eps", "ps")


def check_picture(name: str, path: Path) -> None:
    """Raises `ValueError` if there is no such format, or it is a folder, before the work that a picture shows.

    Example:
        >>> check_picture("picture", Path("hops.png"))
    """
    if path.is_dir():
        raise ValueError(f"{name}: expected a file to draw in, got the folder {path}")
    _checks.one_of(f"{name}, the suffix", path.suffix[1:].lower() or "png", FORMATS)


def drawn(path: Path, figure: Any) -> str:
    """Writes a figure as `save_picture`, and says where it is, or why it is not."""
    try:
        save_picture(path, figure)
    except OSError as error:
        return f"  (not drawn: {error})"
    return f"     drawn in {path}"


def save_picture(path: Path, figure: Any) -> None:
    """Writes a figure, whole or not at all, and makes the folder that it goes to.

    Args:
        path: the file; its suffix says which format, PNG where it has none.
        figure: a matplotlib figure, of `memjax.plots`.

    Raises:
        ValueError: if there is no such format.
    """
    encoded = io.BytesIO()
    figure.savefig(encoded, dpi=150, format=path.suffix[1:] or "png")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, encoded.getvalue())
