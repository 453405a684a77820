# SPDX-License-Identifier: Apache-2.0
"""The dialog bAbI tasks: end-to-end Memory Networks in goal-oriented dialogs (Bordes, Boureau and Weston 2017).

`python -m experiments.dialog --data DIR` trains a bot for each task, with and without match type features, each in a
run folder of its own from which it goes on after a stop, and measures the test dialogs and those with entities of their
own (OOV) once. The parameters with most right responses in validation dialogs are kept. Settings are chosen with
`--split valid`, which never reads a test file.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, Literal

from experiments import common
from memjax.recipes import DialogBabi, DialogConfig, progress, train_dialogs

#: Responses right in test dialogs in the paper's Table 2, without and with match type features, as quoted in the
#: documentation of github.com/IntelLabs/nlp-architect (doc/source/memn2n.rst at 27c92aed63).
PAPER = {1: (99.9, 100.0), 2: (100.0, 98.3), 3: (74.9, 74.9), 4: (59.5, 100.0), 5: (96.1, 93.4), 6: (41.1, 41.0)}

#: In OOV dialogs, without match type features, by another implementation of the same model
#: (github.com/tsajed/chatbot-MemN2N-tensorflow at 1108fba, README; 200 epochs, embeddings of 20).
OTHERS = {1: 76.3, 2: 78.9, 3: 64.8, 4: 57.0, 5: 64.9}


@dataclasses.dataclass(frozen=True)
class Config:
    """Goal-oriented dialogs."""

    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""
    folder: Path = Path("runs/dialog_tasks")
    """The run folder; rows that it holds already are not measured again."""
    split: Literal["valid", "test"] = "test"
    """What is measured; with test also oov."""
    tasks: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    """1 to 6."""
    match: tuple[bool, ...] = (False, True)
    """Without and with match type features."""
    places: tuple[Literal["index", "age", "none"], ...] = ("age",)
    """What tells utterances apart in time: the paper's index, age, or nothing."""
    hops: tuple[int, ...] = (3,)
    """How often the memory is read."""
    seeds: int = 3
    """Trained side by side."""
    epochs: int = 0
    """Of each row; 0 for those of its configuration."""


def main(config: Config) -> None:
    """Trains and measures every bot."""
    common.check_names("tasks", map(str, config.tasks), [str(task) for task in PAPER])
    shared = {"seeds": config.seeds, "split": config.split, "epochs": config.epochs}
    kept = common.Rows(config.folder, config, shared)
    rows = []
    for task in config.tasks:
        for match in config.match:
            for places in config.places:
                for hops in config.hops:
                    settings = _settings(config, task, match, places, hops)
                    name = f"{task} | {'match' if match else 'words'} | {places} | {hops}"
                    found = kept.measure(name, settings, partial(_measure, config, name, settings))
                    rows.append([*name.split(" | "), *_cells(config, task, match, found)])
    columns = ["task", "entities", "places", "hops", "valid"]
    if config.split == "test":
        columns += ["paper", "test", "dialogs", "others, oov", "oov", "dialogs, oov"]
    common.finish(config.folder, common.markdown(columns, rows))


def _settings(config: Config, task: int, match: bool, places: Any, hops: int) -> DialogConfig:
    settings = DialogConfig(corpus=DialogBabi(task, config.data), match=match, places=places, hops=hops)
    return dataclasses.replace(settings, epochs=config.epochs) if config.epochs else settings


def _measure(config: Config, name: str, settings: DialogConfig) -> dict[str, Any]:
    """Trains a bot, or goes on with training it: `TrainedDialogs.evaluate` of each split."""
    run = common.run_folder(config.folder, name)
    group = tuple(range(config.seeds))
    with progress(name) as report:
        trained = train_dialogs(settings, seeds=group, folder=run, resume=common.is_begun(run), report=report)
    splits = ["valid"]
    if config.split == "test":
        splits += ["test"] + ["oov"] * (settings.corpus.task != 6)
    return {split: trained.evaluate(settings.corpus.dialogs(split)) for split in splits}


def _cells(config: Config, task: int, match: bool, found: dict[str, Any]) -> list[str]:
    cells = [common.spread(found["valid"]["responses"], 2)]
    if config.split == "test":
        for split, other in ("test", PAPER[task][match]), ("oov", "" if match else OTHERS.get(task, "")):
            measured = found.get(split)
            cells.append(str(other))
            cells += [common.spread(measured[name], 2) if measured else "" for name in ("responses", "dialogs")]
    return cells


if __name__ == "__main__":
    common.run(main, Config, __doc__)
