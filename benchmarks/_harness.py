# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: flags, timing, a table, and a JSON that says where the numbers come from."""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from memjax.training.files import write_text


class Timing(NamedTuple):
    """Seconds of one case: median, first and third quartile, how often it was timed, and of all cores together."""

    median: float
    low: float
    high: float
    repeats: int
    cpu: float = 0.0

    def __str__(self) -> str:
        """Returns milliseconds, with the quartiles in brackets."""
        return f"{1e3 * self.median:.4g} [{1e3 * self.low:.4g}, {1e3 * self.high:.4g}]"


def _at_least_two(text: str) -> int:
    count = int(text)
    if count < 2:
        raise argparse.ArgumentTypeError(f"expected at least 2, of which quartiles can be told, got {count}")
    return count


def parser(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the flags that every benchmark has."""
    flags = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--json", type=Path, metavar="FILE", help="write results, device and versions to FILE")
    flags.add_argument("--repeats", type=_at_least_two, default=50, help="timings of each case (default: %(default)s)")
    return flags


def cores() -> list[int]:
    """Returns the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def add_threads(flags: argparse.ArgumentParser) -> None:
    """Adds the flag `--threads`, for `keep_threads`."""
    flags.add_argument("--threads", type=int, default=len(cores()), help="of both sides (default: %(default)s)")


def keep_threads(flags: argparse.ArgumentParser, threads: int) -> None:
    """Keeps JAX to so many cores; call it before JAX's backend starts, which makes a thread for each core it sees."""
    allowed = cores()
    if threads < len(allowed):
        if not hasattr(os, "sched_setaffinity"):
            flags.error("--threads: this system cannot keep JAX to some of the cores; leave it out")
        os.sched_setaffinity(0, allowed[:threads])


def load_torch(threads: int) -> tuple[Any, str]:
    """Returns PyTorch, or None where it is not installed, and the device that JAX has too."""
    try:
        import torch
    except ImportError:
        print("torch is not installed: no peer to compare with")
        return None, ""
    torch.set_num_threads(threads)
    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    if device != jax.default_backend() and (device, jax.default_backend()) != ("cuda", "gpu"):
        print(f"torch runs on {device}, JAX on {jax.default_backend()}: the ratio compares devices")
    return torch, device


def skipped(name: str, error: Exception) -> None:
    """Prints that a row is left out, and why."""
    print(f"{name}: skipped, {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")


def environment() -> dict[str, Any]:
    """Returns the device and the versions that the numbers depend on."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
        "cpus": len(cores()),
        "machine": platform.machine(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "numpy")},
    }


def compiled(fn: Callable[..., Any], *args: Any, donate: Sequence[int] = ()) -> tuple[Any, float]:
    """Returns `fn` under `jax.jit`, compiled for `args` (arrays or shapes), and the seconds this took.

    The function that is returned takes the fast dispatch of `jax.jit`; it compiles again at its first call, unless
    the compiler remembers, so warm it up.
    """
    jitted = jax.jit(fn, donate_argnums=tuple(donate))
    start = time.perf_counter()
    jitted.lower(*args).compile()
    return jitted, time.perf_counter() - start


def interleaved(
    cases: Mapping[Any, Callable[[], Any]],
    repeats: int,
    warmup: int = 3,
    before: Callable[[Any], Any] | None = None,
) -> dict[Any, Timing]:
    """Times cases in turn, all of them once in each round, so that drift of the machine meets all alike.

    Args:
        cases: functions without arguments; each returns what to wait for.
        repeats: rounds that count.
        warmup: rounds before them that do not.
        before: called with the name of a case before each of its runs; not timed, what it returns is waited for.
    """
    seconds: dict[Any, list[float]] = {name: [] for name in cases}
    cpu: dict[Any, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for turn in range(warmup + repeats):
        # Begin with another case each round, so that none always follows the same one.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if before is not None:
                jax.block_until_ready(before(name))
            start, busy = time.perf_counter(), time.process_time()
            jax.block_until_ready(cases[name]())
            elapsed, busy = time.perf_counter() - start, time.process_time() - busy
            if turn >= warmup:
                seconds[name].append(elapsed)
                cpu[name].append(busy)
    return {name: summary(values)._replace(cpu=statistics.median(cpu[name])) for name, values in seconds.items()}


def summary(seconds: Sequence[float]) -> Timing:
    """Returns median and quartiles of at least two timings."""
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median, low, high, len(seconds))


def verdict(name: str, ratio: float, peer: str, floor: float, goal: float) -> str:
    """Returns a line that says whether floor and goal, times faster than the peer, were met."""
    met = "goal met" if ratio >= goal else "floor met" if ratio >= floor else "floor MISSED"
    return f"{name}: {ratio:.2f} times {peer} (floor {floor}, goal {goal}): {met}"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints a Markdown table whose columns are aligned."""
    cells = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


def _record(column: str, cell: Any) -> tuple[str, Any]:
    """Returns name and value of a cell for JSON, where timings are in seconds."""
    return (f"{column.removesuffix(' ms')} s", cell._asdict()) if isinstance(cell, Timing) else (column, cell)


def report(
    path: Path | None, settings: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Prints where the numbers come from and the table, and writes both to `path`, timings in seconds."""
    where = environment()
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    print_table(columns, rows)
    if path is not None:
        records = [dict(map(_record, columns, row)) for row in rows]
        result = {"environment": where, "settings": dict(settings), "rows": records}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(result, indent=1) + "\n")
