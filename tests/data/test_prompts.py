# SPDX-License-Identifier: Apache-2.0
"""What a language model reads before it answers."""

import pytest

from memjax.data import Example, Vocabulary, encode_prompts

WORDS = Vocabulary(("he", "is", "joe", "left", "office", "sat", "where"))
HE, IS, JOE, LEFT, OFFICE, SAT, WHERE, END = range(2, 10)
EXAMPLES = (
    Example(("Joe left.", "Joe sat.", "Joe sang."), "Where is Joe?", ("office",), (), "He is, office"),
    Example((), "Where?", ("joe", "office"), ()),
)


def test_the_latest_statements_then_the_question():
    encoded = encode_prompts(EXAMPLES, WORDS, statements=2, multiple=4)
    assert encoded.prompts.tolist() == [
        [JOE, SAT, END, JOE, 1, END, WHERE, IS, JOE, END, 0, 0],
        [WHERE, END] + [0] * 10,
    ]
    assert encoded.replies.tolist() == encoded.answers.tolist() == [[OFFICE, 0], [JOE, OFFICE]]


@pytest.mark.parametrize("sizes", [{"statements": 0}, {"statements": 2, "multiple": 0}])
def test_sizes_are_checked(sizes):
    with pytest.raises(ValueError, match=f"{list(sizes)[-1]}: expected an integer of at least 1, got 0"):
        encode_prompts(EXAMPLES, WORDS, **sizes)


def test_a_stream_has_one_mark_and_replies_can_be_sentences():
    encoded = encode_prompts(EXAMPLES, WORDS, statements=9, marks=False, sentences=True)
    assert encoded.prompts[0].tolist() == [JOE, LEFT, JOE, SAT, JOE, 1, END, WHERE, IS, JOE, END]
    assert encoded.prompts[1].tolist() == [WHERE, END] + [0] * 9
    assert encoded.replies.tolist() == [[HE, IS, OFFICE], [JOE, OFFICE, 0]]  # without a sentence: the answer
