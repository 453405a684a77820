# SPDX-License-Identifier: Apache-2.0
"""Table 5 of the Memory Networks paper: the simulated world, one sentence an input, single-word answers.

`python -m experiments.simulation` trains every row on 7,000 statements and 3,000 questions and tests it once on as many
new ones. Settings were chosen on the validation stream; the last epoch counts.
"""

import dataclasses
from functools import partial
from pathlib import Path

from experiments import common
from memjax.recipes import PAPER, AnsweringConfig, Simulation

#: The paper's columns, and its numbers for them by row.
COLUMNS = {
    "D1 actor": Simulation(difficulty=1, objects=False),
    "D1 actor + object": Simulation(difficulty=1),
    "D5 actor": Simulation(difficulty=5, objects=False),
    "D5 actor + object": Simulation(difficulty=5),
}
PUBLISHED = {
    "k=1": ("90", "9", "46", "21"),
    "k=1 + time": ("100", "73", "100", "73"),
    "k=2 + time": ("100", "99.95", "100", "99.4"),
}

_OURS = AnsweringConfig(epochs=20)
ROWS = {
    "k=1": dataclasses.replace(_OURS, hops=1, time="none"),
    "k=1 + time": dataclasses.replace(_OURS, hops=1),
    "k=2 + time": _OURS,
    "k=2 + time, features as printed": dataclasses.replace(_OURS, time="printed"),
    "k=2 + time, short chains without loss": dataclasses.replace(_OURS, short_chains="no_loss", exclude_found=True),
    "k=2 + time, sampled hinge": dataclasses.replace(_OURS, loss="hinge", negatives="sampled"),
    "k=2 + time, the paper's training": dataclasses.replace(PAPER, short_chains="repeat"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Table 5."""

    folder: Path = Path("runs/simulation")
    """The run folder; rows that it holds already are not measured again."""
    seeds: int = 5
    """Trained side by side; each with initial weights and an order of its own, on one world."""
    before: bool = False
    """Also ask where an actor was before; the paper's Table 5 does not."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Which rows."""


def main(config: Config) -> None:
    """Trains and tests every row in every column."""
    unknown = [name for name in config.rows if name not in ROWS]
    if unknown:
        raise ValueError(f"rows: expected some of {list(ROWS)}, got {unknown}")
    kept = common.Rows(config.folder, config, {"seeds": config.seeds})
    table = []
    for row in config.rows:
        cells = [row]
        for number, (column, corpus) in enumerate(COLUMNS.items()):
            settings = dataclasses.replace(ROWS[row], corpus=dataclasses.replace(corpus, before=config.before))

            measure = partial(common.accuracy, f"{row}, {column}", settings, config.seeds, "test")
            result = kept.measure(f"{row} | {column}", settings, measure)
            paper = f" [{PUBLISHED[row][number]}]" if row in PUBLISHED and not config.before else ""
            cells.append(common.spread(result["accuracy"], digits=2) + paper)
        table.append(cells)
    header = ["test accuracy, % [paper]", *COLUMNS]
    common.finish(config.folder, common.markdown(header, table))


if __name__ == "__main__":
    common.run(main, Config, __doc__)
