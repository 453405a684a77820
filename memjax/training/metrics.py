# SPDX-License-Identifier: Apache-2.0
"""Where the numbers of a run go: a file of JSON lines, and TensorBoard where it is asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

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
            checkpoint, and are removed, since they come again.

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
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
            write_text(path, "".join(kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Appends a line."""
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class TensorBoardWriter:
    """Writes TensorBoard events; the mean where there is one number for each seed.

    Args:
        folder: where the events go.
        step: the step that the run goes on from.

    Raises:
        ImportError: if the extra `tensorboard` is not installed; names it.
    """

    def __init__(self, folder: Path, step: int = 0):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ImportError("TensorBoard events need the extra: pip install 'memjax[tensorboard]'") from None
        self._writer = SummaryWriter(str(folder), purge_step=step)

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Adds a scalar for each metric."""
        for name, value in metrics.items():
            mean = sum(value) / len(value) if isinstance(value, list) else value
            self._writer.add_scalar(name, mean, step)

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()
