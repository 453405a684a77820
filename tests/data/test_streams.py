# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.streams`: what is told word by word is what was told sentence by sentence."""

import pytest

from memjax.data import Vocabulary, tokenize
from memjax.data.simulation import generate, generate_stream
from memjax.data.streams import (
    CONNECTIVES,
    Stream,
    StreamQuestion,
    agreement,
    breaks,
    cut,
    encode_segments,
    join,
    owners,
)

SETTINGS = {"num_statements": 300, "num_questions": 120, "difficulty": 5, "before": True, "window": 40}


@pytest.fixture(scope="module")
def stream() -> Stream:
    return generate_stream(3, "train", **SETTINGS)


def test_the_stream_tells_what_the_sentences_tell(stream):
    """Cut where the statements end, it is the corpus of sentences, but for the words that join them."""
    sentences = generate(3, "train", **SETTINGS)
    joints = {tuple(tokenize(connective)) for connective in CONNECTIVES}
    examples = cut(stream, stream.ends)
    assert len(examples) == len(stream) == len(sentences) == 120
    seen = set()
    for example, told in zip(examples, sentences, strict=True):
        assert (example.question, example.answers, example.supports) == (told.question, told.answers, told.supports)
        assert example.response == told.response
        for segment, statement in zip(example.statements, told.statements, strict=True):
            joint, words = segment.split(), tokenize(statement)
            assert joint[-len(words) :] == words
            seen.add(tuple(joint[: -len(words)]))
    assert seen == joints
    assert not {".", ";", ","} & set("".join(stream.words))
    assert generate_stream(3, "train", **SETTINGS) == stream != generate_stream(3, "test", **SETTINGS)


def test_segments_that_are_not_the_statements(stream):
    """A support that is not there leaves none; segments that are over later are not seen."""
    thirds = list(range(3, len(stream.words), 3))
    for example, asked in zip(cut(stream, thirds), stream.questions, strict=True):
        over = sum(end <= stream.ends[asked.told - 1] for end in thirds)
        assert len(example.statements) == min(over, 40)
        assert example.statements == () or set(example.statements[-1].split()) <= set(stream.words)
        for support, statement in zip(example.supports, asked.supports, strict=False):
            told = stream.words[stream.starts[statement] : stream.ends[statement]]
            assert set(example.statements[support].split()) & set(told)
    nothing = cut(stream, [])
    assert {(example.statements, example.supports) for example in nothing} == {((), ())}
    assert agreement(stream, stream.ends) == {"boundaries": 1, "statements": 1}
    assert agreement(stream, []) == {"boundaries": 0, "statements": 0}
    assert agreement(stream, [len(stream.words)])["statements"] == 0


def test_breaks_are_where_a_listener_can_know(stream):
    """Only "there" is left to the next segment, and only where the words before it are a statement too."""
    late = 0
    for stop, end in zip(breaks(stream), stream.ends, strict=True):
        assert stop in (end, end - 1)
        if stop < end:
            late += 1
            assert stream.words[stop] == "there"
    assert late > 5
    assert agreement(stream, breaks(stream))["statements"] == 1


def test_known_segments_and_what_follows():
    questions = [StreamQuestion(1, "Who?", ("Joe",), (0,)), StreamQuestion(3, "Who?", ("Dan",), (2, 0))]
    stream = join(["Joe sat", "Fred sat", "Dan sat"], ["and", ";"], questions)
    vocabulary = Vocabulary.build(stream.token_lists())
    assert vocabulary.words == ("and", "dan", "fred", "joe", "sat", "who")
    segments, following = encode_segments(stream, vocabulary)
    assert [vocabulary.decode(row) for row in segments] == [["joe", "sat"], ["dan", "sat"]]
    assert [vocabulary.decode(row) for row in following] == [["and", "fred", "sat"], []]


def test_edges():
    empty = join([], [], [])
    assert (empty.words, cut(empty, []), agreement(empty, [])) == ((), (), {"boundaries": 0, "statements": 0})
    assert encode_segments(empty, Vocabulary(()))[0].shape == (0, 0)
    assert owners([], [3]) == [] and owners([3, 3, 6], [2, 6]) == [0, -1, 1]
    with pytest.raises(ValueError, match="connectives: expected 1, one between each two statements, got 0"):
        join(["Joe sat", "Fred sat"], [], [])
