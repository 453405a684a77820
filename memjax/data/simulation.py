# SPDX-License-Identifier: Apache-2.0
"""Stories of the simulated world: who goes where, takes and drops what, told in sentences; and questions about it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from memjax import _checks
from memjax.data.stories import Example
from memjax.data.streams import CONNECTIVES, Stream, StreamQuestion, join
from memjax.data.world import DEFAULT_WORLD, Action, World, WorldState

SPLITS = ("train", "valid", "test")

_VERBS = {
    "go": ("went to", "went back to", "moved to", "travelled to", "journeyed to"),
    "get": ("picked up", "got", "grabbed", "took"),
    "put": ("put", "placed"),
    "give": ("gave", "handed", "passed"),
    "drop": ("dropped", "left", "discarded", "put down"),
    "look": ("looked around",),
    "inventory": ("checked the inventory",),
    "examine": ("examined", "looked at"),
}
_RESPONSES = (
    "{subject} {be} in the {place}",
    "{subject} {be} in the {place} I believe",
    "I believe {subject} {be} in the {place}",
    "in the {place}",
)
_Found = tuple[str, tuple[int, ...]]  # An answer, and the indices of the actions that tell it in hop order.
_T = TypeVar("_T")


class _Dice:
    """Random choices from the raw bits of PCG64, a stream that NumPy promises to keep; its `choice` may change."""

    def __init__(self, *entropy: int):
        self._bits = np.random.PCG64(np.random.SeedSequence(entropy))
        self._raw: list[int] = []

    def below(self, n: int) -> int:
        """Returns an integer in [0, n); the bias is below n / 2**64."""
        if not self._raw:
            self._raw = self._bits.random_raw(4096).tolist()
        return (self._raw.pop() * n) >> 64

    def choice(self, items: Sequence[_T]) -> _T:
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[_T]) -> list[_T]:
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in items]


def _latest(told: Sequence[Action], below: int, match: Callable[[Action], bool]) -> int | None:
    return next((i for i in range(below - 1, -1, -1) if match(told[i])), None)


def _actor_found(told: Sequence[Action], below: int, actor: str) -> _Found | None:
    """Where an actor was, as the first `below` actions tell it."""
    i = _latest(told, below, lambda action: action.command == "go" and action.actor == actor)
    return None if i is None else (told[i].target, (i,))


def _before_found(told: Sequence[Action], actor: str, room: str) -> _Found | None:
    """Where an actor was before going to a room for the latest time."""
    i = _latest(told, len(told), lambda action: action.target == room and action.actor == actor)
    return None if i is None else _after(i, _actor_found(told, i, actor))


def _object_found(told: Sequence[Action], name: str) -> _Found | None:
    """Where an object is: its latest move, then where the one who has it is, or where the one who dropped it was."""
    i = _latest(told, len(told), lambda action: action.target == name and action.command != "examine")
    if i is None:
        return None
    action = told[i]
    if action.command == "put":
        return _after(i, _object_found(told, action.other))
    if action.command == "drop":
        return _after(i, _actor_found(told, i, action.actor))
    return _after(i, _actor_found(told, len(told), action.other if action.command == "give" else action.actor))


def _after(first: int, found: _Found | None) -> _Found | None:
    return None if found is None else (found[0], (first, *found[1]))


def _statement(action: Action, dice: _Dice, bare_rooms: bool) -> str:
    """Tells an action: a random verb, articles or not before names, "there" or not after taking and dropping."""
    words = [action.actor, dice.choice(_VERBS[action.command])]
    if action.command == "go":
        words.append(_object(action.target, dice) if bare_rooms else f"the {action.target}")
    elif action.target:
        words.append(_object(action.target, dice))
    if action.command == "give":
        words += ["to", action.other]
    elif action.other:
        words += [action.preposition or "from", _object(action.other, dice)]
    elif action.command in ("get", "drop") and dice.below(2):
        words.append("there")
    return " ".join(words)


def _object(name: str, dice: _Dice) -> str:
    return dice.choice(("the ", "")) + name


def _ask(
    world: World, told: Sequence[Action], dice: _Dice, difficulty: int, before: bool
) -> tuple[str, str, _Found] | None:
    """Returns question, response and answer about a random recent sentence; None if none of them tells enough."""
    for back in dice.shuffled(range(min(difficulty, len(told)))):
        action = told[-1 - back]
        if action.target in world.objects:
            name, pronoun, found = _object(action.target, dice), "it", _object_found(told, action.target)
        else:
            name, pronoun = action.actor, "she" if action.actor in world.she else "he"
            asked = world.rooms if before and dice.below(2) else ()
            rooms = [(room, found) for room in asked if (found := _before_found(told, name, room))]
            if rooms:
                room, found = dice.choice(rooms)
                return _worded(dice, name, pronoun, "was", f" before the {room}", found)
            found = _actor_found(told, len(told), name)
        if found is not None:
            return _worded(dice, name, pronoun, "is", dice.choice(("", " now")), found)
    return None


def _worded(dice: _Dice, name: str, pronoun: str, be: str, when: str, found: _Found) -> tuple[str, str, _Found]:
    response = dice.choice(_RESPONSES).format(subject=dice.choice((name, pronoun)), be=be, place=found[0])
    return f"Where {be} {name}{when} ?", response[0].upper() + response[1:], found


def _tell(
    seed: int,
    split: str,
    *,
    num_statements: int = 7000,
    num_questions: int = 3000,
    difficulty: int = 1,
    objects: bool = True,
    before: bool = False,
    window: int = 128,
    bare_rooms: bool = False,
    world: World = DEFAULT_WORLD,
) -> tuple[list[str], list[tuple[int, Example]]]:
    """Tells all statements of a stream, and each question with the index of the statement that it comes after."""
    given = ("seed", seed, 0), ("num_statements", num_statements, 1), ("num_questions", num_questions, 1)
    for name, value, low in (*given, ("difficulty", difficulty, 1), ("window", window, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"{name}: expected an integer of at least {low}, got {value!r}")
    _checks.one_of("split", split, SPLITS)
    dice = _Dice(seed, SPLITS.index(split))
    world = world if objects else dataclasses.replace(world, actions=("go",))
    state = WorldState(world, {name: dice.choice(world.rooms) for name in (*world.actors, *world.objects)})
    actions: list[Action] = []
    for _ in range(num_statements):
        choices = state.valid(dice.choice(world.actors))
        # The command first, then its target: long stays in a room, so that supports can be far back.
        command = dice.choice(list(dict.fromkeys(action.command for action in choices)))
        actions.append(dice.choice([action for action in choices if action.command == command]))
        state.apply(actions[-1])
    texts = [_statement(action, dice, bare_rooms) for action in actions]
    examples: list[tuple[int, Example]] = []
    while len(examples) < num_questions:
        asked = len(examples)
        for now in dice.shuffled(range(num_statements)):  # A second round only for more questions than statements.
            seen = slice(max(0, now + 1 - window), now + 1)
            question = _ask(world, actions[seen], dice, difficulty, before)
            if question is not None:
                text, response, (answer, supports) = question
                examples.append((now, Example(tuple(texts[seen]), text, (answer,), supports, response)))
                if len(examples) == num_questions:
                    break
        if len(examples) == asked:
            raise ValueError(
                f"num_statements, window: expected enough to answer a question, got {num_statements} and {window}; "
                "raise them"
            )
    return texts, sorted(examples, key=lambda pair: pair[0])


def generate(
    seed: int,
    split: str,
    *,
    num_statements: int = 7000,
    num_questions: int = 3000,
    difficulty: int = 1,
    objects: bool = True,
    before: bool = False,
    window: int = 128,
    bare_rooms: bool = False,
    world: World = DEFAULT_WORLD,
) -> list[Example]:
    """Makes a stream of statements about random valid actions, and questions at random places in it.

    At each time step a random actor takes a random command that is possible, with random target. A question is about
    the actor or the object of a random sentence 1 to `difficulty` steps back: where is an actor, where was an actor
    before a room (any room with a time before it that is told), where is an object. All are answered by the visible
    statements alone: where no recent sentence allows it, the question is asked at another time.

    Supports are, in order: the actor's latest "go"; or the latest "go" to that room and the one before it; or the
    object's latest move and the "go" that tells where (of the holder now, or of the one who dropped it, before that).

    Args:
        seed: integer of at least 0.
        split: "train", "valid" or "test": streams of their own.
        num_statements: time steps of the stream.
        num_questions: examples to return.
        difficulty: 1 and 5 in the paper.
        objects: False leaves the command "go" only (the paper's "actor"), True all of `world.actions`.
        before: ask "where was <actor> before <room>" for about half of the sentences that mention only an actor.
        window: the number of statements that a question sees, the latest.
        bare_rooms: whether rooms go without an article at random, as objects do; with one always otherwise.
        world: who and what there is.

    Returns:
        Examples in the order of the stream. `answers` is one room, `response` a sentence from a small grammar. The
        same arguments give the same examples on every machine and with every version of Python and NumPy.

    Raises:
        ValueError: if an argument is out of range, or no question can be answered.

    Example:
        >>> example = generate(0, "train", num_statements=20, num_questions=5, difficulty=5)[-1]
        >>> example.question, example.answers, [example.statements[i] for i in example.supports]
        ('Where is Dan ?', ('bedroom',), ['Dan went to the bedroom'])

    Reference: Weston et al. 2015, section 5.2 and Appendix A.
    Departs from the paper: a question sees the last `window` statements instead of the whole stream (the paper's
    supports are up to 65 steps back); every question is one that what it sees answers, where the paper takes answers
    from the state of the world; the law of the random actions and the words of the responses, which it does not print.
    """
    _, asked = _tell(
        seed,
        split,
        num_statements=num_statements,
        num_questions=num_questions,
        difficulty=difficulty,
        objects=objects,
        before=before,
        window=window,
        bare_rooms=bare_rooms,
        world=world,
    )
    return [example for _, example in asked]


def generate_stream(seed: int, split: str, **settings: Any) -> Stream:
    """Makes the same world as `generate`, told as one stream of words: statements are joined at random.

    Args:
        seed: as of `generate`.
        split: likewise.
        **settings: the other arguments of `generate`.

    Returns:
        The words without marks, with the statements and the questions of `generate` for the same arguments.

    Raises:
        ValueError: as `generate`.

    Example:
        >>> stream = generate_stream(0, "train", num_statements=3, num_questions=1, objects=False)
        >>> " ".join(stream.words)
        'joe journeyed to the bathroom later fred went back to the bedroom bill went to the office'
        >>> stream.ends
        (5, 12, 17)
        >>> stream.questions[0].question, stream.questions[0].told, stream.questions[0].supports
        ('Where is Bill now ?', 3, (2,))

    Reference: Weston et al. 2015, section 3.2 and Appendix A.
    Departs from the paper: as `generate`; the marks among the connectives are dropped, so that "." and ";" leave
    nothing.
    """
    texts, asked = _tell(seed, split, **settings)
    dice = _Dice(seed, SPLITS.index(split), 1)
    questions = []
    for now, example in asked:
        first = now + 1 - len(example.statements)
        supports = tuple(first + support for support in example.supports)
        questions.append(StreamQuestion(now + 1, example.question, example.answers, supports, example.response))
    window = settings.get("window", 128)
    return join(texts, [dice.choice(CONNECTIVES) for _ in texts[1:]], questions, window)
