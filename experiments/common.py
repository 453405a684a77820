# SPDX-License-Identifier: Apache-2.0
"""What all experiments share: a folder of rows that survives a kill, and the table made of them."""

import dataclasses
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import memjax
from memjax.errors import DataError, RunError
from memjax.training.checkpoints import describe_difference
from memjax.training.files import read_json, write_json, write_text


class Rows:
    """The rows of a table, each measured once and kept in `results.json`.

    Args:
        folder: the run folder; rows found in it are not measured again.
        config: what decides the numbers; a folder that was made with another one is refused.

    Raises:
        RunError: if the folder holds results of another configuration.
    """

    def __init__(self, folder: Path, config: Any):
        self.folder = folder
        self._path = folder / "results.json"
        folder.mkdir(parents=True, exist_ok=True)
        settings = json.loads(json.dumps(dataclasses.asdict(config), default=str))
        self._content = {"settings": settings, "environment": environment(), "rows": {}}
        if self._path.exists():
            self._content = read_json(self._path)
            difference = describe_difference(self._content["settings"], settings)
            if difference:
                raise RunError(f"{folder}: holds results of another configuration: {'; '.join(difference)}")
        write_json(folder / "config.json", settings)

    def measure(self, name: str, fn: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The row of this name: from the folder, or measured now."""
        rows = self._content["rows"]
        if name not in rows:
            start = time.monotonic()
            result = fn()
            rows[name] = {**result, "seconds": round(time.monotonic() - start, 1)}
            write_json(self._path, self._content)
            with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"row": name, **rows[name]}) + "\n")
        return rows[name]


def environment() -> dict[str, str]:
    """Where and with what the numbers were made."""
    try:
        git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10"]
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    device = jax.devices()[0]
    return {
        "commit": commit,
        "device": f"{device.device_kind} x {jax.device_count()}",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "memjax": memjax.__version__,
    }


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Mean and standard deviation of the seeds, as `99.9 (0.1)`.

    Example:
        >>> spread([1.0, 3.0])
        '2.0 (1.4)'
    """
    array = np.asarray(list(values), float)
    deviation = array.std(ddof=1) if array.size > 1 else 0.0
    return f"{array.mean():.{digits}f} ({deviation:.{digits}f})"


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """A table for people who read the file, and for Markdown.

    Example:
        >>> print(markdown(["a", "b"], [["1", "22"]]))
        | a | b  |
        |---|----|
        | 1 | 22 |
    """
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [columns, *rows]
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def finish(folder: Path, table: str) -> None:
    """Prints the table and keeps it beside the results."""
    write_text(folder / "table.md", table + "\n")
    print(table)
    print(f"\nThe table, results.json and the pictures are in {folder}.")


def run(main: Callable[[Any], None], config: type, doc: str | None) -> None:
    """Reads the flags of an experiment and runs it; errors of the user are printed, not traced."""
    try:
        import tyro
    except ImportError:
        raise SystemExit("experiments need the extra `app`: pip install 'memjax[app]'") from None
    try:
        main(tyro.cli(config, description=doc))
    except (DataError, RunError, ValueError, ImportError) as error:
        raise SystemExit(f"error: {error}") from None
