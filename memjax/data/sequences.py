# SPDX-License-Identifier: Apache-2.0
"""Sequences of words as padded arrays: buckets of like lengths, batches of few shapes, windows over a stream.

What is compiled is compiled once a shape. A bucket holds sequences of like length, and each batch is padded to the
longest length of one bucket: K buckets give at most K shapes, and little padding.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from memjax import _checks
from memjax.data.vocabulary import Vocabulary
from memjax.typing import PAD

Integers = Sequence[int] | np.ndarray

#: An array of more token ids than this (256 MiB) must not be almost all padding: cells for each of its words, at most.
MAX_CELLS, MAX_PADDING = 1 << 26, 32


@dataclasses.dataclass(frozen=True, eq=False)
class Sequences:
    """Q sequences of token ids, padded at the end.

    Args:
        tokens: int32 `[Q, T]`, token ids; 0 = padding.
        lengths: int32 `[Q]`, the token ids of each.
    """

    tokens: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        """The number of sequences, Q."""
        return len(self.tokens)

    def take(self, rows: Integers, num_steps: int | None = None) -> "Sequences":
        """Returns the chosen sequences.

        Args:
            rows: int `[K]` in [0, Q), or -1 for a sequence of no tokens, which fills up a batch.
            num_steps: T of what is returned; as it is by default.

        Raises:
            ValueError: if a chosen sequence is longer.

        Example:
            >>> chosen = encode_sequences([["a"], ["b", "a", "b"]], Vocabulary(("a", "b"))).take([0, -1], 2)
            >>> chosen.tokens.tolist(), chosen.lengths.tolist()
            ([[2, 0], [0, 0]], [1, 0])
        """
        chosen = np.asarray(rows, np.int32)
        width = self.tokens.shape[1] if num_steps is None else num_steps
        lengths = np.where(chosen < 0, 0, self.lengths[chosen]).astype(np.int32)
        if lengths.size and lengths.max() > width:
            raise ValueError(f"num_steps: expected at least {lengths.max()}, the longest chosen, got {width}")
        tokens = np.full((len(chosen), width), PAD, np.int32)
        kept = min(width, self.tokens.shape[1])
        tokens[:, :kept] = np.where(chosen[:, None] < 0, PAD, self.tokens[chosen, :kept])
        return Sequences(tokens, lengths)


def encode_sequences(token_lists: Iterable[Iterable[str]], vocabulary: Vocabulary) -> Sequences:
    """Turns lists of words into one padded array of token ids.

    Args:
        token_lists: Q lists of words.
        vocabulary: words outside it become `UNKNOWN`; `vocabulary.unknown` lists them.

    Raises:
        ValueError: if the array would be almost all padding, and large: some list is far longer than the others.

    Example:
        >>> sequences = encode_sequences([["a"], ["b", "c"]], Vocabulary(("a", "b")))
        >>> sequences.tokens.tolist(), sequences.lengths.tolist()
        ([[2, 0], [3, 1]], [1, 2])
    """
    rows = [vocabulary.encode(words) for words in token_lists]
    lengths = np.array([len(row) for row in rows], np.int32)
    longest = max(int(lengths.max(initial=0)), 1)
    if longest * len(rows) > max(MAX_CELLS, MAX_PADDING * int(lengths.sum(dtype=np.int64))):
        raise ValueError(
            f"token_lists: expected lists of like lengths, got one of {longest} words, number "
            f"{int(lengths.argmax()) + 1} of {len(rows)}, where the mean is {lengths.mean():.0f}; "
            "divide long lines into sentences"
        )
    tokens = np.full((len(rows), longest), PAD, np.int32)
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = [token for row in rows for token in row]
    return Sequences(tokens, lengths)


@dataclasses.dataclass(frozen=True, eq=False)
class Buckets:
    """Sequences sorted into K buckets by length.

    Args:
        boundaries: int32 `[K]`, rising: the length that sequences of each bucket are padded to.
        of: int32 `[Q]`, the bucket of each sequence.
    """

    boundaries: np.ndarray
    of: np.ndarray


def bucket_lengths(lengths: Integers, buckets: int | Integers = 8) -> Buckets:
    """Sorts sequences into buckets.

    For pairs, give the longer length of each pair, and pad both to it: on SNLI, up to eight shapes, this pads no more
    than a grid of buckets of either length.

    Args:
        lengths: int `[Q]`.
        buckets: K, whose boundaries are then those with the least padding of all; or the boundaries themselves, int
            `[K]`, rising, so that other sequences share their shapes.

    Returns:
        The buckets; fewer than K where there are fewer different lengths.

    Raises:
        ValueError: if there are no lengths, or the boundaries do not rise or do not hold the longest.

    Example:
        >>> buckets = bucket_lengths([1, 9, 2, 2, 8], 2)
        >>> buckets.boundaries.tolist(), buckets.of.tolist()
        ([2, 9], [0, 1, 0, 0, 1])
        >>> bucket_lengths([3, 7], buckets.boundaries).of.tolist()
        [1, 1]
    """
    needed = np.asarray(lengths)
    if needed.ndim != 1 or not len(needed):
        raise ValueError(f"lengths: expected at least one, [Q], got shape {needed.shape}")
    needed = np.maximum(needed, 1)  # No array without steps.
    if isinstance(buckets, Sequence | np.ndarray):
        boundaries = np.asarray(buckets, np.int32)
        if not np.all(np.diff(boundaries) > 0) or not len(boundaries) or boundaries[-1] < needed.max():
            raise ValueError(
                f"buckets: expected rising boundaries up to {needed.max()} or more, the longest length, "
                f"got {boundaries.tolist()}; sort them, or add {needed.max()}"
            )
    else:
        _checks.positive("buckets", buckets)
        boundaries = _boundaries(needed, int(buckets))
    return Buckets(boundaries, np.searchsorted(boundaries, needed).astype(np.int32))


def _boundaries(lengths: np.ndarray, num_buckets: int) -> np.ndarray:
    """The boundaries with the least padding: of each number of buckets up to each length, from those of one fewer."""
    values, counts = np.unique(lengths, return_counts=True)
    ends = np.concatenate([[0], values]).astype(np.float64)
    before = np.concatenate([[0], np.cumsum(counts)])
    # cells[i, j]: those of a bucket of the lengths after the i-th, up to the j-th.
    cells = np.where(np.tri(len(ends), dtype=bool), np.inf, ends * (before - before[:, None]))
    least = np.where(np.arange(len(ends)) == 0, 0, np.inf)
    choices = []
    for _ in range(min(num_buckets, len(values))):
        totals = least[:, None] + cells
        choices.append(totals.argmin(0))
        least = totals.min(0)
    last, found = len(values), []
    for choice in reversed(choices):
        found.append(values[last - 1])
        last = choice[last]
    return np.array(found[::-1], np.int32)


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Which sequences one step reads, and how far they are padded.

    Args:
        rows: int32 `[B]`, sequences; -1 = none.
        num_steps: T, the boundary of their bucket.
    """

    rows: np.ndarray
    num_steps: int


