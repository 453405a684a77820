# SPDX-License-Identifier: Apache-2.0
"""Recurrent networks of the Memory Networks paper: R that writes sentences (Table 6), and its baselines (Table 5).

`python -m experiments.sentences` trains on 7,000 statements and 3,000 questions and tests once on as many new ones.
Settings were chosen on the validation stream; the last epoch counts.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Literal

from experiments import common
from experiments.simulation import COLUMNS
from memjax.recipes import AnsweringConfig, BaselineConfig, Simulation, load_splits, load_test, progress, train_baseline

_LAST = "D5 actor + object"
_RESPONDER = AnsweringConfig(corpus=COLUMNS[_LAST], epochs=20, response="lstm")
_BASELINE = BaselineConfig()


def _words_only(cell: Literal["rnn", "lstm"], corpus: Simulation) -> BaselineConfig:
    return dataclasses.replace(_BASELINE, cell=cell, corpus=corpus)


#: For each table of the paper its rows, and for each row its columns: what is trained, and the paper's number.
TABLES: dict[str, dict[str, dict[str, tuple[AnsweringConfig | BaselineConfig, str]]]] = {
    "6": {
        cell.upper(): {
            "fed [x, m_o1, m_o2]": (dataclasses.replace(_RESPONDER, response=cell), found),
            "fed words only": (dataclasses.replace(_words_only(cell, COLUMNS[_LAST]), answer="sentence"), alone),
        }
        for cell, found, alone in (("rnn", "68.83", "13.97"), ("lstm", "90.98", "14.01"))
    },
    "5": {
        cell.upper(): {
            column: (_words_only(cell, corpus), number)
            for (column, corpus), number in zip(COLUMNS.items(), numbers, strict=True)
        }
        for cell, numbers in (("rnn", ("100", "58", "29", "17")), ("lstm", ("", "", "", "")))
    },
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Tables 5 and 6, the recurrent networks."""

    folder: Path = Path("runs/sentences")
    """The run folder; cells of a table that it holds already are not measured again."""
    seeds: int = 5
    """Trained side by side; each with initial weights and an order of its own, on one world."""
    split: Literal["valid", "test"] = "test"
    """Which stream is measured; settings are chosen on valid."""
    tables: tuple[str, ...] = tuple(TABLES)
    """Which tables."""
    rows: tuple[str, ...] = ("RNN", "LSTM")
    """Which rows of them."""


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
    for what, asked, known in (("tables", config.tables, TABLES), ("rows", config.rows, TABLES["6"])):
        if unknown := [name for name in asked if name not in known]:
            raise ValueError(f"{what}: expected some of {list(known)}, got {unknown}")
    kept = common.Rows(config.folder, config, {"seeds": config.seeds, "split": config.split})
    done = []
    for name in config.tables:
        table = []
        for row in config.rows:
            cells = [row]
            for column, (settings, paper) in TABLES[name][row].items():
                title = f"table {name} | {row} | {column}"
                fn = partial(measure, title, settings, config.seeds, config.split)
                accuracy = kept.measure(title, settings, fn)["accuracy"]
                cells.append(common.spread(accuracy, digits=2) + (f" [{paper}]" if paper else ""))
            table.append(cells)
        header = [f"table {name}: {config.split} accuracy, % [paper]", *TABLES[name][config.rows[0]]]
        done.append(common.markdown(header, table))
    common.finish(config.folder, "\n\n".join(done))


if __name__ == "__main__":
    common.run(main, Config, __doc__)
