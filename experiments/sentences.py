# SPDX-License-Identifier: Apache-2.0
"""Recurrent networks of the Memory Networks paper: R that writes sentences (Table 6), baselines (Tables 3, 5 and 6).

`python -m experiments.sentences` trains on 7,000 statements and 3,000 questions and tests once on as many new ones.
Settings were chosen on the validation stream (`--tables settings --split valid --seeds 1`); the last epoch counts.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, Literal

from experiments import common, simulation
from memjax.recipes import AnsweringConfig, BaselineConfig, Simulation, load_splits, load_test, progress, train_baseline

#: The recurrent networks.
_CELLS: tuple[Literal["rnn", "lstm"], ...] = ("rnn", "lstm")
_HARDEST = Simulation(difficulty=5)
_RESPONDERS = {
    "rnn": AnsweringConfig(corpus=_HARDEST, epochs=20, response="rnn", learning_rate=0.003),
    "lstm": AnsweringConfig(corpus=_HARDEST, epochs=20, response="lstm"),
}
_BASELINE = BaselineConfig()
#: What was best on validation among the table of settings; of the RNN's best three, five seeds were compared there.
_TUNED: dict[str, dict[str, Any]] = {
    "rnn": {"hidden_features": 128, "learning_rate": 0.003, "epochs": 12},
    "lstm": {"hidden_features": 128, "learning_rate": 0.01, "epochs": 40},
}


def _words_only(cell: Literal["rnn", "lstm"], corpus: Simulation) -> BaselineConfig:
    return dataclasses.replace(_BASELINE, cell=cell, corpus=corpus)


def _baselines(table: int, cell: Literal["rnn", "lstm"], *numbers: str) -> dict[str, tuple[BaselineConfig, str]]:
    columns = simulation.TABLES[table].columns.items()
    return {
        name: (dataclasses.replace(_words_only(cell, corpus), **_TUNED[cell]), paper)
        for (name, corpus), paper in zip(columns, numbers, strict=True)
    }


def _tried(cell: Literal["rnn", "lstm"], hidden: int) -> dict[str, tuple[BaselineConfig, str]]:
    start = dataclasses.replace(_words_only(cell, Simulation(difficulty=5, objects=False)), hidden_features=hidden)
    return {
        f"{epochs} epochs, rate {rate}": (dataclasses.replace(start, epochs=epochs, learning_rate=rate), "")
        for epochs in (12, 40)
        for rate in (0.003, 0.01)
    }


#: For each table of the paper its rows, and for each row its columns: what is trained, and the paper's number.
TABLES: dict[str, dict[str, dict[str, tuple[Any, str]]]] = {
    "6": {
        cell.upper(): {
            "fed [x, m_o1, m_o2]": (_RESPONDERS[cell], found),
            "fed words only": (dataclasses.replace(_words_only(cell, _HARDEST), answer="sentence"), alone),
        }
        for cell, found, alone in zip(_CELLS, ("68.83", "90.98"), ("13.97", "14.01"), strict=True)
    },
    "5": {"RNN": _baselines(5, "rnn", "100", "58", "29", "17")},
    "3": {
        "RNN": _baselines(3, "rnn", "100", "60.9", "27.9", "23.8", "17.8"),
        "LSTM": _baselines(3, "lstm", "100", "64.8", "49.1", "35.2", "29.0"),
    },
    "settings": {
        f"{cell.upper()}, {hidden} hidden": _tried(cell, hidden) for hidden in (64, 128, 256) for cell in _CELLS
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Tables 6, 5 and 3, the recurrent networks."""

    folder: Path = Path("runs/sentences_table")
    """The run folder; cells of a table that it holds already are not measured again."""
    seeds: int = 5
    """Trained side by side; each with initial weights and an order of its own, on one world."""
    split: Literal["valid", "test"] = "test"
    """Which stream is measured; settings are chosen on valid."""
    tables: tuple[str, ...] = ("6", "5", "3")
    """Which tables; "settings" is what baselines were chosen from, D5 actor, to be measured with --split valid."""


def measure(title: str, config: AnsweringConfig | BaselineConfig, seeds: int, split: Literal["valid", "test"]) -> dict:
    """Trains seeds side by side and measures each."""
    if isinstance(config, AnsweringConfig):
        return common.accuracy(title, config, seeds, split)
    splits = load_splits(config.corpus)
    with progress(title) as report:
        trained = train_baseline(config, seeds=tuple(range(seeds)), splits=splits, report=report)
    return trained.evaluate(splits.valid if split == "valid" else load_test(config.corpus))


def main(config: Config) -> None:
    """Trains and measures every cell of the tables."""
    if "settings" in config.tables and config.split != "valid":
        raise ValueError(f"split: expected 'valid' for the table of settings, got {config.split!r}")
    common.check_names("tables", config.tables, TABLES)
    kept = common.Rows(config.folder, config, {"seeds": config.seeds, "split": config.split})
    done = []
    for name in config.tables:
        table, columns = [], []
        for row, cells_of_row in TABLES[name].items():
            cells, columns = [row], list(cells_of_row)
            for column, (settings, paper) in cells_of_row.items():
                title = f"table {name} | {row} | {column}"
                fn = partial(measure, title, settings, config.seeds, config.split)
                accuracy = kept.measure(title, settings, fn)["accuracy"]
                cells.append(common.spread(accuracy, digits=2) + (f" [{paper}]" if paper else ""))
            table.append(cells)
        header = [f"table {name}: {config.split} accuracy, % [paper]", *columns]
        done.append(common.markdown(header, table))
    common.finish(config.folder, "\n\n".join(done))


if __name__ == "__main__":
    common.run(main, Config, __doc__)
