# SPDX-License-Identifier: Apache-2.0
"""The dialog bAbI tasks: reader of dialogs, of the responses to choose from and of the restaurants.

A line of a dialog is `ID utterance<TAB>response`, or `ID subject relation object`, a fact that the knowledge base gave;
ids restart at 1 with each dialog. Any file that reads otherwise is a `DataError` that names the file and the line.
"""

import dataclasses
import os
from collections.abc import Collection, Iterable, Iterator

from memjax import _checks
from memjax.data._lines import find, read_texts, short
from memjax.data.metaqa import Triple
from memjax.errors import DataError

#: Short names of the tasks.
TASKS: dict[int, str] = {
    1: "API-calls",
    2: "API-refine",
    3: "options",
    4: "phone-address",
    5: "full-dialogs",
    6: "dstc2",
}
#: Task 6 has no "tst-OOV".
SPLITS = ("trn", "dev", "tst", "tst-OOV")
#: Who speaks: the user, the bot, or the knowledge base, whose facts are told between the two.
USER, BOT, FACT = "user", "bot", "fact"
#: What a user says that lets the bot speak again.
SILENCE = "<SILENCE>"
#: What a knowledge base gives that has nothing.
NO_RESULT = "api_call no result"

#: The order in which dialogs of tasks 3 to 5 tell what is known of a restaurant; others come last.
_TOLD = ("R_phone", "R_cuisine", "R_address", "R_location", "R_number", "R_price", "R_rating")
_FOLDERS = ("dialog-bAbI-tasks",)
_CALL = "api_call"
_RELATION = "R_"


@dataclasses.dataclass(frozen=True)
class ApiCall:
    """What a bot does instead of talking: a question to the knowledge base of restaurants.

    Args:
        cuisine: a word, as all others; `R_cuisine` and the like for any.
        place: likewise.
        people: likewise; empty where the task has none (task 6).
        price: likewise.

    Example:
        >>> ApiCall.parse("api_call italian rome six cheap")
        ApiCall(cuisine='italian', place='rome', people='six', price='cheap')
    """

    cuisine: str
    place: str
    people: str
    price: str

    @classmethod
    def parse(cls, response: str) -> "ApiCall | None":
        """The action that a response is; None for one that is said.

        Raises:
            ValueError: if it begins as an action, and has other than three or four words behind.

        Example:
            >>> ApiCall.parse("api_call R_cuisine west moderate").people
            ''
            >>> ApiCall.parse("hello what can i help you with today")
        """
        name, *words = response.split() or [""]
        if name != _CALL:
            return None
        if len(words) not in (3, 4):
            raise ValueError(f"response: expected api_call cuisine place [people] price, got {short(response)}")
        return cls(words[0], words[1], words[2] if len(words) == 4 else "", words[-1])

    def __str__(self) -> str:
        """The response."""
        return " ".join(filter(None, (_CALL, self.cuisine, self.place, self.people, self.price)))

    def matches(self, facts: dict[str, str]) -> bool:
        """Whether a restaurant, known by relation and object, is asked for; `R_...` asks for any."""
        asked = ("R_cuisine", self.cuisine), ("R_location", self.place), ("R_number", self.people)
        return all(
            not word or word.startswith(_RELATION) or facts.get(relation) == word
            for relation, word in (*asked, ("R_price", self.price))
        )


@dataclasses.dataclass(frozen=True)
class Dialog:
    """What was said, in order.

    Args:
        speakers: `USER`, `BOT` or `FACT`; a user's utterance is followed by the bot's response.
        utterances: what each said.

    Raises:
        ValueError: if there are not as many of both, a speaker is none of these, or a bot speaks that no user spoke to.

    Example:
        >>> dialog = Dialog(("user", "bot"), ("hi", "hello what can i help you with today"))
        >>> dialog.responses
        (1,)
    """

    speakers: tuple[str, ...]
    utterances: tuple[str, ...]

    def __post_init__(self) -> None:
        """Checks who speaks when."""
        if len(self.speakers) != len(self.utterances):
            raise ValueError(
                f"utterances: expected {len(self.speakers)}, one for each speaker, got {len(self.utterances)}"
            )
        for i, speaker in enumerate(self.speakers):
            _checks.one_of(f"speakers[{i}]", speaker, (USER, BOT, FACT))
            if speaker == BOT and (i == 0 or self.speakers[i - 1] != USER):
                raise ValueError(f"speakers[{i}]: expected a user before the bot, whose response it is, got {BOT!r}")

    @property
    def responses(self) -> tuple[int, ...]:
        """Where the bot speaks."""
        return tuple(i for i, speaker in enumerate(self.speakers) if speaker == BOT)

    def __len__(self) -> int:
        """The number of utterances."""
        return len(self.utterances)


