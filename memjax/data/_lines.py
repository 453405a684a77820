# SPDX-License-Identifier: Apache-2.0
"""Files of a corpus: where they are, and lines that may be of a gzip, may be damaged and may be anything."""

import codecs
import contextlib
import gzip
import os
import pathlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from memjax.errors import DataError

#: Bytes of the longest line that is read.
MAX_LINE = 1 << 20


def read_lines(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Gives the lines of a file, never holding more than `MAX_LINE` bytes of one.

    Args:
        path: a file, or a gzip of one if the name ends in `.gz`.

    Raises:
        DataError: if it cannot be read, is no whole gzip, or has a longer line.
    """
    with _opened(path) as stream:
        yield from lines_of(stream, path)


def read_text(path: str | os.PathLike[str]) -> str:
    """Gives a UTF-8 file as one text, however long its lines are; see `read_lines`."""
    with _opened(path) as stream:
        raw = stream.read().removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8(error, path, raw[: error.start].count(b"\n") + 1) from None


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO | gzip.GzipFile]:
    try:
        with gzip.open(path, "rb") if os.fspath(path).endswith(".gz") else open(path, "rb") as stream:
            yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"expected a whole gzip file, got one that is not ({error}); get it anew", path) from None
    except OSError as error:
        raise DataError(f"expected a readable file, got: {error.strerror}; check the path", path) from None


def lines_of(stream: BinaryIO | gzip.GzipFile, path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Gives the lines of an open file, as `read_lines`; a mark of byte order before the first one is dropped.

    Args:
        stream: open for bytes.
        path: what errors name.
    """
    line = 0
    while raw := stream.readline(MAX_LINE + 1):
        line += 1
        if len(raw) > MAX_LINE:
            raise DataError(f"expected lines of at most {MAX_LINE} bytes, got a longer one", path, line)
        yield raw.removeprefix(codecs.BOM_UTF8) if line == 1 else raw


def read_texts(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Gives the lines that hold something, each with its number, without its end.

    Args:
        path: a UTF-8 file, or a gzip of one if the name ends in `.gz`.

    Raises:
        DataError: as `read_lines`, and if a line is not UTF-8.
    """
    return texts_of(read_lines(path), path)


def texts_of(lines: Iterable[bytes], path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """As `read_texts`, of lines that are read already; `path` is what errors name."""
    for line, raw in enumerate(lines, 1):
        try:
            text = raw.decode().strip("\r\n")
        except UnicodeDecodeError as error:
            raise _not_utf8(error, path, line) from None
        if text.strip():
            yield line, text


def _not_utf8(error: UnicodeDecodeError, path: str | os.PathLike[str], line: int) -> DataError:
    found = f"{error.object[error.start]:#04x}"
    return DataError(f"expected UTF-8 text, got byte {found}; convert the file to UTF-8", path, line)


def look_for(root: str | os.PathLike[str], folders: Sequence[str], *names: str) -> pathlib.Path | None:
    """Returns the first file there is of some names, plain or with `.gz`; None without one.

    Args:
        root: a folder that holds one of `folders`, or is one itself.
        folders: names of the corpus' own folder, as "metaqa".
        names: the file's names, the best first.
    """
    for place in [pathlib.Path(root, folder) for folder in (*folders, "")]:
        for name in names:
            for path in (place / name, place / f"{name}.gz"):
                if path.is_file():
                    return path
    return None


def find(root: str | os.PathLike[str], corpus: str, folders: Sequence[str], *names: str) -> pathlib.Path:
    """As `look_for`; a `DataError` that names the corpus and what was looked for where there is no such file."""
    path = look_for(root, folders, *names)
    if path is None:
        raise DataError(
            f"expected a folder that holds {corpus}, found no {' or '.join(names)} (or .gz) in it, nor in "
            f"{' or '.join(f'{folder}/' for folder in folders)} in it; pass another folder",
            root,
        )
    return path


def short(text: str) -> str:
    """What of a text an error shows."""
    return repr(text if len(text) <= 40 else text[:40] + "...")
