# SPDX-License-Identifier: Apache-2.0
"""Question answering with a key-value Memory Network: the KB column of Miller et al. 2016, on MetaQA.

`python -m experiments.key_value --data DIR` trains each row on nine tenths of the dev questions of one hop, from their
answers alone, and tests it once on the test questions. Settings are chosen with `--split valid`, the last tenth, which
never reads the test files. The last epoch counts. `experiments.knowledge_base` has the hard Memory Network on the same
questions.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, Literal

from experiments import common
from memjax.recipes import KeyValueConfig, measure_key_value, progress, train_key_value

_OURS = KeyValueConfig()
#: The paper's equations, at a size that a CPU trains: trained rows for all names, values by A, two hops.
_PRINTED = dataclasses.replace(
    _OURS, names="trained", values="A", hop_matrices=True, reads=2, targets="drawn", features=128
)
#: Rows: what is trained.
MODELS = {
    "key-value": _OURS,
    "two hops": dataclasses.replace(_OURS, reads=2),
    "with hop matrices": dataclasses.replace(_OURS, hop_matrices=True),
    "one answer drawn": dataclasses.replace(_OURS, targets="drawn"),
    "trained names": dataclasses.replace(_OURS, names="trained", features=128),
    "as printed": _PRINTED,
}
#: hits@1 on the test questions of WikiMovies, with its knowledge base: ten times as many questions to learn from.
PAPER = {"paper, WikiMovies: key-value": 93.9, "paper, WikiMovies: Memory Network": 78.5}


@dataclasses.dataclass(frozen=True)
class Config:
    """MetaQA, one hop."""

    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""
    folder: Path = Path("runs/key_value_table")
    """The run folder; rows that it holds already are not measured again."""
    split: Literal["valid", "test"] = "test"
    """Which questions are measured."""
    models: tuple[str, ...] = ("key-value", "as printed")
    """What is trained."""
    seeds: int = 3
    """Trained side by side; each with initial weights, an order and negatives of its own."""


def main(config: Config) -> None:
    """Trains and measures every row."""
    common.check_names("models", config.models, MODELS)
    kept = common.Rows(config.folder, config, {"seeds": config.seeds, "split": config.split})
    results = {}
    for name in config.models:
        corpus = dataclasses.replace(MODELS[name].corpus, data=config.data)
        settings = dataclasses.replace(MODELS[name], corpus=corpus)
        results[name] = kept.measure(name, settings, partial(_row, name, settings, config))
    common.finish(config.folder, _table(results))


def _row(name: str, settings: KeyValueConfig, config: Config) -> dict[str, Any]:
    with progress(name) as report:
        trained = train_key_value(settings, seeds=tuple(range(config.seeds)), report=report)
    return measure_key_value(trained, settings.corpus.questions(config.split))


_COLUMNS = ("hits@1", "hits@1 read", "hits@1 seen", "hits@1 unseen")


def _table(results: dict[str, dict[str, Any]]) -> str:
    rows = [[name, f"{value:.1f}", *[""] * len(_COLUMNS)] for name, value in PAPER.items()]
    for name, result in results.items():
        cells = [common.spread(result[column], digits=2) if column in result else "" for column in _COLUMNS]
        rows.append([name, *cells, f"{sum(result['candidates']) / len(result['candidates']):.1f}"])
    return common.markdown(["%", *_COLUMNS, "slots read"], rows)


if __name__ == "__main__":
    common.run(main, Config, __doc__)
