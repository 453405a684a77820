# SPDX-License-Identifier: Apache-2.0
"""Unseen words and exact matches: sections 3.5 and 3.6 of Weston et al. 2015, and the story of its Figure 3.

`python -m experiments.unseen` trains every row on the simulated world and asks about stories in which every actor,
object and room has a name that training never met: the story of the paper, and a test stream of that world with
new names. d was chosen on the validation stream with new names (`--split valid`); the last epoch counts.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from experiments import common
from memjax.data import Example
from memjax.data.world import DEFAULT_WORLD
from memjax.recipes import Answerer, AnsweringConfig, Simulation, progress, train

#: The story of Figure 3, and what is asked about it.
STORY = (
    "Bilbo travelled to the cave.",
    "Gollum dropped the ring there.",
    "Bilbo took the ring.",
    "Bilbo went back to the Shire.",
    "Bilbo left the ring there.",
    "Frodo got the ring.",
    "Frodo journeyed to Mount-Doom.",
    "Frodo dropped the ring there.",
    "Sauron died.",
    "Frodo went back to the Shire.",
    "Bilbo travelled to the Grey-havens.",
    "The End.",
)
QUESTIONS = {
    "Where is the ring?": "mount-doom",
    "Where is Bilbo now?": "grey-havens",
    "Where is Frodo now?": "shire",
}
#: Statements of a story with new names: few, so that names differ in what stands around them.
_WINDOW = 12

_PLAIN = AnsweringConfig(corpus=Simulation(bare_rooms=True), epochs=20)
ROWS = {
    "neither": _PLAIN,
    "exact match, lambda": dataclasses.replace(_PLAIN, exact_match="lambda"),
    "exact match, features": dataclasses.replace(_PLAIN, exact_match="features"),
    "context bags": dataclasses.replace(_PLAIN, unseen=0.6),
    "context bags, lambda": dataclasses.replace(_PLAIN, unseen=0.6, exact_match="lambda"),
    "context bags, features": dataclasses.replace(_PLAIN, unseen=0.6, exact_match="features"),
    "context bags, features, d = 0.1": dataclasses.replace(_PLAIN, unseen=0.1, exact_match="features"),
    "context bags, features, d = 0.3": dataclasses.replace(_PLAIN, unseen=0.3, exact_match="features"),
    "context bags, features, d = 0.9": dataclasses.replace(_PLAIN, unseen=0.9, exact_match="features"),
    "context bags, features, rooms always with an article": dataclasses.replace(
        _PLAIN, unseen=0.6, exact_match="features", corpus=Simulation()
    ),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Unseen words."""

    folder: Path = Path("runs/unseen_table")
    """The run folder; rows that it holds already are not measured again."""
    split: Literal["valid", "test"] = "test"
    """Which stream has its names replaced by new ones."""
    seeds: int = 5
    """Trained side by side."""
    questions: int = 200
    """Asked about the stream with new names."""
    rows: tuple[str, ...] = tuple(ROWS)[:6]
    """Which rows; those with another d, and with articles before all rooms, only where they are asked for."""


def main(config: Config) -> None:
    """Trains and asks every row."""
    common.check_names("rows", config.rows, ROWS)
    shared = {"seeds": config.seeds, "split": config.split, "questions": config.questions}
    kept = common.Rows(config.folder, config, shared)
    table = []
    for row in config.rows:
        result = kept.measure(row, ROWS[row], partial(_measure, row, config))
        right = " ".join(str(number) for number in result["story"])
        known, renamed = (common.spread(result[column]) for column in ("known", "renamed"))
        table.append([row, right, renamed, known])
    columns = ["", "the story: right of 3, each seed", f"new names, {config.split}, %", "known names, %"]
    common.finish(config.folder, common.markdown(columns, table))


def renamed(example: Example) -> Example:
    """The same example with a new name for each actor, object and room of the simulated world."""
    world = DEFAULT_WORLD
    names = {name.lower(): f"name{i}" for i, name in enumerate((*world.actors, *world.objects, *world.rooms))}

    def rename(text: str) -> str:
        return " ".join(names.get(word.lower(), word) for word in text.split())

    return dataclasses.replace(
        example,
        statements=tuple(rename(text) for text in example.statements),
        question=rename(example.question),
        answers=tuple(rename(text) for text in example.answers),
    )


def _measure(row: str, config: Config) -> dict[str, Any]:
    with progress(row) as report:
        trained = train(ROWS[row], seeds=tuple(range(config.seeds)), report=report)
    corpus = cast(Simulation, ROWS[row].corpus)
    world = dataclasses.replace(corpus, window=_WINDOW, num_questions=config.questions)
    stream = [renamed(example) for example in cast("tuple[Example, ...]", world.examples(config.split))]
    story, shares = [], []
    for seed in range(config.seeds):
        answerer = Answerer(trained, seed_index=seed)
        asked = [_answer(answerer, STORY, question) for question in QUESTIONS]
        story.append(sum(answer == right for answer, right in zip(asked, QUESTIONS.values(), strict=True)))
        right = [_answer(answerer, e.statements, e.question) == e.answers[0] for e in stream]
        shares.append(100 * sum(right) / len(right))
    known = trained.evaluate(ROWS[row].corpus.examples(config.split))["accuracy"]
    return {"story": story, "renamed": shares, "known": known}


def _answer(answerer: Answerer, statements: tuple[str, ...], question: str) -> str:
    answerer.forget()
    for statement in statements:
        answerer.tell(statement)
    return answerer.ask(question).answer


if __name__ == "__main__":
    common.run(main, Config, __doc__)
