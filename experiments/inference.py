# SPDX-License-Identifier: Apache-2.0
"""Inference on SNLI: Table 3 of Cheng et al. 2016, or as much of it as the training pairs that are there allow.

`python -m experiments.inference --data DIR` trains each row in a run folder of its own, from which it goes on after a
stop, and measures the test pairs once. The parameters that are right most often on validation pairs are kept. Settings
are chosen with `--split valid`, which never measures test pairs; they are only taken out of the training pairs.
"""

import dataclasses
import itertools
from functools import partial
from pathlib import Path
from typing import Any, Literal

from experiments import _reading, common
from memjax.recipes import MODERN_INFERENCE, SNLI, InferenceConfig

#: The paper's accuracies by h, from all 549,367 training pairs; the LSTM is Bowman et al.'s.
PAPER = {
    100: {"LSTM": 77.6, "LSTMN": 81.5, "LSTMN, shallow": 84.3, "LSTMN, deep": 84.5},
    300: {"LSTMN, shallow": 85.2, "LSTMN, deep": 85.7},
}

_PAPER = InferenceConfig()
MODELS = {
    "LSTM": dataclasses.replace(_PAPER, core="lstm"),
    "LSTMN": _PAPER,
    "LSTMN, shallow": dataclasses.replace(_PAPER, fusion="shallow"),
    "LSTMN, deep": dataclasses.replace(_PAPER, fusion="deep"),
    "LSTMN, deep, two readers": dataclasses.replace(_PAPER, fusion="deep", shared=False),
    "LSTM, modern": dataclasses.replace(MODERN_INFERENCE, core="lstm", fusion="none"),
    "LSTMN, modern": dataclasses.replace(MODERN_INFERENCE, fusion="none"),
    "LSTMN, shallow, modern": MODERN_INFERENCE,
    "LSTMN, deep, modern": dataclasses.replace(MODERN_INFERENCE, fusion="deep"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Inference from one sentence to another."""

    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""
    folder: Path = Path("runs/inference")
    """The run folder; rows that it holds already are not measured again."""
    split: Literal["valid", "test"] = "test"
    """What is measured."""
    models: tuple[str, ...] = ("LSTM", "LSTMN", "LSTMN, shallow", "LSTMN, deep")
    """Rows of the table."""
    vectors: tuple[str, ...] = ("glove",)
    """Vectors of words to start from: glove, none, or a file."""
    features: int = 50
    """D, the numbers of each of those vectors."""
    hidden_features: int = 100
    """H, of each core; the paper has 300 too."""
    source: Literal["files", "tfds"] = "files"
    """What the folder holds of the corpus; or all of it, TFDS's own snli, which is downloaded there."""
    seeds: int = 3
    """Trained side by side."""
    epochs: int = 0
    """Of each row; 0 for those of its configuration."""


def main(config: Config) -> None:
    """Trains and measures every model."""
    common.check_names("models", config.models, MODELS)
    shared: dict[str, Any] = {"seeds": config.seeds, "split": config.split, "epochs": config.epochs}
    if files := _reading.vector_files(config.vectors):
        shared["vectors"] = files
    kept = common.Rows(config.folder, config, shared)
    rows = []
    for vectors, model in itertools.product(config.vectors, config.models):
        settings = _settings(config, model, vectors)
        wide = f", h = {config.hidden_features}" if config.hidden_features != MODELS[model].hidden_features else ""
        name = f"{model}{wide} | {Path(vectors).name}"
        measure = partial(_reading.labelling, config.folder, name, settings, config.seeds, config.split)
        paper = PAPER.get(config.hidden_features, {}).get(model, "")
        rows.append(_reading.row(kept, name, settings, paper, "accuracy", measure))
    columns = ["", "vectors", "paper", config.split, *_reading.COLUMNS]
    common.finish(config.folder, common.markdown(columns, rows))


def _settings(config: Config, model: str, vectors: str) -> InferenceConfig:
    settings = dataclasses.replace(
        MODELS[model],
        corpus=SNLI(source=config.source, data=config.data),
        features=config.features,
        hidden_features=config.hidden_features,
        vectors=vectors,
    )
    if vectors != "none":
        settings = dataclasses.replace(settings, tuning="frozen_first")
    return dataclasses.replace(settings, epochs=config.epochs) if config.epochs else settings


if __name__ == "__main__":
    common.run(main, Config, __doc__)
