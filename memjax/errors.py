# SPDX-License-Identifier: Apache-2.0
"""Errors of memjax that are not about an argument."""

import os


class DataError(Exception):
    """A file does not hold what it should.

    Args:
        message: what was expected, what was found, and what to do.
        path: the file or folder.
        line: number of the line, from 1; None where the whole file is meant.

    Example:
        >>> raise DataError("expected a line number", "story.txt", 3)
        Traceback (most recent call last):
            ...
        memjax.errors.DataError: story.txt:3: expected a line number
    """

    def __init__(self, message: str, path: str | os.PathLike[str], line: int | None = None):
        self.path = os.fspath(path)
        self.line = line
        where = self.path if line is None else f"{self.path}:{line}"
        super().__init__(f"{where}: {message}")


class RunError(Exception):
    """A run folder or a checkpoint cannot be used as asked; the message says why and what to do."""
