# SPDX-License-Identifier: Apache-2.0
"""`memjax demo`: what a Memory Network is good for, in a minute or two."""

import dataclasses
import shlex
import sys
import time
from pathlib import Path

from memjax import plots
from memjax.cli.ask import show
from memjax.cli.pictures import save_picture
from memjax.errors import RunError
from memjax.recipes import Answerer, AnsweringConfig, Simulation, load_splits, load_test, progress, train
from memjax.recipes.runs import open_run
from memjax.training.files import write_text

#: The story of the paper's figure 1, in the words of the simulated world.
STORY = (
    "Joe went to the kitchen.",
    "Fred went to the kitchen.",
    "Joe picked up the milk.",
    "Joe travelled to the office.",
    "Joe left the milk there.",
    "Joe went to the bathroom.",
)
QUESTIONS = ("Where is the milk now?", "Where is Joe?", "Where was Joe before the office?")

_CORPUS = Simulation(difficulty=5, objects=True, before=True)
_BASE = AnsweringConfig(corpus=_CORPUS, epochs=20)
MODELS = {
    "k = 1": dataclasses.replace(_BASE, hops=1, time="none"),
    "k = 1 + time": dataclasses.replace(_BASE, hops=1),
    "k = 2 + time": _BASE,
}


def demo(folder: Path) -> None:
    """Trains three models, prints what each can do, tells the best one a story and asks about it.

    Args:
        folder: where the run of the best model and the pictures go; replaced if it is there.
    """
    from rich.console import Console
    from rich.table import Table

    if folder.exists() and any(folder.iterdir()) and not (folder / "config.json").is_file():
        raise RunError(f"{folder}: expected a run folder or none, found no config.json in it; name another --folder")
    if (folder / "config.json").is_file() and open_run(folder).config != _BASE:
        raise RunError(f"{folder}: expected an earlier demo or no folder, found another run; name another --folder")
    console = Console()
    start = time.monotonic()
    console.print("A simulated world: people walk, take things and drop them. 7,000 statements, 3,000 questions;")
    console.print("each question sees the last 128 statements. A Memory Network learns which of them answer it.\n")
    splits, test = load_splits(_CORPUS), load_test(_CORPUS)
    table = Table(title="Questions answered right, on 3,000 new ones")
    for column in ("model", "answers, %", "supporting facts, %"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, config in MODELS.items():
        best = config is _BASE
        with progress(f"training {name}") as report:
            trained = train(config, splits=splits, folder=folder if best else None, overwrite=True, report=report)
        results = trained.evaluate(test)
        table.add_row(name, f"{results['accuracy'][0]:.1f}", f"{results['supports'][0]:.1f}")
    console.print(table)
    console.print("A time feature tells new facts from old ones; a second hop finds the fact behind the fact.\n")

    write_text(folder / "story.txt", "\n".join([*STORY, QUESTIONS[0]]) + "\n")
    answerer = Answerer(trained)
    for statement in STORY:
        answerer.tell(statement)
        console.print(statement)
    for number, question in enumerate(QUESTIONS, start=1):
        reply = answerer.ask(question)
        console.print(f"[bold]{question}[/bold]")
        for line in show(reply):
            console.print(line, highlight=False)
        save_picture(folder / f"question_{number}.png", plots.hop_scores(question, reply))
    print(f"\nThe scores of each hop are drawn in {folder}/question_1.png to question_{len(QUESTIONS)}.png.")
    command = f"{shlex.quote(sys.argv[0])} ask {shlex.quote(str(folder))}"
    print(f"Talk to this model: {command}   ({time.monotonic() - start:.0f} s)")
