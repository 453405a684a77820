# SPDX-License-Identifier: Apache-2.0
"""Words that training never met: the story of Figure 3, contexts, and variables."""

import dataclasses
import itertools

import pytest

from memjax.data import Example, Vocabulary, bind, function_words, token_lists
from memjax.recipes import ADAPTIVE, Answerer, AnsweringConfig, Simulation, Splits, train

WORLD = Simulation(difficulty=1, objects=False, num_statements=300, num_questions=200, window=16)


def answer(answerer, statements, question):
    answerer.forget()
    for statement in statements:
        answerer.tell(statement)
    return answerer.ask(question)


@pytest.mark.thorough
def test_variables_answer_about_names_never_met():
    config = AnsweringConfig(
        corpus=WORLD, features=16, epochs=10, variables=True, ngrams=2, form="nonlinear", exact_match="features", beam=2
    )
    answerer = Answerer(train(config))
    reply = answer(answerer, ["Gollum went to the kitchen.", "Joe moved to the garden."], "Where is Gollum now?")
    assert (reply.answer, reply.supports[0].text) == ("kitchen", "Gollum went to the kitchen.")
    assert reply.unknown == ()
    assert answer(answerer, ["Joe moved to the garden."], "Where is Joe?").answer == "garden"
    asked = answer(answerer, ["Joe moved to the garden."], "Where is Joe, where is pray?")  # training had one
    assert asked.unknown == ("pray",) and "#" not in asked.answer


@pytest.mark.thorough
def test_an_answer_that_the_question_names_is_said_in_its_words():
    colours = ("red", "blue", "green", "grey")
    asked = [
        Example((f"The {told} box is here.",), f"Is the {a} box or the {b} box here?", (told,), (0,))
        for a, b in itertools.permutations(colours, 2)
        for told in (a, b)
    ]
    words = function_words(asked, share=0.8)
    vocabulary = Vocabulary.build(token_lists(bind(example, words) for example in asked), 1, words)
    config = AnsweringConfig(features=16, hops=1, epochs=40, batch_size=4, variables=True, learning_rate=0.03)
    trained = train(config, splits=Splits(tuple(asked), (), vocabulary))
    assert trained.evaluate(tuple(asked))["accuracy"] == [100.0]
    assert answer(Answerer(trained), ["The pink box is here."], "Is the red box or the pink box here?").answer == "pink"


@pytest.mark.thorough
def test_new_words_have_ids_of_their_own_and_are_forgotten():
    config = AnsweringConfig(corpus=WORLD, features=8, epochs=1, unseen=0.5, exact_match="lambda")
    answerer = Answerer(train(config))
    reply = answer(answerer, ["Gollum went to the cave.", "Joe moved to the garden."], "Where is Gollum now?")
    assert reply.unknown == ("gollum",)
    assert reply.answer in {"cave", "gollum"} | set(answerer.vocabulary.words)
    assert answerer.tell("Frodo and Sam left.") == ("frodo", "and", "sam", "left")
    answerer.forget()
    assert answerer.ask("Where is Gollum now?").answer == ""
    for i in range(40):  # more than there is room for
        answerer.tell(f"name{i} went to the garden.")
    assert answerer.ask("Where is name39 now?").unknown == ("name39",)


@pytest.mark.thorough
def test_places_of_new_words_are_those_of_statements_in_memory():
    answerer = Answerer(train(AnsweringConfig(corpus=WORLD, features=8, epochs=1, unseen=0.5)), num_slots=4)
    for i in range(60):
        answerer.ask(f"Where is asked{i} now?")
        answerer.tell(f"told{i} went to the garden.")
    ids = [answerer._new_words[f"told{i}"] for i in range(56, 60)]
    assert len(set(ids)) == len(answerer._new_words) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unseen": 1.0}, "unseen: expected a probability of at least 0 and below 1, got 1.0"),
        ({"ngrams": 0}, "ngrams: expected an integer of at least 1, got 0"),
        ({"ngrams": 3, "unseen": 0.1}, "ngrams: expected 1 with unseen words or a multilinear map"),
        ({"corpus": Simulation(stream=True), "unseen": 0.1}, "unseen, variables: expected none of them for a stream"),
        ({"corpus": Simulation(stream=True), "ngrams": 2}, "unseen, variables: expected none of them for a stream"),
        ({"ngrams": 2, "form": "multilinear"}, "ngrams: expected 1 with unseen words or a multilinear map"),
    ],
)
def test_switches_that_cannot_be_had_together(options, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ADAPTIVE, **options)


@pytest.mark.thorough
def test_the_story_of_the_ring_is_answered_with_context_bags_alone():
    from experiments.unseen import QUESTIONS, ROWS, STORY

    right = {}
    for row in ("context bags, features", "exact match, features"):
        trained = train(ROWS[row], seeds=(0, 1, 2, 3, 4))
        right[row] = [
            sum(
                answer(Answerer(trained, seed_index=seed), STORY, asked).answer == told
                for asked, told in QUESTIONS.items()
            )
            for seed in range(5)
        ]
    assert sorted(right["context bags, features"])[1:] == [3] * 4
    assert max(right["exact match, features"]) <= 1
