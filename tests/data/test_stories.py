# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.stories`."""

import subprocess
import sys
import time

import numpy as np
import pytest

from memjax.data import Example, Vocabulary, encode, token_lists, tokenize

EXAMPLES = [
    Example(("Joe went to the office.", "Fred got the milk."), "Where is Joe?", ("office",), (0,)),
    Example(("Fred got the milk.", "Joe left.", "FRED got the milk", "..."), "Who left?", ("Joe", "the milk"), (2, 1)),
]


def _vocabulary(examples=EXAMPLES):
    return Vocabulary.build(token_lists(examples))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Where is John ?", ["where", "is", "john"]),
        ("Frodo went to Mount-Doom.", ["frodo", "went", "to", "mount-doom"]),
        ("s,e", ["s", "e"]),
        ("Later, the\tcat sat!  ", ["later", "the", "cat", "sat"]),
        ("he sat;then", ["he", "sat", "then"]),
        ("...", []),
        ("", []),
    ],
)
def test_tokenize(text, words):
    assert tokenize(text) == words


def test_encode_decodes_back():
    vocabulary = _vocabulary()
    stories = encode(EXAMPLES, vocabulary)
    assert len(stories) == 2
    for q, example in enumerate(EXAMPLES):
        told = [row for row in stories.slots[q] if row >= 0]
        assert [vocabulary.decode(stories.sentences[row]) for row in told] == [tokenize(t) for t in example.statements]
        assert vocabulary.decode(stories.questions[q]) == tokenize(example.question)
        assert vocabulary.decode(stories.answers[q]) == [w for text in example.answers for w in tokenize(text)]
        assert tuple(s for s in stories.supports[q] if s >= 0) == example.supports


def test_shapes_dtypes_and_padding():
    stories = encode(EXAMPLES, _vocabulary(), num_slots=6, num_words=7, num_sentences=9, num_supports=3, num_answers=4)
    assert stories.sentences.shape == (9, 7)
    assert stories.slots.shape == (2, 6)
    assert stories.questions.shape == (2, 7)
    assert stories.supports.shape == (2, 3)
    assert stories.answers.shape == (2, 4)
    for array in vars(stories).values():
        assert array.dtype == np.int32
    assert not stories.sentences[0].any() and not stories.sentences[4:].any()
    assert stories.slots.tolist() == [[1, 2, -1, -1, -1, -1], [2, 3, 2, 0, -1, -1]]  # One row for equal sentences.
    assert stories.supports.tolist() == [[0, -1, -1], [2, 1, -1]]


def test_larger_sizes_only_add_padding():
    small = encode(EXAMPLES, _vocabulary())
    large = encode(EXAMPLES, _vocabulary(), num_slots=8, num_words=9, num_sentences=10, num_supports=4, num_answers=5)
    for name, array in vars(small).items():
        corner = getattr(large, name)[tuple(slice(n) for n in array.shape)]
        np.testing.assert_array_equal(corner, array)


def test_unknown_words_and_no_supports():
    stories = encode([Example(("Joe sings",), "Who ?", ("Joe",), ())], Vocabulary(("joe",)))
    assert stories.sentences.tolist() == [[0, 0], [2, 1]]
    assert stories.supports.tolist() == [[-1]]


def test_no_examples():
    stories = encode([], _vocabulary(), num_slots=3)
    assert len(stories) == 0 and stories.slots.shape == (0, 3) and stories.sentences.shape == (1, 1)


@pytest.mark.parametrize(
    ("name", "needed"),
    [("num_slots", 4), ("num_words", 5), ("num_sentences", 4), ("num_supports", 2), ("num_answers", 3)],
)
def test_sizes_that_are_too_small(name, needed):
    for size in (needed - 1, 0, -1, True, 2.5):
        with pytest.raises(ValueError, match=rf"{name}: expected an integer of at least {needed} .*, got {size}; pass"):
            encode(EXAMPLES, _vocabulary(), **{name: size})
    encode(EXAMPLES, _vocabulary(), **{name: needed})


@pytest.mark.parametrize("support", [2, -1])
def test_supports_outside_the_story(support):
    example = Example(("a", "b"), "c ?", ("a",), (0, support))
    with pytest.raises(ValueError, match=rf"examples\[0\].supports: expected indices from 0 to 1, .* got {support}"):
        encode([example], Vocabulary(("a",)))


@pytest.mark.parametrize("indices", [[1], np.array([False, True]), slice(1, 2)])
def test_take(indices):
    stories = encode(EXAMPLES, _vocabulary())
    part = stories.take(indices)
    assert len(part) == 1 and part.sentences is stories.sentences
    np.testing.assert_array_equal(part.supports, stories.supports[1:])
    assert len(stories.take([])) == 0
    np.testing.assert_array_equal(stories.take([1, 0, 1]).answers, stories.answers[[1, 0, 1]])


def test_encoding_is_fast():
    texts = [f"actor{i % 4} went to room{i % 1000}" for i in range(7000)]
    examples = [Example(tuple(texts[i : i + 128]), f"where is {i}", ("room1",), (0,)) for i in range(3000)]
    vocabulary = _vocabulary(examples)
    start = time.process_time()
    assert encode(examples, vocabulary).slots.shape == (3000, 128)
    assert time.process_time() - start < 2


def test_import_loads_no_tfds():
    code = "import sys, memjax.data, memjax.data.babi, memjax.data.simulation; "
    code += "assert not {'tensorflow_datasets', 'tensorflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