def plan_batches(buckets: Buckets, batch_size: int, *, seed: int | None = None, epoch: int = 0) -> list[Batch]:
    """Cuts an epoch into batches, each padded to the boundary of one bucket.

    What is left of a bucket goes with the next longer one, so that all batches are full but one: there are as many as
    without buckets. That one, of the longest sequences, is filled up with -1.

    Args:
        buckets: K buckets of Q sequences.
        batch_size: B.
        seed: of the order within buckets and of the batches; None: as they stand, the shortest first.
        epoch: each has an order of its own, which is the same whenever it is asked for.

    Returns:
        The ceil(Q / B) batches; each sequence is in one of them, once.

    Raises:
        ValueError: if a size is not positive.

    Example:
        >>> for batch in plan_batches(bucket_lengths([1, 9, 2, 2, 8], 2), 2):
        ...     print(batch.rows.tolist(), batch.num_steps)
        [0, 2] 2
        [3, 1] 9
        [4, -1] 9
    """
    _checks.positive("batch_size", batch_size)
    size = int(batch_size)
    random = None if seed is None else np.random.default_rng([seed, epoch])
    batches = []
    rest = np.zeros(0, np.int32)
    for number, boundary in enumerate(buckets.boundaries):
        rows = np.flatnonzero(buckets.of == number).astype(np.int32)
        rows = np.concatenate([rest, rows if random is None else random.permutation(rows)])
        full = len(rows) // size * size
        batches += [Batch(chosen, int(boundary)) for chosen in rows[:full].reshape(-1, size)]
        rest = rows[full:]
    if len(rest):
        filled = np.concatenate([rest, np.full(size - len(rest), -1, np.int32)])
        batches.append(Batch(filled, int(buckets.boundaries[buckets.of[rest].max()])))
    return batches if random is None else [batches[i] for i in random.permutation(len(batches))]


def padding_share(lengths: Sequence[int] | Sequence[Sequence[int]] | np.ndarray, batches: Sequence[Batch]) -> float:
    """The share of an epoch's cells that are padding, of rows that are -1 as well.

    Args:
        lengths: int `[Q]`; for pairs `[Q, 2]`, both padded to the same length.
        batches: as `plan_batches` gives them.

    Example:
        >>> lengths = [1, 9, 2, 2, 8]
        >>> [round(padding_share(lengths, plan_batches(bucket_lengths(lengths, k), 1)), 2) for k in (1, 2)]
        [0.51, 0.08]
    """
    table = np.asarray(lengths).reshape(len(lengths), -1)  # [Q, 1] or [Q, 2]
    cells = sum(len(batch.rows) * batch.num_steps * table.shape[1] for batch in batches)
    words = sum(int(table[batch.rows[batch.rows >= 0]].sum()) for batch in batches)
    return 1 - words / cells


