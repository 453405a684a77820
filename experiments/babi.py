# SPDX-License-Identifier: Apache-2.0
"""The bAbI tasks with supporting facts: Table 3 of Weston et al. 2016, 1,000 training questions a task.

`python -m experiments.babi --data DIR` trains one model for each task, with one configuration for all 20, or one for
all tasks, and tests it once. Settings are chosen with `--variant en-valid`, which measures the validation questions and
never reads the test files. The last epoch counts.
"""

import contextlib
import dataclasses
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from experiments import common
from memjax.cli.pictures import save_picture
from memjax.data.babi import TASKS
from memjax.data.stories import Example
from memjax.errors import DataError
from memjax.recipes import ADAPTIVE, STRONGEST, AnsweringConfig, Babi, BabiTasks, Corpus, splits_of

#: The paper's columns, tasks 1 to 20.
PAPER = {
    "memnn": (100, 100, 20, 71, 83, 47, 68, 77, 65, 59, 100, 100, 100, 99, 74, 27, 54, 57, 0, 100),
    "am": (100, 100, 100, 69, 83, 52, 78, 90, 71, 57, 100, 100, 100, 100, 73, 100, 46, 50, 9, 100),
    "am+ng": (100, 100, 99, 100, 86, 53, 86, 88, 63, 54, 100, 100, 100, 99, 100, 100, 49, 74, 3, 100),
    "am+nl": (100, 100, 100, 73, 86, 100, 83, 94, 100, 97, 100, 100, 100, 100, 77, 100, 57, 54, 15, 100),
    "am+ng+nl": (100, 100, 100, 100, 98, 100, 85, 91, 100, 98, 100, 100, 100, 99, 100, 100, 65, 95, 36, 100),
    "am+ng+nl, one model": (100, 100, 98, 80, 99, 100, 86, 93, 100, 98, 100, 100, 100, 99, 100, 94, 72, 93, 19, 100),
}

