# SPDX-License-Identifier: Apache-2.0
"""Lines of a file that may be a gzip, may be damaged and may be anything."""

import gzip
import os
import zlib
from collections.abc import Iterator

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
    line = 0
    try:
        with gzip.open(path, "rb") if os.fspath(path).endswith(".gz") else open(path, "rb") as stream:
            while raw := stream.readline(MAX_LINE + 1):
                line += 1
                if len(raw) > MAX_LINE:
                    raise DataError(f"expected lines of at most {MAX_LINE} bytes, got a longer one", path, line)
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"expected a whole gzip file, got one that is not ({error}); get it anew", path) from None
    except OSError as error:
        raise DataError(f"expected a readable file, got: {error.strerror}; check the path", path) from None
