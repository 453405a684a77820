# SPDX-License-Identifier: Apache-2.0
"""Streams of words from the recipe's side: trained, kept, listened to."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from memjax.data.streams import cut
from memjax.errors import RunError
from memjax.recipes import Answerer, AnsweringConfig, Listener, Simulation, evaluate, load, train
from tests.interrupted import killed

WORLD = Simulation(difficulty=1, objects=False, num_statements=120, num_questions=60, window=32, stream=True)
CONFIG = AnsweringConfig(corpus=WORLD, features=8, batch_size=8, epochs=6)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder that was stopped and resumed, and its model."""
    folder = tmp_path_factory.mktemp("runs") / "stream"

    killed(partial(train, CONFIG), folder)
    return folder, train(CONFIG, folder=folder, resume=True)


@pytest.mark.thorough
def test_a_run_is_kept_with_its_segmenter(run):
    folder, trained = run
    results = evaluate(folder)
    assert results == trained.evaluate(WORLD.examples("test"))
    assert set(results) == {"accuracy", "supports", "boundaries", "statements"}
    assert results["statements"][0] > 90
    whole = train(CONFIG)  # nothing stopped it, and nothing was saved
    assert whole.evaluate(WORLD.examples("test")) == results
    with pytest.raises(RunError, match="expected arrays of save_pytree"):
        (folder / "segmenter").rename(folder / "elsewhere")
        load(folder)
    (folder / "elsewhere").rename(folder / "segmenter")


@pytest.mark.thorough
def test_listening_answers_as_the_evaluation_does(run):
    """Words one after another, memory and question on the device: the answers to examples that were cut beforehand."""
    trained = run[1]
    stream = WORLD.examples("test")
    listener, told, right = Listener(trained), 0, []
    for example, asked in zip(cut(stream, trained.segmenter.ends(stream)), stream.questions, strict=True):
        end = stream.ends[asked.told - 1]
        listener.hear(" ".join(stream.words[told:end]))
        told = end
        reply = listener.ask(asked.question)
        assert reply.statements == example.statements
        right.append(reply.answer == asked.answers[0])
    assert trained.evaluate(stream)["accuracy"] == [pytest.approx(100 * np.mean(right), abs=1e-3)]


@pytest.mark.thorough
def test_what_is_heard(run):
    listener = Listener(run[1])
    text = "Joe went to the kitchen; Fred moved to the garden, and then Joe"
    heard = listener.hear(text)
    assert len(heard.words) == len(heard.scores) == len(heard.ends) == 13
    assert heard.segments == ("joe went to the kitchen", "fred moved to the garden")
    assert np.all((heard.scores > heard.threshold) == heard.ends)
    rest = listener.hear("flew to the office")
    assert rest.segments == ("and then joe flew to the office",) and rest.unknown == ("flew",)
    one = Listener(run[1])
    words = [one.hear(word) for word in f"{text} flew to the office".split()]
    np.testing.assert_array_equal(
        np.concatenate([heard.scores, rest.scores]), np.concatenate([word.scores for word in words])
    )
    assert one.ask("Where is Joe?").statements == listener.ask("Where is Joe?").statements
    nothing = listener.hear(" ... ")
    assert (nothing.words, nothing.scores.shape, nothing.ends.shape, nothing.segments) == ((), (0,), (0,), ())
    assert listener.hear("x " * 64).segments == (" ".join("x" * 64),)  # unknown words never fire; 64 are a segment
    listener.tell("Bill went")
    listener.forget()
    assert listener.hear("Joe went to the office").segments == ("joe went to the office",)
    assert listener.ask("Where is Joe?").statements == ("joe went to the office",)


@pytest.mark.thorough
def test_statements_and_streams_are_not_mixed_up(run):
    told = train(dataclasses.replace(CONFIG, corpus=dataclasses.replace(WORLD, stream=False), epochs=1))
    with pytest.raises(ValueError, match="trained: expected a model of a stream of words, got one of statements"):
        Listener(told)
    with pytest.raises(ValueError, match="trained: expected a model of a stream of words, got one of statements"):
        Listener(object())  # an end-to-end model knows nothing of segmenters
    with pytest.raises(ValueError, match="examples: expected statements told one by one, got a stream"):
        told.evaluate(WORLD.examples("test"))
    answerer = Answerer(run[1])  # statements may be told whole
    assert answerer.tell("Joe went to the office") == () and answerer.ask("Where is Joe?").statements
