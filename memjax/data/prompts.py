# SPDX-License-Identifier: Apache-2.0
"""What a language model reads before it answers: the latest statements of a story, and the question."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from memjax import _checks
from memjax.data.stories import Example, tokenize
from memjax.data.streams import StreamQuestion
from memjax.data.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True, eq=False)
class Prompts:
    """Q prompts and what is to follow them, as padded int32 arrays of token ids; 0 = padding.

    Args:
        prompts: int32 `[Q, J]`, statements and question, each followed by the mark of its end.
        replies: int32 `[Q, S]`, the words of the reply.
        answers: int32 `[Q, A]`, the words of the answer, which a right reply holds.
    """

    prompts: np.ndarray
    replies: np.ndarray
    answers: np.ndarray


def reply_words(example: Example | StreamQuestion) -> list[str]:
    """The words of the answer as a sentence; of the answer itself where the corpus has no sentences.

    Example:
        >>> reply_words(Example((), "Where is Joe?", ("office",), (), "He is in the office"))
        ['he', 'is', 'in', 'the', 'office']
        >>> reply_words(Example((), "Where is Joe?", ("office",), ()))
        ['office']
    """
    return tokenize(example.response or " ".join(example.answers))


def encode_prompts(
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    *,
    statements: int,
    marks: bool = True,
    sentences: bool = False,
    multiple: int = 1,
) -> Prompts:
    """Turns examples into prompts of a language model that has no memory.

    Args:
        examples: Q examples.
        vocabulary: words outside it become `UNKNOWN`; the mark is the id after its last word.
        statements: how many of the latest statements are read.
        marks: whether a mark follows each statement; without, one follows the last, as in a stream of words.
        sentences: whether replies are sentences (`reply_words`) or the words of the answers.
        multiple: of which the width of the prompts is one, so that like corpora share programs.

    Example:
        >>> example = Example(("Joe left.", "Fred left."), "Who left?", ("Fred",), ())
        >>> encoded = encode_prompts([example], Vocabulary(("fred", "left", "who")), statements=1)
        >>> encoded.prompts.tolist(), encoded.replies.tolist()
        ([[2, 3, 5, 4, 3, 5]], [[2]])

    Reference: Weston et al. 2015, section 5.2 (RNN and LSTM baselines).
    Departs from the paper: the latest statements in place of all of the past, cut off where back-propagation would be.
    """
    _checks.positive("statements", statements)
    _checks.positive("multiple", multiple)
    end, ids = len(vocabulary), lambda text: vocabulary.encode(tokenize(text))
    of_text: dict[str, list[int]] = {}
    prompts = []
    for example in examples:
        row: list[int] = []
        told = example.statements[-statements:]
        for number, text in enumerate(told, start=1):
            if text not in of_text:
                of_text[text] = ids(text)
            row += of_text[text] + [end] * (marks or number == len(told))
        prompts.append(row + ids(example.question) + [end])
    answers = [ids(" ".join(example.answers)) for example in examples]
    replies = encode_replies(examples, vocabulary) if sentences else _pad(answers)
    return Prompts(_pad(prompts, multiple), replies, _pad(answers))


def encode_replies(examples: Sequence[Example], vocabulary: Vocabulary) -> np.ndarray:
    """The token ids of `reply_words`, int32 `[Q, S]`; 0 = padding."""
    return _pad([vocabulary.encode(reply_words(example)) for example in examples])


def _pad(rows: list[list[int]], multiple: int = 1) -> np.ndarray:
    """Returns `rows` as int32, padded at the end with 0 to the longest, rounded up."""
    width = -(-max(map(len, rows), default=1) // multiple) * multiple
    return np.array([row + [0] * (width - len(row)) for row in rows], np.int32).reshape(len(rows), width)
