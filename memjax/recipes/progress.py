# SPDX-License-Identifier: Apache-2.0
"""A bar with the time left, for whatever takes more than a few seconds."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from memjax.recipes.fit import ReportFn


@contextlib.contextmanager
def progress(title: str) -> Iterator[ReportFn]:
    """Shows the epochs of a training run as they pass.

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
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("epochs, loss {task.fields[loss]}"),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=rich.console.Console(stderr=True), refresh_per_second=4) as bar:
        task = bar.add_task(title, total=None, loss="?")

        def report(done: float, epochs: int, metrics: Mapping[str, Any]) -> None:
            loss = f"{float(np.mean(metrics['loss'])):.4f}"
            bar.update(task, completed=done, total=epochs, loss=loss)

        yield report
