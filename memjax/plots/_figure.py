# SPDX-License-Identifier: Apache-2.0
"""What every picture needs: matplotlib, imported where it is used, and texts that fit."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def make_figure(width: float = 6.4, height: float = 4.8, **options: Any) -> "Figure":
    """Returns an empty figure of this many inches; raises `ImportError` if the extra `app` is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need the extra: pip install 'memjax[app]'") from None
    return Figure(figsize=(width, height), **options)


def cut(text: str, longest: int) -> str:
    """Returns `text`, its end replaced by an ellipsis where it has more than `longest` characters.

    Example:
        >>> cut("a statement", 11), cut("a statement", 6)
        ('a statement', 'a sta…')
    """
    return text if len(text) <= longest else text[: longest - 1] + "…"