def next_words(sentences: Sequences, mark: int) -> tuple[Sequences, Sequences]:
    """What a language model reads and is to say next, sentence by sentence: each is read from its mark to its mark.

    Args:
        sentences: Q sentences of at most T words.
        mark: token id of the end of a sentence, which is read in front of the first word too.

    Returns:
        Inputs and targets, `[Q, T + 1]`, with the same lengths.

    Example:
        >>> inputs, targets = next_words(encode_sequences([["a"], ["a", "b"]], Vocabulary(("a", "b", "<eos>"))), 4)
        >>> inputs.tokens.tolist(), targets.tokens.tolist(), targets.lengths.tolist()
        ([[4, 2, 0], [4, 2, 3]], [[2, 4, 0], [2, 3, 4]], [2, 3])

    Reference: Cheng et al. 2016, section 5.1.
    Departs from the paper: nothing; the paper does not say whether sentences are read one by one or as a stream.
    """
    inputs = np.pad(sentences.tokens, ((0, 0), (1, 0)), constant_values=mark)
    targets = np.pad(sentences.tokens, ((0, 0), (0, 1)), constant_values=PAD)
    targets[np.arange(len(targets)), sentences.lengths] = mark
    lengths = sentences.lengths + np.int32(1)
    return Sequences(inputs, lengths), Sequences(targets, lengths)


def running_text(sentences: Sequences, mark: int) -> np.ndarray:
    """The sentences as one stream of words, with a mark after each.

    Args:
        sentences: in their order.
        mark: token id of the end of a sentence.

    Returns:
        int32 `[Q]`, without padding.

    Example:
        >>> running_text(encode_sequences([["a"], ["a", "b"]], Vocabulary(("a", "b", "<eos>"))), 4).tolist()
        [2, 4, 2, 3, 4]
    """
    _, ended = next_words(sentences, mark)
    return ended.tokens[ended.tokens != PAD]


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """A stream of words as Q windows of T steps over B rows; each row goes on in the next window.

    Args:
        inputs: int32 `[Q, B, T]`, token ids; 0 = padding.
        targets: int32 `[Q, B, T]`, the next words; 0 = padding.
        lengths: int32 `[Q, B]`, T but at the ends of the rows.
    """

    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        """The number of windows, Q."""
        return len(self.inputs)


def windows(sentences: Sequences, mark: int, batch_size: int, num_steps: int, first: int = 0) -> Windows:
    """Cuts a corpus, read as one stream, into windows for truncated back-propagation.

    Args:
        sentences: the sentences in their order.
        mark: token id that follows each sentence; it stands in front of the first one too.
        batch_size: B, stretches of the stream that are read side by side.
        num_steps: T.
        first: the sentence that the stream begins with; those before it come at its end. Where each epoch begins
            elsewhere, hardly two have the same windows.

    Returns:
        The windows; each word and each mark is a target once.

    Raises:
        ValueError: if a size is not positive, there are no sentences, or no such first one.

    Example:
        >>> cut = windows(encode_sequences([["a"], ["a", "b"]], Vocabulary(("a", "b", "<eos>"))), 4, 2, 2)
        >>> cut.inputs.tolist(), cut.targets.tolist(), cut.lengths.tolist()
        ([[[4, 2], [2, 3]], [[4, 0], [0, 0]]], [[[2, 4], [3, 4]], [[2, 0], [0, 0]]], [[2, 2], [1, 0]])

    Reference: Zaremba et al. 2014, "Recurrent Neural Network Regularization", section 4.1.
    Departs from the paper: no words are dropped at the ends, so that a perplexity is over all of them.
    """
    _checks.positive("batch_size", batch_size)
    _checks.positive("num_steps", num_steps)
    size, steps = int(batch_size), int(num_steps)
    if not len(sentences):
        raise ValueError("sentences: expected at least one, got none")
    if not 0 <= first < len(sentences):
        raise ValueError(f"first: expected one of {len(sentences)} sentences, from 0 on, got {first!r}")
    stream = running_text(sentences.take(np.roll(np.arange(len(sentences)), -first)), mark)
    row = -(-len(stream) // size)  # Words of a row.
    count = -(-row // steps)

    def cut(values: np.ndarray) -> np.ndarray:
        rows = np.pad(values, (0, size * row - len(values)), constant_values=PAD).reshape(size, row)
        rows = np.pad(rows, ((0, 0), (0, count * steps - row)), constant_values=PAD)
        return rows.reshape(size, count, steps).swapaxes(0, 1)  # [Q, B, T]

    inputs, targets = cut(np.concatenate([[mark], stream[:-1]]).astype(np.int32)), cut(stream)
    return Windows(inputs, targets, (targets != PAD).sum(-1, dtype=np.int32))
