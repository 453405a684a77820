# SPDX-License-Identifier: Apache-2.0
"""Small files that are there whole or not at all."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from memjax.errors import DataError


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file; a reader, or a killed run, never sees half of it, and who writes it too waits.

    Args:
        path: the file; replaced if it is there.
        content: the whole of it.
    """
    partial = path.with_name(f".{path.name}.partial")
    with _held(partial) as file:
        try:
            file.truncate(0)  # what a kill left
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


def lock(file: IO[Any]) -> None:
    """Waits for others who lock the same file, and keeps them waiting until it is closed; a kill closes it too."""
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_EX)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file, made if it is not there, that nobody else has open so."""
    while True:
        with path.open("ab") as file:
            lock(file)
            # Who held it before has given it its name: then this is that file, and not to be written to.
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            if os.path.samestat(os.fstat(file.fileno()), found):
                yield file
                return


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, whole or not at all, indented for people."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        DataError: if there is no such file, or it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("expected a file, found none", path) from None
    except json.JSONDecodeError as error:
        raise DataError(f"expected JSON: {error.msg}", path, error.lineno) from None
    except UnicodeDecodeError:
        raise DataError("expected JSON in UTF-8, found other bytes", path) from None
