# SPDX-License-Identifier: Apache-2.0
"""`memjax ask` for a run over dialogs: a conversation with a bot."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from memjax.cli.ask import at_terminal, piped, prompt, read_story, say
from memjax.data.dialog import ApiCall, is_fact
from memjax.errors import DataError
from memjax.recipes import Bot, BotReply, find_restaurants, load_dialogs

HELP = """Say something; an empty line lets the bot go on (<SILENCE>). A fact is told: resto_rome R_price cheap.
/forget: a new dialog. Ctrl-D: leave."""

#: Utterances behind a response that are shown, and the least share of one.
MAX_READ, LEAST_SHARE = 3, 0.05


def show_action(action: ApiCall) -> str:
    """The line that shows a question to the knowledge base."""
    asked = {"cuisine": action.cuisine, "place": action.place, "people": action.people, "price": action.price}
    known = [f"{name}={'any' if word.startswith('R_') else word}" for name, word in asked.items() if word]
    return f"  => api_call({', '.join(known)})"


def show(reply: BotReply) -> Iterator[str]:
    """The lines that show a response, or an action and what came of it, and the utterances behind."""
    yield f"  -> {reply.response}" if reply.action is None else show_action(reply.action)
    for i, said in enumerate(reply.read[:MAX_READ], start=1):
        if i == 1 or said.weight >= LEAST_SHARE:
            yield f"     {i}. {said.speaker}: {said.text}   (read {100 * said.weight:.0f} %)"
    if reply.facts:
        names = list(dict.fromkeys(fact.split()[0] for fact in reply.facts if not fact.startswith("api_call")))
        yield f"     the knowledge base tells of {', '.join(names) or 'none'}"
    if reply.unknown:
        yield f"     I do not know: {', '.join(reply.unknown)}"


def converse(bot: Bot, lines: Iterable[str]) -> Iterator[str]:
    """Answers one utterance after another.

    Args:
        bot: holds the memory.
        lines: what the user says; an empty line is `<SILENCE>`. A fact, as "resto_rome R_price cheap", is told.

    Yields:
        What there is to print.
    """
    for line in lines:
        if line.strip() == "/forget":
            bot.forget()
            yield "  (forgotten)"
            continue
        if is_fact(line):
            bot.tell(line)
            yield "  (told)"
            continue
        try:
            reply = bot.say(line)
        except ValueError as error:
            yield f"  ({error})"
            continue
        yield from show(reply)


def talk(folder: Path, story: Path | None, num_slots: int | None, data: str | None) -> None:
    """Reads a story, if there is one, then talks at the terminal or reads standard input."""
    lines = [] if story is None else read_story(story)
    trained = load_dialogs(folder)
    restaurants = find_restaurants(trained, data) if data else None
    if data is None and os.environ.get("MEMJAX_DATA"):
        try:
            restaurants = find_restaurants(trained, os.environ["MEMJAX_DATA"])
        except DataError as error:
            print(f"without a knowledge base: {error}", file=sys.stderr)
    bot = Bot(trained, restaurants, **({} if num_slots is None else {"num_slots": num_slots}))
    for line in lines:
        print(line)
        say(converse(bot, [line]))
    interactive = at_terminal()
    if interactive:
        print(HELP)
    if interactive or story is None:
        say(converse(bot, prompt(empty_ends=False) if interactive else piped()))
