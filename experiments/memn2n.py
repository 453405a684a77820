# SPDX-License-Identifier: Apache-2.0
"""The bAbI tasks from answers alone: Tables 1 and 3 of Sukhbaatar et al. 2015, 1,000 and 10,000 questions a task.

`python -m experiments.memn2n --data DIR` trains ten restarts of each task side by side, or of one model for all tasks,
and tests them once. The restart with the fewest errors on training questions counts, as in the paper, or on validation
questions where the recipe says so; the mean and the deviation of all stand beside it. Supporting facts are not read.
Of several models, the one that is better on validation questions is shown for each task too. Each task is trained in a
run folder of its own, from which it goes on after a stop.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments import common
from experiments.babi import ten_thousand
from memjax.data.babi import TASKS
from memjax.recipes import END_TO_END_RECIPES, Babi, BabiTasks, EndToEndConfig, load_test, progress, train_end_to_end
from memjax.training.files import read_json


def _errors(row: str) -> tuple[float, ...]:
    return tuple(map(float, row.split()))


#: Test error by task, 1 to 20, in the paper's Table 1 (1k) and Table 3 (10k).
PAPER = {
    "en": {
        "bow": _errors("0.6 17.6 71.0 32.0 18.3 8.7 23.5 11.4 21.1 22.8 4.1 0.3 10.5 1.3 24.3 52.0 45.4 48.1 89.7 0.1"),
        "pe": _errors("0.1 21.6 64.2 3.8 14.1 7.9 21.6 12.6 23.3 17.4 4.3 0.3 9.9 1.8 0.0 52.1 50.1 13.6 87.4 0.0"),
        "pe ls": _errors("0.2 12.8 58.8 11.6 15.7 8.7 20.3 12.7 17.0 18.6 0.0 0.1 0.3 2.0 0.0 1.6 49.0 10.1 85.6 0.0"),
        "pe ls rn": _errors("0.0 8.3 40.3 2.8 13.1 7.6 17.3 10.0 13.2 15.1 0.9 0.2 0.4 1.7 0.0 1.3 51.0 11.1 82.8 0.0"),
        "pe ls rn, one model": _errors(
            "0.0 11.4 21.9 13.4 14.4 2.8 18.3 9.3 1.9 6.5 0.3 0.1 0.2 6.9 0.0 2.7 40.4 9.4 88.0 0.0"
        ),
        "pe ls lw, one model": _errors(
            "0.1 18.8 31.7 17.5 12.9 2.0 10.1 6.1 1.5 2.6 3.3 0.0 0.5 2.0 1.8 51.0 42.6 9.2 90.6 0.2"
        ),
    },
    "en-10k": {
        "bow": _errors("0.0 0.6 17.8 31.8 14.2 0.1 10.7 1.4 1.8 1.9 0.0 0.0 0.0 0.0 12.5 50.9 47.4 41.3 75.4 0.0"),
        "pe": _errors("0.0 0.4 12.6 0.0 0.8 0.2 5.7 2.4 1.3 1.7 0.0 0.0 0.1 0.2 0.0 48.6 40.3 7.4 66.6 0.0"),
        "pe ls": _errors("0.0 0.5 15.0 0.0 0.6 0.1 3.2 2.2 2.0 3.3 0.0 0.0 0.0 0.0 0.0 0.1 41.1 8.6 66.7 0.0"),
        "pe ls rn": _errors("0.0 0.3 9.3 0.0 0.8 0.0 3.7 0.8 0.8 2.4 0.0 0.0 0.0 0.0 0.0 0.4 40.7 6.7 66.5 0.0"),
        "pe rn lw, relu": _errors(  # with a linear start, and gradient descent
            "0.0 0.3 2.1 0.0 0.8 0.1 2.0 0.9 0.3 0.0 0.1 0.0 0.0 0.1 0.0 51.8 18.6 5.3 2.3 0.0"
        ),
    },
}

#: The linear start is that of the paper's code, 20 epochs; all else is the paper's.
_PE_LS_RN = dataclasses.replace(END_TO_END_RECIPES["default"], linear_start="epochs")
_PE = dataclasses.replace(_PE_LS_RN, noise=0.0, linear_start="none", learning_rate=0.01)
_JOINT = END_TO_END_RECIPES["joint"]
MODELS: dict[str, EndToEndConfig] = {
    "bow": dataclasses.replace(_PE, position="none"),
    "pe": _PE,
    "pe ls": dataclasses.replace(_PE_LS_RN, noise=0.0),
    "pe ls rn": _PE_LS_RN,
    "pe ls rn, linear until validation stops falling": END_TO_END_RECIPES["default"],
    "pe ls rn, no null sentences": dataclasses.replace(_PE_LS_RN, nil="none"),
    "pe ls rn, as released": END_TO_END_RECIPES["released"],
    "pe rn lw, relu": END_TO_END_RECIPES["layerwise"],
    "pe ls rn, relu": END_TO_END_RECIPES["adjacent"],
}
#: One model learns all tasks side by side.
JOINT = {
    "pe ls rn, one model": _JOINT,
    "pe ls lw, one model": dataclasses.replace(_JOINT, noise=0.0, tying="layerwise"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """bAbI from answers alone."""

    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""
    folder: Path = Path("runs/memn2n")
    """The run folder; rows that it holds already are not measured again."""
    variant: Literal["en", "en-valid", "en-10k", "en-valid-10k"] = "en"
    """en and en-10k measure the test questions, en-valid and en-valid-10k the validation questions."""
    models: tuple[str, ...] = ("pe ls rn",)
    """Columns of the table; those that end in "one model" train one for all tasks, the others one for each."""
    tasks: tuple[int, ...] = tuple(TASKS)
    """Rows of the table."""
    restarts: int = 10
    """Initial weights that are tried side by side."""


def main(config: Config) -> None:
    """Trains and measures every model on every task."""
    common.check_names("models", config.models, MODELS | JOINT)
    kept = common.Rows(config.folder, config, {"restarts": config.restarts, "variant": config.variant})
    results: dict[tuple[str, int], dict[str, Any]] = {}
    for model in config.models:
        settings = dataclasses.replace((MODELS | JOINT)[model], restarts=config.restarts)
        if model in JOINT:
            settings = dataclasses.replace(settings, corpus=BabiTasks(config.tasks, config.variant, config.data))
            found = kept.measure(model, settings, partial(_measure, config, model, settings))
            for task in config.tasks:
                results[model, task] = {"accuracy": found[f"task {task}"], "chosen": found["chosen"]}
            continue
        for task in config.tasks:
            one = dataclasses.replace(settings, corpus=Babi(task, config.variant, config.data))
            name = f"{model} | {task}"
            results[model, task] = kept.measure(name, one, partial(_measure, config, f"{model}, task {task}", one))
    common.finish(config.folder, _table(config, results))


def _measure(config: Config, title: str, settings: EndToEndConfig) -> dict[str, Any]:
    run = common.run_folder(config.folder, title)
    with progress(title) as report:
        trained = train_end_to_end(
            settings, examples=ten_thousand(settings.corpus), folder=run, resume=common.is_begun(run), report=report
        )
    examples = settings.corpus.examples("valid") if "valid" in config.variant else load_test(settings.corpus)
    valid = read_json(run / "results.json")["valid"]["accuracy"]
    return {**trained.evaluate(examples), "chosen": trained.chosen, "valid": valid}


def _table(config: Config, results: dict[tuple[str, int], dict[str, Any]]) -> str:
    paper = PAPER.get(config.variant, {})
    columns, rows = [], []
    for model in config.models:
        columns += [f"{model}: paper"] if model in paper else []
        columns += [f"{model}: best of {config.restarts}", "mean"]
    several = len(config.models) > 1 and all("valid" in found for found in results.values())
    columns += ["the model that is better on validation"] if several else []
    better = []
    for task in config.tasks:
        cells = [f"{task} {TASKS[task]}"]
        for model in config.models:
            cells += [f"{paper[model][task - 1]:.1f}"] if model in paper else []
            errors = 100 - np.array(results[model, task]["accuracy"])
            cells += [f"{errors[results[model, task]['chosen']]:.1f}", common.spread(errors)]
        if several:
            found = max((results[model, task] for model in config.models), key=lambda one: one["valid"][one["chosen"]])
            better.append(100 - found["accuracy"][found["chosen"]])
            cells.append(f"{better[-1]:.1f}")
        rows.append(cells)
    means, failed = ["mean"], ["tasks above 5"]
    for model in config.models:
        if model in paper:
            numbers = np.array([paper[model][task - 1] for task in config.tasks])
            means.append(f"{numbers.mean():.1f}")
            failed.append(str(int((numbers > 5).sum())))
        errors = 100 - np.array([results[model, task]["accuracy"] for task in config.tasks])  # [tasks, restarts]
        best = np.array([row[results[model, task]["chosen"]] for row, task in zip(errors, config.tasks, strict=True)])
        means += [f"{best.mean():.1f}", common.spread(errors.mean(axis=0))]
        failed += [str(int((best > 5).sum())), str(int((errors.mean(axis=1) > 5).sum()))]
    if several:
        means.append(f"{np.mean(better):.1f}")
        failed.append(str(sum(error > 5 for error in better)))
    split = "valid" if "valid" in config.variant else "test"
    return common.markdown([f"{split} error, %", *columns], [*rows, means, failed])


if __name__ == "__main__":
    common.run(main, Config, __doc__)
