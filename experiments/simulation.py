# SPDX-License-Identifier: Apache-2.0
"""The simulated world of the Memory Networks paper, single-word answers: Tables 3, 4 and 5.

`python -m experiments.simulation` trains every row on 7,000 statements and 3,000 questions and tests it once on as many
new ones: one sentence an input (Table 5). `--table 3`: the statements come as one stream of words; a segmenter cuts it.
`--table 4`: likewise, with fewer questions to train on. Settings were chosen on the validation stream; the last epoch
counts.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Literal

from experiments import common
from memjax.recipes import PAPER, AnsweringConfig, Simulation


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the paper: our configuration of each row, and the paper's numbers by row.

    `questions`: how many to train on, by row; all of the column's where a row is not named.
    """

    columns: dict[str, Simulation]
    rows: dict[str, AnsweringConfig]
    published: dict[str, tuple[str, ...]]
    questions: dict[str, int] = dataclasses.field(default_factory=dict)


_OURS = AnsweringConfig(epochs=20)
_MODELS = {
    "k=1": dataclasses.replace(_OURS, hops=1, time="none"),
    "k=1 + time": dataclasses.replace(_OURS, hops=1),
    "k=2 + time": _OURS,
}
_STREAMS = {
    "D1 actor": Simulation(difficulty=1, objects=False, before=True, stream=True),
    "D1 actor + object": Simulation(difficulty=1, before=True, stream=True),
    "D5 actor": Simulation(difficulty=5, objects=False, before=True, stream=True),
    "D5 actor + object": Simulation(difficulty=5, before=True, stream=True),
}
#: By number of questions; the fewer there are, the smaller the batches.
_FEWER = {
    100: dataclasses.replace(_OURS, epochs=30, batch_size=1),
    500: dataclasses.replace(_OURS, epochs=30, batch_size=8),
    1000: dataclasses.replace(_OURS, batch_size=8),
    3000: _OURS,
}

#: A hop after the last support finds the stop slot, not that support again.
_STOPPING = {
    number: dataclasses.replace(settings, adaptive=True, exclude_found=True, short_chains="no_loss")
    for number, settings in _FEWER.items()
}

TABLES = {
    3: Table(
        columns={"D1 actor w/o before": Simulation(difficulty=1, objects=False, stream=True), **_STREAMS},
        rows=_MODELS,
        published={
            "k=1": ("97.8", "31.0", "24.0", "21.9", "18.5"),
            "k=1 + time": ("99.9", "60.2", "42.5", "60.8", "44.4"),
            "k=2 + time": ("100", "100", "100", "100", "99.9"),
        },
    ),
    4: Table(
        columns=_STREAMS,
        rows={
            **{f"{number}": settings for number, settings in _FEWER.items()},
            **{f"{number}, stop slot": settings for number, settings in _STOPPING.items()},
        },
        published={
            "100": ("73.8", "64.9", "74.4", "49.8"),
            "500": ("99.9", "99.2", "99.8", "95.1"),
            "1000": ("99.9", "100", "100", "98.4"),
            "3000": ("100", "100", "100", "99.9"),
        },
        questions={row: number for number in _FEWER for row in (f"{number}", f"{number}, stop slot")},
    ),
    5: Table(
        columns={
            "D1 actor": Simulation(difficulty=1, objects=False),
            "D1 actor + object": Simulation(difficulty=1),
            "D5 actor": Simulation(difficulty=5, objects=False),
            "D5 actor + object": Simulation(difficulty=5),
        },
        rows={
            **_MODELS,
            "k=2 + time, features as printed": dataclasses.replace(_OURS, time="printed"),
            "k=2 + time, short chains without loss": dataclasses.replace(
                _OURS, short_chains="no_loss", exclude_found=True
            ),
            "k=2 + time, sampled hinge": dataclasses.replace(_OURS, loss="hinge", negatives="sampled"),
            "k=2 + time, the paper's training": dataclasses.replace(PAPER, short_chains="repeat"),
        },
        published={
            "k=1": ("90", "9", "46", "21"),
            "k=1 + time": ("100", "73", "100", "73"),
            "k=2 + time": ("100", "99.95", "100", "99.4"),
        },
    ),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Tables 3, 4 and 5."""

    table: Literal[3, 4, 5] = 5
    """3: a stream of words; 4: likewise, by number of training questions; 5: one sentence an input."""
    folder: Path | None = None
    """The run folder, runs/simulation_TABLE where none is given; rows that it holds are not measured again."""
    seeds: int = 5
    """Each with initial weights and an order of its own, on one world."""
    before: bool = False
    """Also ask where an actor was before in Table 5, as in the others; the paper's Table 5 does not."""
    split: Literal["test", "valid"] = "test"
    """What to measure on; settings are chosen on valid."""
    rows: tuple[str, ...] = ()
    """Which rows; all of the table by default."""
    columns: tuple[str, ...] = ()
    """Which columns; all of the table by default."""


def main(config: Config) -> None:
    """Trains and tests every row in every column."""
    table = TABLES[config.table]
    rows, columns = config.rows or tuple(table.rows), config.columns or tuple(table.columns)
    common.check_names("rows", rows, table.rows)
    common.check_names("columns", columns, table.columns)
    folder = config.folder or Path(f"runs/simulation_{config.table}")
    kept = common.Rows(folder, config, {"seeds": config.seeds, "split": config.split})
    cells = [[row] + [_cell(config, table, kept, row, column) for column in columns] for row in rows]
    common.finish(folder, common.markdown([f"{config.split} accuracy, % [paper]", *columns], cells))


def _cell(config: Config, table: Table, kept: common.Rows, row: str, column: str) -> str:
    """Measures a row in a column, or takes it from the folder."""
    tested = table.columns[column]
    tested = dataclasses.replace(tested, before=tested.before or config.before)
    trained = dataclasses.replace(tested, num_questions=table.questions.get(row, tested.num_questions))
    settings = dataclasses.replace(table.rows[row], corpus=trained)
    measure = partial(common.accuracy, f"{row}, {column}", settings, config.seeds, config.split, tested)
    result = kept.measure(f"{row} | {column}", settings, measure)
    shown = not config.before and row in table.published
    paper = f" [{table.published[row][list(table.columns).index(column)]}]" if shown else ""
    return common.spread(result["accuracy"], digits=2) + paper


if __name__ == "__main__":
    common.run(main, Config, __doc__)