@dataclasses.dataclass(frozen=True, eq=False)
class Restaurants:
    """A knowledge base: what is known of each restaurant.

    Args:
        facts: relation to object, by restaurant.

    Example:
        >>> known = Restaurants.of([("resto_rome", "R_cuisine", "thai"), ("resto_rome", "R_location", "rome")])
        >>> known.find(ApiCall("thai", "rome", "", "R_price"))
        [('resto_rome', 'R_cuisine', 'thai'), ('resto_rome', 'R_location', 'rome')]
        >>> known.types()
        {'thai': 'R_cuisine', 'rome': 'R_location'}
    """

    facts: dict[str, dict[str, str]]

    @classmethod
    def of(cls, triples: Iterable[Triple]) -> "Restaurants":
        """The knowledge base of triples; of two objects of one relation the first one counts."""
        facts: dict[str, dict[str, str]] = {}
        for subject, relation, value in triples:
            facts.setdefault(subject, {}).setdefault(relation, value)
        return cls(facts)

    def about(self, name: str) -> list[Triple]:
        """All that is known of a restaurant, in the order of tasks 3 to 5; nothing of one that is not there."""
        facts = self.facts.get(name, {}).items()
        told = sorted(facts, key=lambda fact: _TOLD.index(fact[0]) if fact[0] in _TOLD else len(_TOLD))
        return [(name, relation, value) for relation, value in told]

    def find(self, call: ApiCall) -> list[Triple]:
        """All that is known of each restaurant that is asked for; see `about`."""
        names = [name for name, facts in self.facts.items() if call.matches(facts)]
        return [fact for name in names for fact in self.about(name)]

    def types(self) -> dict[str, str]:
        """The relation of each object, the entity's type; the first one that it was told with."""
        types: dict[str, str] = {}
        for facts in self.facts.values():
            for relation, value in facts.items():
                types.setdefault(value, relation)
        return types


def is_fact(text: str) -> bool:
    """Whether a text tells a fact of a restaurant: its name, a relation and an object.

    Example:
        >>> is_fact("resto_rome R_price cheap"), is_fact("a cheap one")
        (True, False)
    """
    words = text.split()
    return len(words) == 3 and words[1].startswith(_RELATION)


def read(path: str | os.PathLike[str], candidates: Collection[str] | None = None) -> list[Dialog]:
    """Reads the dialogs of a file.

    Args:
        path: a text file, or a gzip of one if the name ends in `.gz`.
        candidates: responses that a bot may give; any by default.

    Returns:
        The dialogs in the order of the file. An utterance that is empty is `SILENCE`.

    Raises:
        DataError: if the file cannot be read, a line is not as the format says, a response is none of the candidates,
            or a dialog has no response.

    Example:
        >>> import pathlib
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "dialogs.txt")
        ...     _ = path.write_text("1 hi\\thello\\n2 resto R_price cheap\\n3 <SILENCE>\\twhat about resto\\n")
        ...     read(path)[0].speakers
        ('user', 'bot', 'fact', 'user', 'bot')

    Reference: Bordes, Boureau and Weston 2017, "Learning End-to-End Goal-Oriented Dialog", section 3.
    """
    allowed = None if candidates is None else frozenset(candidates)
    dialogs: list[Dialog] = []
    told: list[tuple[str, str]] = []
    previous = start = 0

    def close() -> None:
        if told:
            dialogs.append(_dialog(told, path, start))

    for line, raw in read_texts(path):
        number, text = _numbered(raw, previous, path, line)
        if number == 1:
            close()
            told, start = [], line
        told += _utterances(text, allowed, path, line)
        previous = number
    close()
    if not dialogs:
        raise DataError("expected at least one dialog, got an empty file; get it anew", path)
    return dialogs


def read_candidates(path: str | os.PathLike[str]) -> list[str]:
    """Reads the responses to choose from, `1 response` a line.

    Returns:
        The different ones, in the order of the file.

    Raises:
        DataError: if the file cannot be read or is empty, or a line has no number, no response or an
            api_call that is none.
    """
    candidates: dict[str, None] = {}
    for line, raw in read_texts(path):
        number, _, text = raw.partition(" ")
        if not number.isdecimal() or not text.strip():
            raise DataError(f"expected a number, a space and a response, got {short(raw)}; correct it", path, line)
        try:
            ApiCall.parse(text)
        except ValueError as error:
            raise DataError(f"{error}; correct it", path, line) from None
        candidates[text.strip()] = None
    if not candidates:
        raise DataError("expected at least one response to choose from, got an empty file; get it anew", path)
    return list(candidates)


def read_restaurants(path: str | os.PathLike[str]) -> Restaurants:
    """Reads the knowledge base, `1 restaurant relation<TAB>object` a line.

    Raises:
        DataError: if the file cannot be read or is empty, or a line is no fact.
    """
    triples: list[Triple] = []
    for line, raw in read_texts(path):
        number, *words = raw.split()
        if not number.isdecimal() or not is_fact(" ".join(words)):
            message = f"expected a number and restaurant R_relation<TAB>object, got {short(raw)}; correct the line"
            raise DataError(message, path, line)
        triples.append((words[0], words[1], words[2]))
    if not triples:
        raise DataError("expected at least one fact, got an empty file; get it anew", path)
    return Restaurants.of(triples)


