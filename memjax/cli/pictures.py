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
    """Raises `ValueError` if there is no such format, before the work that a picture shows.

    Example:
        >>> check_picture("picture", Path("hops.png"))
    """
    _checks.one_of(f"{name}, the suffix", path.suffix[1:].lower() or "png", FORMATS)


def save_picture(path: Path, figure: Any) -> None:
    """Writes a figure, whole or not at all, and makes the folder that it goes to.

    Args:
        path: the file; its suffix says which format, PNG where it has none.
        figure: a matplotlib figure, of `memjax.plots`.

    Raises:
        ValueError: if there is no such format.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=150, format=path.suffix[1:] or "png")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, drawn.getvalue())
