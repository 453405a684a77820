# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.simulation`: the text is read back by a tracker of its own."""

import hashlib
import itertools
import re
import time

import pytest

from memjax.data import tokenize
from memjax.data.simulation import generate
from memjax.data.world import Action, World, WorldState

ROOMS = ("kitchen", "office", "bathroom", "garden", "bedroom")
OBJECTS = ("milk", "football", "apple")
BIG = World(
    actors=("Joe", "Fred", "Mary"),
    objects=("milk", "box", "tray"),
    actions=("go", "get", "put", "give", "drop", "look", "inventory", "examine"),
    she=("Mary",),
)
GO = re.compile(r"(\w+) (?:went|went back|moved|travelled|journeyed) to the (\w+)")
GET = re.compile(r"(\w+) (?:picked up|got|grabbed|took) (?:the )?(\w+)(?: there| from (?:the )?\w+)?")
DROP = re.compile(r"(\w+) (?:dropped|left|discarded|put down) (?:the )?(\w+)(?: there)?")
PUT = re.compile(r"\w+ (?:put|placed) (?:the )?(\w+) (?:in|on) (?:the )?(\w+)")
GIVE = re.compile(r"\w+ (?:gave|handed|passed) (?:the )?(\w+) to (\w+)")
NOTHING = re.compile(r"\w+ (?:looked around|checked the inventory|(?:examined|looked at) (?:the )?\w+)")
IS = re.compile(r"Where is (?:the )?(\w+)(?: now)? \?")
WAS = re.compile(r"Where was (\w+) before the (\w+) \?")


class Tracker:
    """Follows statements from their text; a place that was not told is None."""

    def __init__(self, statements):
        self.rooms, self.place = {}, {}
        for text in statements:
            if match := GO.fullmatch(text):
                self.rooms.setdefault(match[1], []).append(match[2])
            elif match := GET.fullmatch(text):
                self.place[match[2]] = match[1]
            elif match := DROP.fullmatch(text):
                self.place[match[2]] = self.where(match[1])
            elif match := PUT.fullmatch(text) or GIVE.fullmatch(text):
                self.place[match[1]] = match[2]
            else:
                assert NOTHING.fullmatch(text), text

    def where(self, name):
        while name in self.place:
            name = self.place[name]
        return name if name in ROOMS else self.rooms.get(name, [None])[-1]

    def answer(self, question):
        if match := IS.fullmatch(question):
            return self.where(match[1])
        actor, room = WAS.fullmatch(question).groups()
        rooms = self.rooms.get(actor, [])
        visits = [i for i, name in enumerate(rooms) if name == room and i > 0]
        return rooms[visits[-1] - 1] if visits else None


SETTINGS = list(itertools.product((1, 5), (False, True), (False, True)))


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda s: f"d{s[0]}-objects{s[1]:d}-before{s[2]:d}")
def corpus(request):
    difficulty, objects, before = request.param
    examples = generate(
        3, "train", num_statements=2000, num_questions=900, difficulty=difficulty, objects=objects, before=before
    )
    return difficulty, objects, before, examples


def _check(example, difficulty):
    told, supports = example.statements, example.supports
    answer = Tracker(told).answer(example.question)
    assert example.answers == (answer,) and answer in ROOMS
    # The supports alone tell the answer, and none can be left out.
    assert Tracker([told[i] for i in sorted(supports)]).answer(example.question) == answer
    for left_out in supports:
        assert Tracker([told[i] for i in sorted(supports) if i != left_out]).answer(example.question) is None
    # The asked entity was mentioned not longer ago than the difficulty allows.
    entity = (IS.fullmatch(example.question) or WAS.fullmatch(example.question))[1]
    mentions = [i for i, text in enumerate(told) if entity in text.split()]
    assert len(told) - mentions[-1] <= difficulty
    # Hops: from the asked entity to the room.
    assert entity in told[supports[0]].split()
    assert answer in told[supports[-1]].split()
    assert len(set(supports)) == len(supports)


def test_answers_and_supports(corpus):
    difficulty, _, _, examples = corpus
    assert len(examples) == 900
    for example in examples:
        _check(example, difficulty)


