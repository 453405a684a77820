# SPDX-License-Identifier: Apache-2.0
"""Variables for what a question names."""

import pytest

from memjax.data import Example, Vocabulary, bind, function_words, substitute, variables_of


def test_words_of_questions_alone_and_words_of_many_questions_are_function_words():
    told = ("Joe went to the hall.", "Fred gave the milk to Mary.")
    asked = ["Where is Joe?", "Where is Fred?", "Where is the milk?", "Who gave the milk?"]
    examples = [Example(told, question, (), ()) for question in asked]
    assert function_words(examples) == ("is", "milk", "the", "where", "who")
    assert function_words(examples, share=0.6) == ("is", "where", "who")
    with pytest.raises(ValueError, match=r"share: expected a number above 0 and up to 1, got 0"):
        function_words(examples, share=0)


def test_variables_are_numbered_by_place_and_shared_side_by_side():
    words = ("is", "the", "of", "left", "to")
    assert variables_of("Is the pink square to the left of the red square?", words) == {
        "pink": "#1",
        "square": "#1",
        "red": "#2",
    }
    assert variables_of("Is the?", words) == {}
    assert variables_of("", words) == {}


def test_substitution_leaves_other_words_and_merges_what_stands_side_by_side():
    assert substitute("The pink square, the box.", {"pink": "#1", "square": "#1"}) == "the #1 the box"
    assert substitute("no no", {}) == "no no"


def test_an_example_is_bound_throughout():
    example = Example(("Joe left.", "Fred sat."), "Who is with Joe?", ("Joe",), (1,), "Joe is.")
    bound = bind(example, ("who", "is", "with"))
    assert bound == Example(("#1 left", "fred sat"), "who is with #1", ("#1",), (1,), "Joe is.")


def test_ngrams_have_ids_after_the_words():
    vocabulary = Vocabulary.build([["a", "b", "c"], ["b", "c"]], max_ngram=3)
    assert vocabulary.words == ("a", "b", "c")
    assert vocabulary.ngrams == ("a b", "a b c", "b c")
    assert vocabulary.features(["a", "b", "c"]) == [2, 3, 4, 5, 7, 6]
    assert vocabulary.features(["c", "z"]) == [4, 1]
    assert vocabulary.features(["a"]) == [2], "n-grams longer than the sentence are none of its features"
    assert (len(vocabulary), vocabulary.num_words, vocabulary.longest_ngram) == (8, 3, 3)
    assert vocabulary.decode([5, 1]) == ["a b", "<unknown>"]
    bound = Vocabulary(("a",), ("a a",), ("is",))
    assert Vocabulary.from_json(bound.to_json()) == bound
    with pytest.raises(ValueError, match="max_ngram: expected at least 1, got 0"):
        Vocabulary.build([], max_ngram=0)
    with pytest.raises(ValueError, match="ngrams: expected each once, got 'a b' again"):
        Vocabulary(("a", "b"), ("a b", "a b"))
