# SPDX-License-Identifier: Apache-2.0
"""What all experiments share: a folder of rows that survives a kill, and the table made of them."""

import contextlib
import dataclasses
import json
import platform
import re
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal

import jax
import numpy as np

import memjax
from memjax import _checks
from memjax.data.streams import Stream
from memjax.errors import DataError, RunError
from memjax.recipes import AnsweringConfig, Corpus, Splits, load_splits, load_test, progress, train
from memjax.recipes.config import Config, from_json, to_json
from memjax.training.checkpoints import describe_difference
from memjax.training.files import lock, read_json, write_json, write_text


def run_folder(folder: Path, name: str) -> Path:
    """Where an experiment trains the model of this name, and goes on with it after a stop.

    Example:
        >>> run_folder(Path("runs"), "LSTMN, deep | glove").as_posix()
        'runs/rows/lstmn-deep-glove'
    """
    return folder / "rows" / re.sub(r"[^a-z0-9]+", "-", name.lower())


def is_begun(run: Path) -> bool:
    """Whether a folder holds a run to go on with, not just what a start that was killed had made."""
    return (run / "config.json").exists()


class Rows:
    """The rows of a table, each measured once and kept in `results.json` with what made it.

    Args:
        folder: the run folder; rows found in it are not measured again.
        flags: the flags of this call, for `config.json`.
        shared: what all rows have in common: seeds, variant of the corpus.

    Raises:
        RunError: if the folder holds results under another `shared`, or a run that is no table.
    """

    def __init__(self, folder: Path, flags: Any, shared: dict[str, Any]):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._empty = folder / "results.json", {"shared": shared, "rows": {}, "begun": {}}
        if is_begun(folder) and "config" in read_json(folder / "config.json"):
            raise RunError(
                f"{folder}: expected the folder of a table, found a run of `memjax train`; name another --folder"
            )
        self._refuse("the folder", self._read()["shared"], shared)
        write_json(folder / "config.json", json.loads(json.dumps(dataclasses.asdict(flags), default=str)))

    def measure(self, name: str, config: Config, fn: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The row of this name: from the folder, or measured now. Other processes may measure others.

        Raises:
            RunError: if the folder holds the row under another configuration.
            DataError: if its configuration is none of this version.
        """
        settings, rows = to_json(config), self._read()["rows"]
        if name in rows:
            return self._same(name, rows[name], settings)
        here, start = environment(), time.monotonic()
        with self._changed() as (content, _):
            resumed = name in content["begun"]
            begun = content["begun"].setdefault(name, here["commit"])
        row: dict[str, Any] = fn()
        if not resumed:  # what a start that was stopped took is not known
            row = {**row, "seconds": round(time.monotonic() - start, 1)}
        if begun != here["commit"]:
            row = {**row, "begun": begun}
        row = {**row, **here, "config": settings}
        with self._changed() as (content, log):
            content["begun"].pop(name, None)
            if name in content["rows"]:  # another process was faster
                return self._same(name, content["rows"][name], settings)
            content["rows"][name] = row
            log.write(json.dumps({"row": name, **row}) + "\n")
        return row

    def _same(self, name: str, row: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        """The row, if it is of these settings; of a version with fewer settings, the others have their defaults."""
        self._refuse(name, to_json(from_json(row["config"], str(self._path))), settings)
        return row

    def _read(self) -> dict[str, Any]:
        return {**self._empty, **(read_json(self._path) if self._path.exists() else {})}

    @contextlib.contextmanager
    def _changed(self) -> Iterator[tuple[dict[str, Any], IO[str]]]:
        """The content of `results.json`, to be changed, while others wait; and `metrics.jsonl`."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as log:
            lock(log)
            content = self._read()
            yield content, log
            write_json(self._path, content)

    def _refuse(self, what: str, saved: dict[str, Any], asked: dict[str, Any]) -> None:
        difference = "; ".join(describe_difference(saved, asked))
        if difference:
            raise RunError(f"{self.folder}: {what} is of other settings: {difference}; name another --folder")


def accuracy(
    title: str,
    config: AnsweringConfig,
    seeds: int,
    split: Literal["valid", "test"],
    tested: Corpus | None = None,
    splits: Splits | None = None,
) -> dict[str, list[float]]:
    """Trains seeds and measures each: `memjax.recipes.Trained.evaluate`.

    Args:
        title: of the progress bar.
        config: the configuration.
        seeds: trained side by side; one after the other on a stream of words, which each cuts with its own segmenter.
        split: what to measure on.
        tested: the corpus of that; `config.corpus` by default.
        splits: what to learn from, where it is not `config.corpus` as it is.
    """
    splits = load_splits(config.corpus, config.ngrams, config.variables) if splits is None else splits
    tested = config.corpus if tested is None else tested
    examples = load_test(tested) if split == "test" else tested.examples(split)
    alone = isinstance(splits.train, Stream)
    results: dict[str, list[float]] = {}
    for group in [(seed,) for seed in range(seeds)] if alone else [tuple(range(seeds))]:
        with progress(f"{title}, seed {group[0]}" if alone else title) as report:
            trained = train(config, seeds=group, splits=splits, report=report)
        for name, values in trained.evaluate(examples).items():
            results.setdefault(name, []).extend(values)
    return results


def check_names(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raises `ValueError` unless all names are known; proposes one for the first that is not."""
    for name in names:
        _checks.one_of(what, name, known)


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
    return f"{array.mean():,.{digits}f} ({deviation:,.{digits}f})"


def error_bars(values: np.ndarray) -> np.ndarray | None:
    """Standard deviations of the seeds, `[N]` from `[N, seeds]`, for a picture; None where there is one seed."""
    return values.std(axis=1, ddof=1) if values.shape[1] > 1 else None


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
    print(f"\nThe table and all that is behind it are in {folder}.")


def run(main: Callable[[Any], None], config: type, doc: str | None) -> None:
    """Reads the flags of an experiment and runs it; errors of the user are printed, not traced."""
    try:
        import tyro
    except ImportError:
        raise SystemExit("experiments need the extra `app`: pip install 'memjax[app]'") from None
    try:
        flags: Any = tyro.cli(config, description=doc)
        if getattr(flags, "seeds", 1) < 1:
            raise ValueError(f"seeds: expected an integer of at least 1, got {flags.seeds}")
        main(flags)
    except (DataError, RunError, ValueError, ImportError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on after the last row that was measured") from None
