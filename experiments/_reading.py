# SPDX-License-Identifier: Apache-2.0
"""What the experiments with models that read sentences share: how a row is trained, and what is said of it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from experiments.common import Rows, is_begun, run_folder, spread
from memjax.recipes import LabellingConfig, progress, train_labeller
from memjax.recipes.config import Config
from memjax.typing import PyTree

#: Of a row, behind what was measured.
COLUMNS = ["valid", "parameters", "words a second", "padding, %"]

#: The metrics of the epochs of one run.
Epochs = list[dict[str, Any]]


def vector_files(vectors: tuple[str, ...]) -> dict[str, str]:
    """What tells the files of vectors of a table: the digest of each, by its name.

    Args:
        vectors: `"glove"`, `"none"`, or files.

    Raises:
        ValueError: if two have one name, which is all that a row says of them.
    """
    paths = [Path(name) for name in vectors if name not in ("glove", "none")]
    names = [path.name for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"vectors: expected files of different names, got {name!r} twice; rename one")
    digests = {}
    for path in paths:
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def read_epochs(run: Path) -> Epochs:
    """The metrics of each epoch of a run folder."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def describe(params: PyTree, runs: list[Epochs], words: int) -> dict[str, Any]:
    """How large a model is, and how its training went.

    Args:
        params: of R seeds, along the leading axis.
        runs: the epochs of each run.
        words: that a run reads in an epoch, its seeds taken together.

    Returns:
        The numbers of one seed's parameters; words a second, the median over epochs; the share of what is computed that
        is padding; epochs.
    """
    seconds = [epoch["seconds"][0] for epochs in runs for epoch in epochs]
    return {
        "parameters": sum(int(np.prod(leaf.shape[1:])) for leaf in jax.tree.leaves(params)),
        "words_per_second": words / float(np.median(seconds)),
        "padding": runs[-1][-1]["padding"][0],
        "epochs": len(runs[-1]),
    }


def row(
    kept: Rows, name: str, config: Config, paper: float | str, metric: str, measure: Callable[[], dict[str, Any]]
) -> list[str]:
    """The cells of a row: its name, one cell for each part, the paper's number, ours, and `COLUMNS`.

    Args:
        kept: rows that were measured, see `Rows.measure`.
        name: of the row, its parts apart by `" | "`.
        config: the configuration.
        paper: its number; empty where it has none.
        metric: the name of ours.
        measure: gives that metric and `valid`, both for each seed, and what `describe` says.
    """
    found = kept.measure(name, config, measure)
    return [
        *name.split(" | "),
        str(paper),
        spread(found[metric]),
        spread(found["valid"]),
        f"{found['parameters']:,}",
        f"{found['words_per_second']:,.0f}",
        f"{100 * found['padding']:.1f}",
    ]


def labelling(
    folder: Path, name: str, config: LabellingConfig, seeds: int, split: Literal["valid", "test"]
) -> dict[str, Any]:
    """Trains a model of labels, or goes on with training it, and measures it: `TrainedLabeller.evaluate`.

    Args:
        folder: of the experiment.
        name: of the row.
        config: the configuration.
        seeds: trained side by side.
        split: what to measure on.

    Returns:
        What `row` takes, with the metric `accuracy`; parameters are without the embeddings.
    """
    run = run_folder(folder, name)
    with progress(name) as report:
        trained = train_labeller(config, seeds=tuple(range(seeds)), folder=run, resume=is_begun(run), report=report)
    epochs = read_epochs(run)
    words = sum(len(words) for words in config.corpus.texts("train").words())
    valid = np.array([epoch["valid"] for epoch in epochs])  # [epochs, seeds]
    return {
        **trained.evaluate(config.corpus.texts(split)),
        "valid": (100 - valid.min(0)).round(3).tolist(),
        "best_epochs": (valid.argmin(0) + 1).tolist(),
        **describe({**trained.params, "embedding": ()}, [epochs], seeds * words),
    }