def load(root: str | os.PathLike[str], task: int, split: str) -> list[Dialog]:
    """Reads one split of one task; each response is one of the candidates.

    Args:
        root: a folder that holds `dialog-bAbI-tasks/`, or is it.
        task: 1 to 6; see `TASKS`.
        split: one of `SPLITS`; task 6 has no "tst-OOV".

    Raises:
        ValueError: if there is no such task or split.
        DataError: if a file is missing, or not as the format says.

    Example:
        >>> load("data", 6, "tst-OOV")
        Traceback (most recent call last):
            ...
        ValueError: split: expected one of ['trn', 'dev', 'tst'] for task 6, got 'tst-OOV'
    """
    name = _name(task)
    splits = [known for known in SPLITS if task != 6 or known != "tst-OOV"]
    if split not in splits:
        raise ValueError(f"split: expected one of {splits} for task {task}, got {split!r}")
    return read(_find(root, f"dialog-babi-{name}-{split}.txt"), load_candidates(root, task))


def load_candidates(root: str | os.PathLike[str], task: int) -> list[str]:
    """Reads the responses that a task chooses from: 4,212 for tasks 1 to 5, 2,407 for task 6.

    Args:
        root: as of `load`.
        task: 1 to 6.

    Raises:
        ValueError: if there is no such task.
        DataError: if the file is missing, or not as the format says.
    """
    name = _name(task)
    return read_candidates(_find(root, f"dialog-babi-{f'{name}-' if task == 6 else ''}candidates.txt"))


def load_restaurants(root: str | os.PathLike[str], task: int) -> Restaurants:
    """Reads the restaurants of a task: those of the knowledge base; of task 6, which has none, those of its training.

    Args:
        root: as of `load`.
        task: 1 to 6.

    Raises:
        ValueError: if there is no such task.
        DataError: if the file is missing, or not as the format says.
    """
    if _name(task) and task != 6:
        return read_restaurants(_find(root, "dialog-babi-kb-all.txt"))
    return Restaurants.of(fact for dialog in load(root, task, "trn") for fact in _facts(dialog))


def _facts(dialog: Dialog) -> Iterator[Triple]:
    for speaker, utterance in zip(dialog.speakers, dialog.utterances, strict=True):
        if speaker == FACT and utterance != NO_RESULT:
            subject, relation, value = utterance.split()
            yield subject, relation, value


def _name(task: int) -> str:
    if isinstance(task, bool) or task not in TASKS:
        raise ValueError(f"task: expected an integer from 1 to 6, got {task!r}")
    return f"task{task}-{TASKS[task]}"


def _find(root: str | os.PathLike[str], name: str) -> os.PathLike[str]:
    return find(root, "the dialog bAbI tasks", _FOLDERS, name)


def _numbered(raw: str, previous: int, path: str | os.PathLike[str], line: int) -> tuple[int, str]:
    """The id and the rest of a line."""
    head, _, rest = raw.partition(" ")
    if not (head.isascii() and head.isdigit() and len(head) < 10):
        raise DataError(f"expected a line that begins with its number and a space, got {short(raw)}", path, line)
    number = int(head)
    if number != 1 and number != previous + 1:
        expected = f"{previous + 1} or, for a new dialog, 1" if previous else "1"
        message = f"expected line number {expected}, got {number}; number the lines of a dialog in sequence"
        raise DataError(message, path, line)
    return number, rest


def _utterances(
    text: str, allowed: frozenset[str] | None, path: str | os.PathLike[str], line: int
) -> list[tuple[str, str]]:
    """What is said in a line, with who says it."""
    said, *more = (part.strip() for part in text.split("\t"))
    if len(more) > 1:
        raise DataError(f"expected one tab, between utterance and response, got {len(more)}", path, line)
    if not more:
        if said != NO_RESULT and not is_fact(said):
            message = (
                f"expected a tab between utterance and response, or a fact as 'restaurant R_price cheap', got "
                f"{short(said)}; correct the line"
            )
            raise DataError(message, path, line)
        return [(FACT, said)]
    response = more[0]
    if not response:
        raise DataError("expected a response after the tab, got nothing; correct the line", path, line)
    if allowed is not None and response not in allowed:
        message = f"expected a response that is among the candidates, got {short(response)}; add it to their file"
        raise DataError(message, path, line)
    try:
        ApiCall.parse(response)
    except ValueError as error:
        raise DataError(str(error).removeprefix("response: "), path, line) from None
    return [(USER, said or SILENCE), (BOT, response)]


def _dialog(told: list[tuple[str, str]], path: str | os.PathLike[str], start: int) -> Dialog:
    if all(speaker == FACT for speaker, _ in told):
        raise DataError("expected a dialog with at least one response, got facts alone; remove them", path, start)
    speakers, utterances = zip(*told, strict=True)
    return Dialog(speakers, utterances)
