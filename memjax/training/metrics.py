# SPDX-License-Identifier: Apache-2.0
"""Where the numbers of a run go: a file of JSON lines, and TensorBoard where it is asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from memjax.errors import DataError
from memjax.training.files import write_text


class MetricsWriter(Protocol):
    """Takes the metrics of a run as they come."""

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Takes the metrics of one step: numbers, or lists of one number for each seed."""
        ...

    def close(self) -> None:
        """Ends writing."""
        ...


class JsonLinesWriter:
    """Appends one JSON object a line: `{"step": .., name: value, ..}`.

    Args:
        path: the file. Lines that are there already stay, up to `step`.
        step: the step that the run goes on from: later lines were written by a run that was killed after its last
            checkpoint, and are removed, since they come again. So is a last line that was not written to its end.

    Raises:
        DataError: if a line that is there is no JSON object with a step.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "metrics.jsonl"
        >>> writer = JsonLinesWriter(path)
        >>> writer.write(3, {"loss": 0.5})
        >>> writer.close()
        >>> path.read_text()
        '{"step": 3, "loss": 0.5}\\n'
    """

    def __init__(self, path: Path, step: int = 0):
        if path.exists():
            lines = path.read_bytes().split(b"\n")[:-1]
            kept = [line for number, line in enumerate(lines, start=1) if _step(line, path, number) <= step]
            write_text(path, b"".join(line + b"\n" for line in kept).decode())
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Appends a line."""
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _step(line: bytes, path: Path, number: int) -> int:
    """The step of a line."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        raise DataError(
            "expected a JSON object with a step; remove the line, or start the run again", path, number
        ) from None


def summary_writer() -> Any:
    """The class that writes TensorBoard events.

    Raises:
        ImportError: if the extra `tensorboard` is not installed; names it.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise ImportError("TensorBoard events need the extra: pip install 'memjax[tensorboard]'") from None
    return SummaryWriter


class TensorBoardWriter:
    """Writes TensorBoard events; the mean where there is one number for each seed.

    Args:
        folder: where the events go.
        step: the step that the run goes on from.

    Raises:
        ImportError: if the extra `tensorboard` is not installed; names it.
    """

    def __init__(self, folder: Path, step: int = 0):
        # TensorBoard forgets what a killed run wrote at this step and later; the events of `step` itself stay.
        self._writer = summary_writer()(str(folder), purge_step=step + 1)

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Adds a scalar for each metric."""
        for name, value in metrics.items():
            mean = sum(value) / len(value) if isinstance(value, list) else value
            self._writer.add_scalar(name, mean, step)

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()
