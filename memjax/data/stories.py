# SPDX-License-Identifier: Apache-2.0
"""Examples of question answering: as text, and as the padded arrays that models read."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from memjax.data.vocabulary import Vocabulary

_MARKS = str.maketrans({".": None, "?": None, "!": None, ",": " ", ";": " "})


def tokenize(text: str) -> list[str]:
    """Splits a sentence into lower-case words; `.`, `?` and `!` are dropped, `,` and `;` separate, articles stay.

    Args:
        text: a statement, a question or an answer.

    Returns:
        The words, in order.

    Example:
        >>> tokenize("Frodo journeyed to Mount-Doom, then where ?")
        ['frodo', 'journeyed', 'to', 'mount-doom', 'then', 'where']

    Reference: Weston et al. 2015, section 3.1 (bags of words).
    Departs from the paper: nothing; the paper leaves the tokenisation open.
    """
    return text.lower().translate(_MARKS).split()


@dataclasses.dataclass(frozen=True)
class Example:
    """A question, what was told before it, and its answer.

    Args:
        statements: what was told before the question, oldest first, raw text.
        question: raw text.
        answers: words of the answer in order; one in most corpora.
        supports: indices into `statements`, in the order of the hops; () where unknown.
        response: the answer as a sentence, where the corpus has one.

    Example:
        >>> example = Example(("Joe went to the office.", "Fred left."), "Where is Joe?", ("office",), (0,))
        >>> example.statements[example.supports[0]]
        'Joe went to the office.'

    Reference: Weston et al. 2015, section 3.1 (x, m_i, m_o1, m_o2, r).
    """

    statements: tuple[str, ...]
    question: str
    answers: tuple[str, ...]
    supports: tuple[int, ...]
    response: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Stories:
    """A corpus of Q questions as padded int32 arrays; a story is rows of one table of M different sentences.

    Args:
        sentences: int32 `[M, S]`, token ids of each different sentence once; 0 = padding. Row 0 is the empty sentence.
        slots: int32 `[Q, N]`, rows of `sentences` in the order told, from slot 0 on; -1 = empty.
        questions: int32 `[Q, S]`, token ids; 0 = padding.
        supports: int32 `[Q, P]`, slots in the order of the hops; -1 = none.
        answers: int32 `[Q, A]`, token ids; 0 = padding.

    Example:
        >>> example = Example(("Joe went to the office.", "Joe left."), "Where is Joe?", ("office",), (0,))
        >>> stories = encode([example], Vocabulary.build(token_lists([example])))
        >>> stories.sentences.tolist()
        [[0, 0, 0, 0, 0], [3, 8, 7, 6, 5], [3, 4, 0, 0, 0]]
        >>> stories.slots.tolist(), stories.supports.tolist(), stories.answers.tolist(), len(stories)
        ([[1, 2]], [[0]], [[5]], 1)

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: nothing; a sentence told many times is embedded once and gathered to its slots.
    """

    sentences: np.ndarray
    slots: np.ndarray
    questions: np.ndarray
    supports: np.ndarray
    answers: np.ndarray

    def __len__(self) -> int:
        """The number of questions, Q."""
        return len(self.questions)

    def take(self, indices: Sequence[int] | np.ndarray | slice) -> "Stories":
        """Returns the chosen questions over the same table of sentences.

        Args:
            indices: int `[K]` in [0, Q), bool `[Q]`, or a slice.
        """
        chosen = indices if isinstance(indices, slice) else np.asarray(indices)
        if isinstance(chosen, np.ndarray) and chosen.size == 0:
            chosen = chosen.astype(np.int32)  # An empty list would be float, which is no index.
        return Stories(
            self.sentences, self.slots[chosen], self.questions[chosen], self.supports[chosen], self.answers[chosen]
        )


def token_lists(examples: Iterable[Example]) -> Iterator[list[str]]:
    """Gives the words of each different statement, question and answer, for `Vocabulary.build`.

    Args:
        examples: the examples; their `response` is left out, whose words are no answers.

    Example:
        >>> list(token_lists([Example(("Joe left.",), "Who left?", ("Joe",), ())]))
        [['joe', 'left'], ['who', 'left'], ['joe']]
    """
    seen: set[str] = set()
    for example in examples:
        for text in (*example.statements, example.question, *example.answers):
            if text not in seen:
                seen.add(text)
                yield tokenize(text)


def _size(name: str, given: int | None, needed: int, what: str) -> int:
    """Returns the size of an axis: the one given, else the one needed, and at least 1."""
    if given is None:
        return max(needed, 1)
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < max(needed, 1):
        raise ValueError(
            f"{name}: expected an integer of at least {max(needed, 1)} ({what}), got {given!r}; "
            "pass a larger size, or None to let the examples decide, or cut the examples"
        )
    return int(given)


def _pad(rows: Sequence[Sequence[int]], num_rows: int, width: int, value: int) -> np.ndarray:
    """Returns `rows` as int32 `[num_rows, width]`, padded at the end with `value`."""
    array = np.full((num_rows, width), value, np.int32)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array


def _longest(rows: Iterable[Sequence[int]]) -> int:
    return max(map(len, rows), default=0)


def encode(
    examples: Iterable[Example],
    vocabulary: Vocabulary,
    *,
    num_slots: int | None = None,
    num_words: int | None = None,
    num_sentences: int | None = None,
    num_supports: int | None = None,
    num_answers: int | None = None,
) -> Stories:
    """Turns examples into padded arrays of token ids.

    Each size that is None is the smallest that holds the examples, and at least 1. Give sizes to make two corpora
    alike, so that they share one compiled program.

    Args:
        examples: Q examples.
        vocabulary: words outside it become `UNKNOWN`; `vocabulary.unknown` lists them.
        num_slots: N, statements of an example.
        num_words: S, words of a sentence or a question.
        num_sentences: M, different sentences (after encoding), the empty one included.
        num_supports: P, supports of an example.
        num_answers: A, words of an answer.

    Returns:
        The arrays; see `Stories`, which has an example.

    Raises:
        ValueError: if a size is too small, or if a support is no statement of its example.

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: nothing.
    """
    rows: dict[tuple[int, ...], int] = {(): 0}  # Insertion order is the order of the rows.
    row_of_text: dict[str, int] = {}
    slots, questions, supports, answers = [], [], [], []
    for i, example in enumerate(examples):
        for text in example.statements:
            if text not in row_of_text:
                row_of_text[text] = rows.setdefault(tuple(vocabulary.features(tokenize(text))), len(rows))
        for support in example.supports:
            if not 0 <= support < len(example.statements):
                raise ValueError(
                    f"examples[{i}].supports: expected indices from 0 to {len(example.statements) - 1}, the example's "
                    f"statements, got {support}; count statements from 0 and leave questions out"
                )
        slots.append([row_of_text[text] for text in example.statements])
        questions.append(vocabulary.features(tokenize(example.question)))
        supports.append(example.supports)
        answers.append(vocabulary.encode(word for text in example.answers for word in tokenize(text)))
    n = _size("num_slots", num_slots, _longest(slots), "most statements of an example")
    s = _size("num_words", num_words, max(_longest(rows), _longest(questions)), "most words of a sentence or question")
    m = _size("num_sentences", num_sentences, len(rows), "different sentences, the empty one included")
    p = _size("num_supports", num_supports, _longest(supports), "most supports of an example")
    a = _size("num_answers", num_answers, _longest(answers), "most words of an answer")
    return Stories(
        sentences=_pad(list(rows), m, s, 0),
        slots=_pad(slots, len(slots), n, -1),
        questions=_pad(questions, len(slots), s, 0),
        supports=_pad(supports, len(slots), p, -1),
        answers=_pad(answers, len(slots), a, 0),
    )