def test_hop_order(corpus):
    for example in corpus[3]:
        told, supports = example.statements, example.supports
        if match := WAS.fullmatch(example.question):
            gos = [i for i, text in enumerate(told) if text.split()[0] == match[1] and GO.fullmatch(text)]
            latest = [i for i in gos if told[i].split()[-1] == match[2]][-1]
            assert supports == (latest, max(i for i in gos if i < latest))
        elif (name := IS.fullmatch(example.question)[1]) in OBJECTS:
            latest = max(i for i, text in enumerate(told) if name in text.split())
            end = latest if DROP.fullmatch(told[latest]) else len(told)
            actor = told[latest].split()[0]
            gos = [i for i in range(end) if told[i].split()[0] == actor and GO.fullmatch(told[i])]
            assert supports == (latest, gos[-1])
        else:
            assert supports == (max(i for i, t in enumerate(told) if t.split()[0] == name and GO.fullmatch(t)),)


def test_kinds_of_questions(corpus):
    _, objects, before, examples = corpus
    kinds = {"actor": 0, "before": 0, "object": 0}
    for example in examples:
        match = IS.fullmatch(example.question)
        kinds["before" if match is None else "object" if match[1] in OBJECTS else "actor"] += 1
    assert (kinds["object"] > 150) == objects and (kinds["object"] > 0) == objects
    assert (kinds["before"] > 200) == before and (kinds["before"] > 0) == before
    assert kinds["actor"] > 200


def test_language(corpus):
    _, objects, before, examples = corpus
    words = " ".join({text for example in examples for text in example.statements})
    verbs = ["went to", "went back to", "moved to", "travelled to", "journeyed to"]
    verbs += ["picked up", "got", "grabbed", "took", "dropped", "left", "discarded", "put down"] * objects
    for verb in verbs:
        assert f" {verb} " in words
    for phrase in ("milk there", "the milk"):
        assert (phrase in words) == objects
    assert any(" now ?" in example.question for example in examples)
    assert any("Where is" in example.question and " now ?" not in example.question for example in examples)


def test_responses(corpus):
    seen = set()
    for example in corpus[3]:
        words = tokenize(example.response)
        assert [word for word in words if word in ROOMS] == list(example.answers)
        subjects = {"he", "it", *OBJECTS, "joe", "fred", "dan", "bill"} & set(words)
        name = tokenize((IS.fullmatch(example.question) or WAS.fullmatch(example.question))[1])[0]
        assert subjects <= {name, "it" if name in OBJECTS else "he"}
        assert ("was" in words or "is" not in words) or "Where is" in example.question
        seen.add(example.response.replace(example.answers[0], "ROOM"))
    assert len(seen) > 15 and "He is in the ROOM I believe" in seen


@pytest.mark.parametrize("before", [False, True])
def test_all_commands(before):
    examples = generate(
        1, "train", num_statements=3000, num_questions=1500, difficulty=5, before=before, world=BIG, window=60
    )
    for example in examples:
        _check(example, 5)
    words = " ".join({text for example in examples for text in example.statements})
    for verb in ("put", "placed", "gave", "handed", "passed", "looked around", "checked the inventory", "examined"):
        assert f" {verb} " in words
    for word in (" from ", " in ", " on "):
        assert word in words
    assert max(len(example.supports) for example in examples) >= 3  # A thing in a thing.
    assert any(example.response.startswith("She is") for example in examples)


