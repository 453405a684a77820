# SPDX-License-Identifier: Apache-2.0
"""Language models on the Penn Treebank: Table 1 of Cheng et al. 2016.

`python -m experiments.language_model --data DIR` trains each row in a run folder of its own, from which it goes on
after a stop, and measures the test text once. The parameters that do best on validation text are kept. Settings are
chosen with `--split valid`, which never reads the test file.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from experiments import common
from memjax.recipes import MODERN_LANGUAGE, LanguageConfig, PennTreebank, progress, train_language_model

#: The paper's perplexities.
PAPER = {"LSTM": 115, "LSTMN": 108, "LSTMN, 3 layers": 102}

_PAPER = LanguageConfig()
MODELS = {
    "LSTM": dataclasses.replace(_PAPER, core="lstm"),
    "LSTMN": _PAPER,
    "LSTMN, 3 layers": dataclasses.replace(_PAPER, num_layers=3),
    "LSTM, carried": dataclasses.replace(_PAPER, core="lstm", tape="carried"),
    "LSTMN, carried": dataclasses.replace(_PAPER, tape="carried"),
    "LSTM, modern": dataclasses.replace(MODERN_LANGUAGE, core="lstm"),
    "LSTMN, modern": MODERN_LANGUAGE,
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


def main(config: Config) -> None:
    """Trains and measures every model."""
    common.check_names("models", config.models, MODELS)
    kept = common.Rows(config.folder, config, {"seeds": config.seeds, "split": config.split, "epochs": config.epochs})
    rows = []
    for name in config.models:
        settings = dataclasses.replace(MODELS[name], corpus=PennTreebank(config.data))
        if config.epochs:
            settings = dataclasses.replace(settings, epochs=config.epochs)
        found = kept.measure(name, settings, lambda name=name, settings=settings: _measure(config, name, settings))
        rows.append(
            [
                name,
                str(PAPER.get(name, "")),
                common.spread(found["perplexity"]),
                common.spread(found["valid"]),
                str(found["parameters"]),
                f"{found['words_per_second']:,.0f}",
                f"{100 * found['padding']:.1f}",
            ]
        )
    columns = ["", "paper", config.split, "valid", "parameters", "words a second", "padding, %"]
    common.finish(config.folder, common.markdown(columns, rows))


def _measure(config: Config, name: str, settings: LanguageConfig) -> dict[str, Any]:
    results: dict[str, Any] = {"perplexity": [], "valid": []}
    rates, lines = [], []
    sentences = settings.corpus.sentences(config.split)
    num_words = sum(len(words) + 1 for words in settings.corpus.sentences("train"))
    for seed in range(config.seeds):
        run = config.folder / "rows" / f"{name}, seed {seed}".replace(", ", "-").replace(" ", "-").lower()
        with progress(f"{name}, seed {seed}") as report:
            trained = train_language_model(settings, seeds=(seed,), folder=run, resume=run.exists(), report=report)
        results["perplexity"] += trained.evaluate(sentences)["perplexity"]
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        results["valid"].append(round(float(np.exp(min(line["valid"][0] for line in lines))), 4))
        rates += [num_words / line["seconds"][0] for line in lines]
    parameters = sum(int(np.prod(leaf.shape[1:])) for leaf in jax.tree.leaves(trained.params))
    return {
        **results,
        "parameters": parameters,
        "words_per_second": float(np.median(rates)),
        "padding": lines[-1]["padding"][0],
        "epochs": len(lines),
    }


if __name__ == "__main__":
    common.run(main, Config, __doc__)
