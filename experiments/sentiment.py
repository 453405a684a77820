# SPDX-License-Identifier: Apache-2.0
"""Sentiment on the Stanford Sentiment Treebank: Table 2 of Cheng et al. 2016.

`python -m experiments.sentiment --data DIR` trains each row in a run folder of its own, from which it goes on after a
stop, and measures the test sentences once. The parameters that are right most often on validation sentences are kept.
Settings are chosen with `--split valid`, which never reads the test file.
"""

import dataclasses
import itertools
from functools import partial
from pathlib import Path
from typing import Any, Literal

from experiments import _reading, common
from memjax.recipes import MODERN_SENTIMENT, SST, SentimentConfig

#: The paper's accuracies, fine and binary; those of LSTMs are Tai et al.'s, who trained on phrases.
PAPER = {
    "LSTM": {"fine": 46.4, "binary": 84.9},
    "LSTM, 2 layers": {"fine": 46.0, "binary": 86.3},
    "LSTMN": {"fine": 47.6, "binary": 86.3},
    "LSTMN, 2 layers": {"fine": 47.9, "binary": 87.0},
}

#: Batches of 25, where the paper has 5, do as well on validation sentences, in half the time.
_PAPER = SentimentConfig(batch_size=25, epochs=8)
MODELS = {
    "LSTM": dataclasses.replace(_PAPER, core="lstm"),
    "LSTM, 2 layers": dataclasses.replace(_PAPER, core="lstm", num_layers=2, hidden_features=120),
    "LSTMN": _PAPER,
    "LSTMN, 2 layers": dataclasses.replace(_PAPER, num_layers=2),
    "LSTM, modern": dataclasses.replace(MODERN_SENTIMENT, core="lstm"),
    "LSTMN, modern": MODERN_SENTIMENT,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Sentiment of sentences."""

    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""
    folder: Path = Path("runs/sentiment")
    """The run folder; rows that it holds already are not measured again."""
    split: Literal["valid", "test"] = "test"
    """What is measured."""
    models: tuple[str, ...] = ("LSTM", "LSTMN")
    """Rows of the table."""
    tasks: tuple[Literal["fine", "binary"], ...] = ("fine", "binary")
    """Columns of the table: five labels, or two."""
    phrases: tuple[bool, ...] = ()
    """Train on whole sentences, or on every phrase of the trees; by default as each model does."""
    vectors: tuple[str, ...] = ("glove",)
    """Vectors of words to start from: glove, none, or a file."""
    features: int = 50
    """D, the numbers of each of those vectors."""
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
    models = [
        (phrases, vectors, model)
        for vectors, model in itertools.product(config.vectors, config.models)
        for phrases in config.phrases or (MODELS[model].corpus.phrases,)
    ]
    for task, (phrases, vectors, model) in itertools.product(config.tasks, models):
        settings = _settings(config, model, vectors, SST(fine=task == "fine", phrases=phrases, data=config.data))
        name = f"{model} | {task} | {'phrases' if phrases else 'sentences'} | {Path(vectors).name}"
        measure = partial(_reading.labelling, config.folder, name, settings, config.seeds, config.split)
        paper = PAPER.get(model, {}).get(task, "")
        rows.append(_reading.row(kept, name, settings, paper, "accuracy", measure))
    columns = ["", "labels", "trained on", "vectors", "paper", config.split, *_reading.COLUMNS]
    common.finish(config.folder, common.markdown(columns, rows))


def _settings(config: Config, model: str, vectors: str, corpus: SST) -> SentimentConfig:
    settings = dataclasses.replace(MODELS[model], corpus=corpus, features=config.features, vectors=vectors)
    if corpus.phrases:  # 18 times as many texts
        settings = dataclasses.replace(settings, batch_size=MODERN_SENTIMENT.batch_size, epochs=MODERN_SENTIMENT.epochs)
    if vectors != "none":
        settings = dataclasses.replace(settings, tuning="scaled_first")
    return dataclasses.replace(settings, epochs=config.epochs) if config.epochs else settings


if __name__ == "__main__":
    common.run(main, Config, __doc__)