_MEMNN = AnsweringConfig(epochs=60)
_AM = dataclasses.replace(ADAPTIVE, epochs=60)
_BEYOND = STRONGEST
_NGNL = dataclasses.replace(STRONGEST, variables=False, beam=1)
#: One model learns all tasks side by side.
JOINT = {
    "am+ng+nl, one model": dataclasses.replace(_NGNL, weight_decay=0.01, epochs=15),
    "am+ng+nl, variables, beam, one model": dataclasses.replace(_BEYOND, weight_decay=0.01, epochs=15),
}
#: One model a task.
MODELS = {
    "memnn": _MEMNN,
    "am": _AM,
    "am+ng": dataclasses.replace(_AM, ngrams=3),
    "am+nl": dataclasses.replace(_AM, form="nonlinear"),
    "am+ng+nl": _NGNL,
    "am+ng+nl, 6 epochs": dataclasses.replace(_NGNL, epochs=6),
    "am+ng+nl, variables, beam": _BEYOND,
    "am+ng+nl, variables": dataclasses.replace(_BEYOND, beam=1),
    "am+ng+nl, beam": dataclasses.replace(_NGNL, beam=8),
    "am+ng+nl, same text ignored": dataclasses.replace(_NGNL, same_text="ignored"),
    "am+ng+nl, no weight decay": dataclasses.replace(_NGNL, weight_decay=0.0),
    "am+multilinear": dataclasses.replace(_AM, form="multilinear", weight_decay=0.1),
    "am+multilinear, no weight decay": dataclasses.replace(_AM, form="multilinear"),
    "memnn, short chains without loss": dataclasses.replace(_MEMNN, short_chains="no_loss", exclude_found=True),
    "memnn, time features as printed": dataclasses.replace(_MEMNN, time="printed"),
    "am, time features as printed": dataclasses.replace(_AM, time="printed"),
    "am, no dictionary for the last support": dataclasses.replace(_AM, last_support=False),
    "am, found facts not excluded": dataclasses.replace(_AM, exclude_found=False),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """bAbI with supporting facts."""

    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""
    folder: Path = Path("runs/babi")
    """The run folder; rows that it holds already are not measured again."""
    variant: Literal["en", "en-valid", "en-10k", "en-valid-10k"] = "en"
    """en and en-10k measure the test questions, en-valid and en-valid-10k the validation questions."""
    models: tuple[str, ...] = ("memnn", "am")
    """Columns of the table; those that end in "one model" train one for all tasks, the others one for each."""
    tasks: tuple[int, ...] = tuple(TASKS)
    """Rows of the table."""
    seeds: int = 5
    """Trained side by side."""


def main(config: Config) -> None:
    """Trains and measures every model on every task."""
    common.check_names("models", config.models, MODELS | JOINT)
    kept = common.Rows(config.folder, config, {"seeds": config.seeds, "variant": config.variant})
    results: dict[tuple[str, int], list[float]] = {}
    split: Literal["valid", "test"] = "valid" if "valid" in config.variant else "test"
    for model in config.models:
        if model in JOINT:
            settings = dataclasses.replace(JOINT[model], corpus=BabiTasks(config.tasks, config.variant, config.data))
            measure = partial(common.accuracy, model, settings, config.seeds, split)
            found = kept.measure(model, settings, measure)
            results |= {(model, task): found[f"task {task}"] for task in config.tasks}
            continue
        for task in config.tasks:
            settings = dataclasses.replace(MODELS[model], corpus=Babi(task, config.variant, config.data))
            title, examples = f"{model}, task {task}", ten_thousand(settings.corpus)
            splits = None if examples is None else splits_of(examples, (), settings.ngrams, settings.variables)
            measure = partial(common.accuracy, title, settings, config.seeds, split, splits=splits)
            results[model, task] = kept.measure(f"{model} | {task}", settings, measure)["accuracy"]
    common.finish(config.folder, _table(config, results))
    _picture(config, results)


def ten_thousand(corpus: Corpus) -> tuple[Example, ...] | None:
    """Task 3 of en-10k where its training file is missing: what other files have of it, each question once."""
    if not isinstance(corpus, Babi) or (corpus.task, corpus.variant) != (3, "en-10k"):
        return None
    with contextlib.suppress(DataError):
        return corpus.examples("train")
    train = dataclasses.replace(corpus, variant="en").examples("train")
    more = dataclasses.replace(corpus, variant="en-valid-10k").examples("valid")
    return tuple(dict.fromkeys(train + more))


def _table(config: Config, results: dict[tuple[str, int], list[float]]) -> str:
    columns = [
        column for model in config.models for column in ((f"{model}: paper", "ours") if model in PAPER else (model,))
    ]
    rows = []
    for task in config.tasks:
        cells = [f"{task} {TASKS[task]}"]
        for model in config.models:
            cells += [str(PAPER[model][task - 1])] if model in PAPER else []
            cells.append(common.spread(results[model, task]))
        rows.append(cells)
    means, passed = ["mean"], ["tasks at 95 or more"]
    for model in config.models:
        scores = np.array([results[model, task] for task in config.tasks])  # [tasks, seeds]
        if model in PAPER:
            paper = np.array([PAPER[model][task - 1] for task in config.tasks])
            means.append(f"{paper.mean():.2f}")
            passed.append(str(int((paper >= 95).sum())))
        means.append(common.spread(scores.mean(axis=0)))
        passed.append(str(int((scores.mean(axis=1) >= 95).sum())))
    return common.markdown(["accuracy, %", *columns], [*rows, means, passed])


def _picture(config: Config, results: dict[tuple[str, int], list[float]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.6 * len(config.models)), layout="constrained")
    for axis, model in zip(figure.subplots(len(config.models), 1, squeeze=False)[:, 0], config.models, strict=True):
        places = np.arange(len(config.tasks))
        scores = np.array([results[model, task] for task in config.tasks])
        axis.bar(
            places,
            scores.mean(axis=1),
            yerr=common.error_bars(scores),
            color="#7aa6d1",
            label="memjax",
        )
        if model in PAPER:
            axis.plot(places, [PAPER[model][task - 1] for task in config.tasks], "k_", markersize=14, label="paper")
        axis.axhline(95, color="#999999", linewidth=0.8, linestyle=":")
        axis.set(title=model, ylabel="accuracy, %", ylim=(0, 105), xticks=places)
        axis.set_xticklabels([str(task) for task in config.tasks])
        axis.legend(loc="lower left", fontsize=8)
    save_picture(config.folder / "accuracy.png", figure)


if __name__ == "__main__":
    common.run(main, Config, __doc__)
