# SPDX-License-Identifier: Apache-2.0
"""The answerer: what it is told, what it remembers, and what it shows of its answers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax.recipes import Answerer, AnsweringConfig, Simulation, Trained, train

pytestmark = pytest.mark.thorough

CONFIG = AnsweringConfig(
    corpus=Simulation(difficulty=1, objects=False, num_statements=60, num_questions=40),
    features=8,
    batch_size=8,
    epochs=6,
)
SLOTS = 4
STORY = (
    "Joe went to the kitchen.",
    "Fred moved to the garden.",
    "Joe travelled to the office.",
    "Joe went to the kitchen.",
    "Dan journeyed to the hallway.",
    "Bill went back to the bathroom.",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """A run folder and the models that were trained in it."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    return folder, train(CONFIG, folder=folder)


@pytest.fixture(scope="module")
def shared(run) -> Answerer:
    """One for all tests, since each compiles its own programs."""
    return Answerer(run[1], SLOTS)


@pytest.fixture
def answerer(shared: Answerer) -> Answerer:
    """With an empty memory."""
    shared.forget()
    return shared


def told(answerer: Answerer, *statements: str) -> Answerer:
    answerer.forget()
    for statement in statements:
        answerer.tell(statement)
    return answerer


def assert_consistent(reply) -> None:
    """Each support is a statement in memory, with the score that the table of its hop has for it."""
    assert reply.scores.shape == (len(reply.supports), len(reply.statements))
    for hop, support in enumerate(reply.supports):
        rows = [row for row, text in enumerate(reply.statements) if text == support.text]
        assert support.score in [float(reply.scores[hop, row]) for row in rows]


def test_an_empty_memory_has_no_answer(answerer):
    reply = answerer.ask("Where is Joe?")
    assert (reply.answer, reply.supports, reply.statements) == ("", (), ())
    assert reply.scores.shape == (1, 0)


def test_one_statement(answerer):
    assert answerer.tell("Joe went to the kitchen.") == ()
    reply = answerer.ask("Where is Joe?")
    assert [support.text for support in reply.supports] == ["Joe went to the kitchen."] * CONFIG.hops
    assert [support.told for support in reply.supports] == [0] * CONFIG.hops
    assert reply.statements == ("Joe went to the kitchen.",)
    assert reply.answer in answerer.vocabulary
    assert np.isfinite(reply.scores).all()
    assert_consistent(reply)


def test_words_that_training_never_met(answerer):
    assert answerer.tell("Frodo went to Mount-Doom, then Frodo slept.") == ("frodo", "mount-doom", "then", "slept")
    assert answerer.tell("JOE WENT TO THE KITCHEN!") == ()
    reply = answerer.ask("Where is the ring, Frodo?")
    assert reply.unknown == ("ring", "frodo")
    assert answerer.ask("Where is Joe?").unknown == ()


def test_statements_of_nothing_but_unknown_words(answerer):
    assert answerer.tell("Xyzzy plugh.") == ("xyzzy", "plugh")
    reply = answerer.ask("Qux?")
    assert reply.unknown == ("qux",) and reply.statements == ("Xyzzy plugh.",)
    assert np.isfinite(reply.scores).all()


def test_scores_follow_the_order_of_the_statements(answerer):
    forth = told(answerer, *STORY[:3]).ask("Where is Joe?")
    back = told(answerer, *STORY[2::-1]).ask("Where is Joe?")
    assert forth.statements == STORY[:3] and back.statements == STORY[2::-1]
    np.testing.assert_array_equal(forth.scores[0], back.scores[0, ::-1])
    assert len(set(forth.scores[0].tolist())) == 3
    assert_consistent(forth)
    assert_consistent(back)


def test_asking_changes_nothing(answerer):
    told(answerer, *STORY[:3])
    before = jax.tree.map(np.array, answerer.memory)
    one, two = answerer.ask("Where is Joe?"), answerer.ask("Where is Joe?")
    assert (one.answer, one.supports) == (two.answer, two.supports)
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.array, answerer.memory))


@pytest.mark.parametrize("count", [SLOTS, SLOTS + 1, 2 * SLOTS, 2 * SLOTS + 3])
def test_past_its_capacity_the_oldest_is_forgotten(answerer, count):
    """The memory is as if only the newest statements had ever been told; but for the count, which goes on."""
    stream = (STORY * 3)[:count]
    newest = stream[-SLOTS:]
    for question in ("Where is Joe?", "Where is Fred?", "Where is Bill?"):
        full = told(answerer, *stream).ask(question)
        fresh = told(answerer, *newest).ask(question)
        assert full.statements == fresh.statements == newest
        np.testing.assert_array_equal(full.scores, fresh.scores)
        assert full.answer == fresh.answer
        forgotten = count - SLOTS
        assert [(s.text, s.told - forgotten, s.score) for s in full.supports] == [
            (s.text, s.told, s.score) for s in fresh.supports
        ]
        for support in full.supports:
            assert stream[support.told] == support.text
        assert_consistent(full)


def test_the_oldest_cannot_be_found_any_more(answerer):
    told(answerer, "Dan went to the garden.", *["Joe went to the kitchen."] * SLOTS)
    reply = answerer.ask("Where is Dan?")
    assert "Dan went to the garden." not in reply.statements
    assert {support.text for support in reply.supports} == {"Joe went to the kitchen."}


def test_forget(answerer):
    told(answerer, *STORY)
    answerer.forget()
    assert answerer.ask("Where is Joe?").answer == ""
    reply = told(answerer, STORY[0]).ask("Where is Joe?")
    assert reply.statements == STORY[:1] and reply.supports[0].told == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word " * 65, r": expected 1 to 64 words, got 65 in 'word word"),
        ("", r": expected 1 to 64 words, got 0 in ''"),
        (" .?! ", r": expected 1 to 64 words, got 0 in ' \.\?! '"),
    ],
)
def test_too_long_or_empty(answerer, text, message):
    with pytest.raises(ValueError, match="^statement" + message):
        answerer.tell(text)
    with pytest.raises(ValueError, match="^question" + message):
        answerer.ask(text)
    assert answerer.ask("Where is Joe?").statements == ()


def test_sixty_four_words_will_do(answerer):
    text = "joe " * 63 + "kitchen"
    assert answerer.tell(text) == ()
    assert answerer.ask("joe " * 64).statements == (text,)


def test_a_loaded_one_is_the_same(run, answerer):
    loaded = Answerer.load(str(run[0]), SLOTS)
    one, other = told(answerer, *STORY).ask("Where is Joe?"), told(loaded, *STORY).ask("Where is Joe?")
    np.testing.assert_array_equal(one.scores, other.scores)
    assert (one.answer, one.supports, one.statements) == (other.answer, other.supports, other.statements)


def test_one_of_several_seeds(run, answerer):
    """The second of two models, the first being another one."""
    params = jax.tree.map(lambda leaf: jnp.concatenate([2 * leaf, leaf]), run[1].params)
    both: Trained = dataclasses.replace(run[1], params=params)
    reply = told(answerer, *STORY).ask("Where is Joe?")
    second = told(Answerer(both, SLOTS, seed_index=1), *STORY).ask("Where is Joe?")
    np.testing.assert_array_equal(second.scores, reply.scores)
    assert second.answer == reply.answer


def test_no_slots(run):
    with pytest.raises(ValueError, match="num_slots"):
        Answerer(run[1], 0)
