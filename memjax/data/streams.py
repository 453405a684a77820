# SPDX-License-Identifier: Apache-2.0
"""Streams: statements told as words without a break, and questions asked on the way; from segments to examples."""

import bisect
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from memjax.data.stories import Example, tokenize
from memjax.data.vocabulary import Vocabulary

#: What stands between two statements. `tokenize` drops marks: "." leaves nothing, and ", and then" two words.
CONNECTIVES = (".", "and", "then", ", then", ";", ", later", ", after that", ", and then", ", next")


@dataclasses.dataclass(frozen=True)
class StreamQuestion:
    """A question asked at a place in a stream.

    Args:
        told: how many statements were told before it.
        question: raw text.
        answers: words of the answer in order.
        supports: indices of statements of the stream, in the order of the hops.
        response: the answer as a sentence.
    """

    told: int
    question: str
    answers: tuple[str, ...]
    supports: tuple[int, ...]
    response: str = ""


@dataclasses.dataclass(frozen=True)
class Stream:
    """Words told one after the other, and questions asked on the way.

    Args:
        words: the T words, lower case, without marks.
        starts: for each statement, the number of words told before it; the words that join it to the one before lie
            between. Known in training only.
        ends: likewise, the number of words told when it is over.
        questions: in the order they are asked.
        window: statements that a question sees, the latest.

    Example:
        >>> stream = join(["Joe went to the office", "Fred left"], ["and then"], [])
        >>> stream.words
        ('joe', 'went', 'to', 'the', 'office', 'and', 'then', 'fred', 'left')
        >>> stream.starts, stream.ends
        ((0, 7), (5, 9))

    Reference: Weston et al. 2015, section 3.2 and Appendix A.
    Departs from the paper: marks are no words of the stream, so that nothing shows where a statement ends.
    """

    words: tuple[str, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    questions: tuple[StreamQuestion, ...]
    window: int = 128

    def __len__(self) -> int:
        """The number of questions, Q."""
        return len(self.questions)

    def token_lists(self) -> Iterator[Sequence[str]]:
        """Gives the words of the stream, of questions and of answers, for `Vocabulary.build`."""
        yield self.words
        for question in self.questions:
            for text in (question.question, *question.answers):
                yield tokenize(text)


def join(
    statements: Sequence[str], connectives: Sequence[str], questions: Iterable[StreamQuestion], window: int = 128
) -> Stream:
    """Joins statements to a stream; `Stream` has an example.

    Args:
        statements: raw text.
        connectives: what stands between each two of them, one fewer than statements.
        questions: asked on the way.
        window: statements that a question sees.

    Raises:
        ValueError: if there are not as many connectives as places for them.
    """
    if len(connectives) != max(len(statements) - 1, 0):
        raise ValueError(
            f"connectives: expected {max(len(statements) - 1, 0)}, one between each two statements, "
            f"got {len(connectives)}"
        )
    words: list[str] = []
    starts, ends = [], []
    for connective, statement in zip(("", *connectives), statements, strict=False):
        words += tokenize(connective)
        starts.append(len(words))
        words += tokenize(statement)
        ends.append(len(words))
    return Stream(tuple(words), tuple(starts), tuple(ends), tuple(questions), window)


def breaks(stream: Stream) -> list[int]:
    """Where a listener can know that a statement is over: at its first words that are a statement told elsewhere.

    "Joe left the milk" may go on with "there". No one who hears word by word can tell, so what goes on belongs to the
    next segment. Bags of words are compared.

    Args:
        stream: gives the statements.

    Returns:
        For each statement, the number of words told there.

    Example:
        >>> breaks(join(["Joe left the milk", "Joe left the milk there", "Fred sat"], ["", "then"], []))
        [4, 8, 12]
    """
    spans = list(zip(stream.starts, stream.ends, strict=True))
    known = {tuple(sorted(stream.words[start:end])) for start, end in spans}

    def first(start: int, end: int) -> int:
        return next(stop for stop in range(start + 1, end + 1) if tuple(sorted(stream.words[start:stop])) in known)

    return [first(start, end) if start < end else end for start, end in spans]


def owners(spans: Sequence[int], others: Sequence[int]) -> list[int]:
    """For each span of words the other span that holds most of it, the first of equals; -1 where none holds any.

    Args:
        spans: where each span ends; it begins where the one before ends, the first one at 0.
        others: likewise.

    Example:
        >>> owners([5, 9], [4, 9])
        [0, 1]
        >>> owners([5, 9], [4])
        [0, -1]
    """
    found = []
    for start, end in zip((0, *spans), spans, strict=False):
        best, most = -1, 0
        for i in range(bisect.bisect_right(others, start), len(others)):
            low = others[i - 1] if i else 0
            if low >= end:
                break
            if min(end, others[i]) - max(start, low) > most:
                best, most = i, min(end, others[i]) - max(start, low)
        found.append(best)
    return found


def cut(stream: Stream, ends: Sequence[int]) -> tuple[Example, ...]:
    """Turns a stream that was cut into segments into examples whose statements are segments.

    Args:
        stream: words and questions.
        ends: for each segment, the number of words told when it is over; ascending.

    Returns:
        An example for each question. Its statements are the last `stream.window` segments that were over when it was
        asked; its supports the segments that hold most of each supporting statement, none where one of them is not
        there.

    Example:
        >>> asked = StreamQuestion(2, "Who left?", ("fred",), (1,))
        >>> stream = join(["Joe went to the office", "Fred left"], ["and then"], [asked])
        >>> cut(stream, [4, 9])
        (Example(statements=('joe went to the', 'office and then fred left'), question='Who left?', answers=('fred',), \
supports=(1,), response=''),)
    """
    texts = [" ".join(stream.words[start:end]) for start, end in zip((0, *ends), ends, strict=False)]
    segment_of = owners(stream.ends, ends)
    examples = []
    for asked in stream.questions:
        words = stream.ends[asked.told - 1] if asked.told else 0
        over = bisect.bisect_right(ends, words)
        first = max(0, over - stream.window)
        supports = tuple(segment_of[i] - first for i in asked.supports)
        if not all(0 <= support < over - first for support in supports):
            supports = ()
        examples.append(Example(tuple(texts[first:over]), asked.question, asked.answers, supports, asked.response))
    return tuple(examples)


def agreement(stream: Stream, ends: Sequence[int]) -> dict[str, float]:
    """How well segments agree with the statements that were told.

    Args:
        stream: gives the statements.
        ends: as in `cut`.

    Returns:
        `boundaries`: F1 of the places where a segment and a statement end. `statements`: the share of statements with
        one segment, and one only, that holds most of it and little else. A statement whose last word came into the
        next segment counts here, and not there.

    Example:
        >>> stream = join(["Joe took the milk there", "Fred left it"], ["and then"], [])
        >>> agreement(stream, [4, 10]), agreement(stream, [10])
        ({'boundaries': 0.5, 'statements': 1.0}, {'boundaries': 0.66..., 'statements': 0.0})
    """
    right = len(set(ends) & set(stream.ends))
    statement_of, segment_of = owners(ends, stream.ends), owners(stream.ends, ends)
    segments, statements = Counter(statement_of), Counter(segment_of)
    alone = [
        segment >= 0 and statement_of[segment] == i and segments[i] == 1 and statements[segment] == 1
        for i, segment in enumerate(segment_of)
    ]
    return {
        "boundaries": 2 * right / max(len(ends) + len(stream.ends), 1),
        "statements": sum(alone) / max(len(alone), 1),
    }


def encode_segments(stream: Stream, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """The statements that support an answer, and what follows each, as padded token ids: what a segmenter learns from.

    Args:
        stream: gives statements and questions.
        vocabulary: words outside it become `UNKNOWN`.

    Returns:
        int32 `[M, S]` twice: each supporting statement once, from the break before it to its own (`breaks`); and the
        statement after it, likewise, empty at the end of the stream.

    Example:
        >>> asked = StreamQuestion(2, "Who left?", ("fred",), (1,))
        >>> stream = join(["Joe sat", "Fred left"], ["and"], [asked])
        >>> segments, following = encode_segments(stream, Vocabulary(("fred", "joe", "left", "sat")))
        >>> segments.tolist(), following.tolist()
        ([[1, 2, 4]], [[0, 0, 0]])
    """
    ids = vocabulary.encode(stream.words)
    ends = breaks(stream)
    rows = [ids[start:end] for start, end in zip((0, *ends), ends, strict=False)] + [[]]
    chosen = sorted({i for question in stream.questions for i in question.supports})
    width = max(map(len, rows))

    def padded(indices: Iterable[int]) -> np.ndarray:
        return np.array([rows[i] + [0] * (width - len(rows[i])) for i in indices], np.int32).reshape(len(chosen), width)

    return padded(chosen), padded(i + 1 for i in chosen)
