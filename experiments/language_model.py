# SPDX-License-Identifier: Apache-2.0
"""Language models on the Penn Treebank: Table 1 of Cheng et al. 2016, and Table 2 of Sukhbaatar et al. 2015.

`python -m experiments.language_model --data DIR` trains each row in a run folder of its own, from which it goes on
after a stop, and measures the test text once. The parameters that do best on validation text are kept. Settings are
chosen with `--split valid`, which never reads the test file.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments import _reading, common
from memjax.recipes import (
    MEMN2N_LANGUAGE,
    MODERN_LANGUAGE,
    LanguageConfig,
    PennTreebank,
    progress,
    train_language_model,
)

#: The papers' perplexities; that of MemN2N is the best of ten.
PAPER = {
    "LSTM": 115,
    "LSTMN": 108,
    "LSTMN, 3 layers": 102,
    "LSTMN, 3 layers, skip connections": 102,
    "MemN2N": 115,
}

_PAPER = LanguageConfig()
MODELS = {
    "LSTM": dataclasses.replace(_PAPER, core="lstm"),
    "LSTMN": _PAPER,
    "LSTMN, 3 layers": dataclasses.replace(_PAPER, num_layers=3),
    "LSTMN, 3 layers, skip connections": dataclasses.replace(_PAPER, num_layers=3, skip_connections=True),
    "LSTM, carried": dataclasses.replace(_PAPER, core="lstm", tape="carried"),
    "LSTMN, carried": dataclasses.replace(_PAPER, tape="carried"),
    "LSTM, modern": dataclasses.replace(MODERN_LANGUAGE, core="lstm", span=0),
    "LSTMN, modern": MODERN_LANGUAGE,
    "MemN2N": MEMN2N_LANGUAGE,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Language models on the Penn Treebank."""

    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""
    folder: Path = Path("runs/language_model")
    """The run folder; rows that it holds already are not measured again."""
    split: Literal["valid", "test"] = "test"
    """What is measured."""
    models: tuple[str, ...] = ("LSTM", "LSTMN", "LSTMN, 3 layers")
    """Rows of the table."""
    seeds: int = 1
    """One after the other."""
    epochs: int = 0
    """Of each row; 0 for those of its recipe."""
    output_dtype: Literal["float32", "bfloat16"] = LanguageConfig.output_dtype
    """Of what enters the products of the output layer in training; on a processor without products of bfloat16, float32
    is faster."""


def main(config: Config) -> None:
    """Trains and measures every model."""
    common.check_names("models", config.models, MODELS)
    kept = common.Rows(config.folder, config, {"seeds": config.seeds, "split": config.split, "epochs": config.epochs})
    rows = []
    for name in config.models:
        settings = dataclasses.replace(MODELS[name], corpus=PennTreebank(config.data), output_dtype=config.output_dtype)
        if config.epochs:
            settings = dataclasses.replace(settings, epochs=config.epochs)
        measure = partial(_measure, config, name, settings)
        rows.append(_reading.row(kept, name, settings, PAPER.get(name, ""), "perplexity", measure))
    columns = ["", "paper", config.split, *_reading.COLUMNS]
    common.finish(config.folder, common.markdown(columns, rows))


def _measure(config: Config, name: str, settings: LanguageConfig) -> dict[str, Any]:
    results: dict[str, Any] = {"perplexity": [], "valid": []}
    runs = []
    sentences = settings.corpus.sentences(config.split)
    num_words = sum(len(words) + 1 for words in settings.corpus.sentences("train"))
    for seed in range(config.seeds):
        title = f"{name}, seed {seed}"
        run = common.run_folder(config.folder, title)
        with progress(title) as report:
            trained = train_language_model(
                settings, seeds=(seed,), folder=run, resume=common.is_begun(run), report=report
            )
        results["perplexity"] += trained.evaluate(sentences)["perplexity"]
        runs.append(_reading.read_epochs(run))
        results["valid"].append(round(float(np.exp(min(epoch["valid"][0] for epoch in runs[-1]))), 4))
    return {**results, **_reading.describe(trained.params, runs, num_words)}


if __name__ == "__main__":
    common.run(main, Config, __doc__)