def test_full_size_is_fast_and_reaches_far_back():
    start = time.process_time()
    examples = generate(0, "train", difficulty=5)
    assert time.process_time() - start < 4
    assert len(examples) == 3000 and {len(e.statements) for e in examples[300:]} == {128}
    distances = sorted(len(example.statements) - min(example.supports) for example in examples)
    assert 30 < distances[-1] < 128 and distances[len(distances) // 2] <= 5
    assert len({(e.statements, e.question) for e in examples}) == 3000


def test_same_seed_same_bits():
    options = {"num_statements": 300, "num_questions": 100, "difficulty": 5, "before": True}
    train = generate(0, "train", **options)
    assert train == generate(0, "train", **options)
    for other in (generate(1, "train", **options), generate(0, "test", **options), generate(0, "valid", **options)):
        assert other != train and other[-1].statements != train[-1].statements
    # Literal, so that a change of the stream, by us or by a version of Python or NumPy, is noticed.
    digest = hashlib.sha256(repr(train).encode()).hexdigest()
    assert digest == "6224207705dc2e2b8ee058c20bf87e89506e8d517cac03998ad3961afac41664"


def test_window_and_number_of_questions():
    examples = generate(0, "test", num_statements=50, num_questions=170, difficulty=5, window=4)
    assert len(examples) == 170 and max(len(example.statements) for example in examples) == 4
    for example in examples:
        _check(example, 4)


def test_questions_that_cannot_be_answered():
    # A stream of one statement: "went to" tells where Joe is, "looked around" does not.
    world, outcomes = World(actors=("Joe",), actions=("go", "look")), set()
    for seed in range(10):
        try:
            (example,) = generate(seed, "train", num_statements=1, num_questions=1, world=world)
            outcomes.add(example.statements[0].split()[1])
        except ValueError as error:
            assert str(error).startswith("num_statements, window: expected enough to answer a question, got 1 and 128")
            outcomes.add("error")
    assert "error" in outcomes and len(outcomes) > 1 and "looked" not in outcomes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed: expected an integer of at least 0, got -1"),
        ({"seed": 1.0}, "seed: expected"),
        ({"num_questions": 0}, "num_questions: expected an integer of at least 1, got 0"),
        ({"num_statements": 0}, "num_statements: expected"),
        ({"difficulty": True}, "difficulty: expected"),
        ({"window": "8"}, "window: expected an integer of at least 1, got '8'"),
        ({"split": "dev"}, r"split: expected one of \['train', 'valid', 'test'\], got 'dev'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(**{"seed": 0, "split": "train", **arguments})


@pytest.mark.parametrize(
    "fields",
    [
        {"rooms": ("cave",)},
        {"actors": ()},
        {"actors": "Joe"},
        {"objects": ("milk", "Milk")},
        {"rooms": ("living room", "cave")},
        {"actors": ("kitchen",)},
        {"objects": ("",)},
        {"actions": ("get",)},
        {"actions": ("go", "fly")},
    ],
)
def test_bad_worlds(fields):
    with pytest.raises(ValueError, match="expected .* got"):
        World(**fields)


def _state(**places):
    return WorldState(BIG, {"Joe": "office", "Fred": "office", "Mary": "garden", **places})


def test_rules():
    state = _state(milk="Joe", box="office", tray="Mary")
    for action in (
        Action("Joe", "go", "office"),
        Action("Joe", "go", "cave"),
        Action("Bill", "look"),
        Action("Joe", "fly"),
        Action("Joe", "look", "milk"),
        Action("Joe", "get", "milk"),
        Action("Fred", "get", "milk"),
        Action("Joe", "get", "tray"),
        Action("Joe", "drop", "box"),
        Action("Fred", "drop", "milk"),
        Action("Joe", "give", "milk", "Mary"),
        Action("Joe", "give", "milk", "Joe"),
        Action("Joe", "put", "milk", "tray", "in"),
        Action("Joe", "put", "milk", "milk", "in"),
        Action("Joe", "put", "milk", "box"),
        Action("Joe", "get", "milk", "box"),
        Action("Joe", "examine", "tray"),
    ):
        before = dict(state.places)
        with pytest.raises(ValueError, match="^action: .*; got Action"):
            state.apply(action)
        assert state.places == before and action not in state.valid(action.actor)


def test_things_in_things():
    state = _state(milk="Joe", box="office", tray="Joe")
    state.apply(Action("Joe", "put", "milk", "box", "in"))
    assert state.why_not(Action("Fred", "get", "milk")) and not state.why_not(Action("Fred", "examine", "milk"))
    state.apply(Action("Fred", "get", "box"))
    state.apply(Action("Fred", "go", "garden"))
    assert state.room("milk") == "garden"
    assert state.why_not(Action("Mary", "get", "milk", "box"))  # Fred holds it.
    state.apply(Action("Fred", "drop", "box"))
    state.apply(Action("Mary", "get", "milk", "box"))
    assert state.places == {**state.places, "milk": "Mary", "box": "garden"}
    state = _state(milk="Joe", box="milk", tray="office")
    assert state.why_not(Action("Joe", "put", "milk", "box", "on"))  # The box is on the milk.
    state.apply(Action("Joe", "give", "milk", "Fred"))
    assert state.places["milk"] == "Fred"


def test_valid_actions_are_those_that_apply():
    state = _state(milk="Joe", box="office", tray="garden")
    valid = state.valid("Joe")
    assert len(set(valid)) == len(valid)
    assert {action.command for action in valid} == {*BIG.actions}
    for action in valid:
        _state(milk="Joe", box="office", tray="garden").apply(action)


def test_missing_place():
    with pytest.raises(ValueError, match="places: expected a place for 'tray'"):
        _state(milk="Joe", box="office")
