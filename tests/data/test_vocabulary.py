# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.vocabulary`."""

import hashlib

import numpy as np
import pytest

from memjax.data import Vocabulary
from memjax.typing import NUM_SPECIAL, PAD, UNKNOWN


def test_build_is_sorted_and_independent_of_order():
    first = Vocabulary.build([["the", "milk"], ["joe"]])
    second = Vocabulary.build(iter([["joe", "milk", "joe"], ["the"]]))
    assert first == second and first.hash == second.hash
    assert first.words == ("joe", "milk", "the")


def test_ids_start_after_the_special_tokens():
    vocabulary = Vocabulary(("b", "a"))
    assert vocabulary.encode(["b", "a", "c"]) == [NUM_SPECIAL, NUM_SPECIAL + 1, UNKNOWN]
    assert len(vocabulary) == vocabulary.num_words + NUM_SPECIAL == 4
    assert "a" in vocabulary and "c" not in vocabulary


def test_decode_inverts_encode_and_leaves_padding_out():
    vocabulary = Vocabulary(("b", "a"))
    assert vocabulary.decode(vocabulary.encode(["a", "b", "b"])) == ["a", "b", "b"]
    assert vocabulary.decode(np.array([2, UNKNOWN, PAD, PAD], np.int32)) == ["b", "<unknown>"]
    for id_ in (-1, 4):
        with pytest.raises(ValueError, match=f"ids: expected ids from 0 to 3, got {id_}"):
            vocabulary.decode([id_])


def test_unknown_keeps_order_without_repeats():
    assert Vocabulary(("a",)).unknown(["z", "a", "b", "z"]) == ["z", "b"]


def test_json_round_trip_and_hash():
    vocabulary = Vocabulary(("zürich", 'a"b', "joe"))
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    assert vocabulary.hash == hashlib.sha256(vocabulary.to_json().encode()).hexdigest()
    assert vocabulary.hash != Vocabulary(("joe", "zürich", 'a"b')).hash
    # A literal, so that a change of the format is noticed: checkpoints hold this hash.
    assert Vocabulary(("a", "b")).hash == "f750efee86f2f96f54343b8db2de65a6e005c3a3848344cc27b5deed24dd7199"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"words": 3}',
        '{"words": "ab"}',
        '{"words": ["a", "a"]}',
        '{"words": ["a"], "function_words": "a"}',
    ],
)
def test_from_json_rejects_other_text(text):
    with pytest.raises(ValueError, match="expected"):
        Vocabulary.from_json(text)


@pytest.mark.parametrize("words", [("a", "a"), ("",), ("a", 3)])
def test_bad_words(words):
    with pytest.raises(ValueError, match="^words: expected"):
        Vocabulary(words)
