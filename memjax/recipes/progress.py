# SPDX-License-Identifier: Apache-2.0
"""A bar or lines with the time left, for whatever takes more than a few seconds."""

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from memjax.recipes.fit import ReportFn

#: Between lines, where there is no terminal for a bar.
LINE_SECONDS = 60


@contextlib.contextmanager
def progress(title: str) -> Iterator[ReportFn]:
    """Shows the epochs of a training run as they pass: a bar, or a line a minute where output goes to a file or a dumb
    terminal.

    Args:
        title: what is going on.

    Yields:
        A function for `memjax.recipes.train(report=...)`.

    Raises:
        ImportError: if the extra `app` is not installed; names it.
    """
    try:
        import rich.console
        import rich.progress as bars
    except ImportError:
        raise ImportError("progress bars need the extra: pip install 'memjax[app]'") from None
    console = rich.console.Console(stderr=True)
    if not (console.is_interactive or console.is_jupyter):  # a dumb terminal shows no bar either
        with _lines(title, lambda line: console.print(line, soft_wrap=True, markup=False, highlight=False)) as report:
            yield report
        return
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("epochs, loss {task.fields[loss]}"),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console, refresh_per_second=4) as bar:
        task = bar.add_task(title, total=None, loss="?")

        def report(done: float, epochs: int, metrics: Mapping[str, Any]) -> None:
            bar.update(task, completed=done, total=epochs, loss=_loss(metrics))

        yield report


@contextlib.contextmanager
def _lines(title: str, write: Callable[[str], None]) -> Iterator[ReportFn]:
    """Writes how far a run is, now and then and at its end."""
    start = shown = time.monotonic()
    first: tuple[float, float] | None = None  # when the first report came, and of how many epochs
    line = ""

    def report(done: float, epochs: int, metrics: Mapping[str, Any]) -> None:
        nonlocal first, line, shown
        now = time.monotonic()
        first = first or (now, done)
        pace = (now - first[0]) / (done - first[1]) if done > first[1] else 0.0  # seconds an epoch
        left = f", {_clock(pace * (epochs - done))} left" if pace and done < epochs else ""
        line = f"{title}: {done:.4g}/{epochs} epochs, loss {_loss(metrics)}, {_clock(now - start)} gone{left}"
        if now - shown >= LINE_SECONDS:
            write(line)
            line, shown = "", now

    try:
        yield report
    finally:
        if line:
            write(line)


def _loss(metrics: Mapping[str, Any]) -> str:
    return f"{float(np.mean(metrics['loss'])):.4f}"


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
