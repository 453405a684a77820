# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.sequences`."""

import itertools

import numpy as np
import pytest

from memjax.data import (
    Vocabulary,
    bucket_lengths,
    encode_sequences,
    next_words,
    padding_share,
    plan_batches,
    windows,
)
from memjax.typing import PAD, UNKNOWN

WORDS = Vocabulary(("a", "b", "c", "<eos>"))
MARK = WORDS.encode(["<eos>"])[0]


def _lengths(seed, count=97, longest=40):
    return np.random.default_rng(seed).geometric(0.1, count).clip(0, longest) - (seed % 2)


def test_sequences_hold_the_ids_of_the_words():
    lists = [["a", "b"], [], ["c", "x", "a", "b"]]
    sequences = encode_sequences(iter(lists), WORDS)
    assert sequences.tokens.dtype == sequences.lengths.dtype == np.int32 and len(sequences) == 3
    assert sequences.tokens.tolist() == [[2, 3, PAD, PAD], [PAD] * 4, [4, UNKNOWN, 2, 3]]
    assert sequences.lengths.tolist() == [2, 0, 4]
    chosen = sequences.take([2, -1, 0], 6)
    assert chosen.tokens.tolist() == [[4, UNKNOWN, 2, 3, PAD, PAD], [PAD] * 6, [2, 3, PAD, PAD, PAD, PAD]]
    assert chosen.lengths.tolist() == [4, 0, 2] and chosen.tokens.dtype == np.int32
    assert sequences.take([0, 1], 2).tokens.tolist() == [[2, 3], [PAD, PAD]]
    with pytest.raises(ValueError, match="num_steps: expected at least 4, the longest chosen, got 3"):
        sequences.take([0, 2], 3)
    assert encode_sequences([], WORDS).tokens.shape == (0, 1)


@pytest.mark.parametrize("num_buckets", [1, 2, 3, 4])
def test_boundaries_pad_least(num_buckets):
    lengths = _lengths(num_buckets, 30, 9)
    got = bucket_lengths(lengths, num_buckets)
    values = np.unique(lengths.clip(1))
    best = min(
        sum(min(end for end in (*ends, values[-1]) if end >= length) for length in lengths)
        for ends in itertools.combinations(values[:-1], num_buckets - 1)
    )
    assert got.boundaries[got.of].sum() == best
    assert len(got.boundaries) == num_buckets and np.all(np.diff(got.boundaries) > 0)
    assert np.all(got.boundaries[got.of] >= lengths)
    lower = np.concatenate([[-1], got.boundaries])[got.of]
    assert np.all(lengths > lower)


def test_boundaries_of_other_sequences_are_kept():
    assert bucket_lengths([1, 1, 3], 8).boundaries.tolist() == [1, 3]
    assert bucket_lengths([0, 3, 2, 4], [2, 5]).of.tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match=r"expected rising boundaries up to 9 .* got \[2, 5\]; sort them, or add 9"):
        bucket_lengths([9], [2, 5])
    with pytest.raises(ValueError, match="expected rising boundaries"):
        bucket_lengths([1], [5, 2])
    with pytest.raises(ValueError, match="lengths: expected at least one"):
        bucket_lengths([])
    with pytest.raises(ValueError, match="buckets: expected an integer of at least 1, got 0"):
        bucket_lengths([1], 0)


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize(("count", "size"), [(97, 5), (96, 8), (3, 8), (1, 1)])
def test_each_sequence_is_in_one_batch(seed, count, size):
    lengths = _lengths(count, count)
    buckets = bucket_lengths(lengths, 4)
    batches = plan_batches(buckets, size, seed=seed, epoch=2)
    rows = np.concatenate([batch.rows for batch in batches])
    assert sorted(rows[rows >= 0]) == list(range(count))
    assert len(batches) == -(-count // size) and {batch.rows.shape for batch in batches} == {(size,)}
    assert {batch.num_steps for batch in batches} <= set(buckets.boundaries.tolist())
    assert sum(np.any(batch.rows < 0) for batch in batches) == (count % size > 0)
    for batch in batches:
        assert batch.rows.dtype == np.int32 and lengths[batch.rows[batch.rows >= 0]].max() <= batch.num_steps


def test_what_is_left_goes_with_the_next_bucket_only():
    batches = plan_batches(bucket_lengths([1, 1, 1, 2, 3, 3], [1, 2, 3, 9]), 2)
    assert [(batch.rows.tolist(), batch.num_steps) for batch in batches] == [([0, 1], 1), ([2, 3], 2), ([4, 5], 3)]
    batches = plan_batches(bucket_lengths([1, 1, 1], [1, 9]), 2)
    assert [(batch.rows.tolist(), batch.num_steps) for batch in batches] == [([0, 1], 1), ([2, -1], 1)]


def test_an_epoch_has_an_order_of_its_own():
    buckets = bucket_lengths(_lengths(3), 3)
    plans = [plan_batches(buckets, 4, seed=seed, epoch=epoch) for seed, epoch in ((5, 0), (5, 0), (5, 1), (6, 0))]
    orders = [[(*batch.rows.tolist(), batch.num_steps) for batch in plan] for plan in plans]
    assert orders[0] == orders[1] and orders[0] != orders[2] and orders[0] != orders[3]
    assert [batch.num_steps for batch in plans[0]] != sorted(batch.num_steps for batch in plans[0])
    with pytest.raises(ValueError, match="batch_size: expected an integer of at least 1, got 0"):
        plan_batches(buckets, 0)


def test_padding_share_counts_cells():
    lengths = _lengths(4)
    shares = [padding_share(lengths, plan_batches(bucket_lengths(lengths, k), 4, seed=0)) for k in (1, 2, 8)]
    assert shares[0] == pytest.approx(1 - lengths.sum() / (25 * 4 * lengths.max()))
    assert shares[0] > shares[1] > shares[2] > 0
    pairs = np.stack([lengths, lengths // 2], 1)
    plan = plan_batches(bucket_lengths(pairs.max(1), 2), 4, seed=0)
    cells = sum(2 * 4 * batch.num_steps for batch in plan)
    assert padding_share(pairs, plan) == pytest.approx(1 - pairs.sum() / cells)


def test_next_words():
    inputs, targets = next_words(encode_sequences([["a", "b"], [], ["c"]], WORDS), MARK)
    assert inputs.tokens.tolist() == [[MARK, 2, 3], [MARK, PAD, PAD], [MARK, 4, PAD]]
    assert targets.tokens.tolist() == [[2, 3, MARK], [MARK, PAD, PAD], [4, MARK, PAD]]
    assert inputs.lengths.tolist() == targets.lengths.tolist() == [3, 1, 2]
    assert inputs.tokens.dtype == targets.tokens.dtype == inputs.lengths.dtype == np.int32


@pytest.mark.parametrize(("size", "steps"), [(1, 1), (1, 3), (2, 2), (3, 4), (4, 50), (20, 3)])
def test_windows_hold_the_stream(size, steps):
    lists = [["a", "b"], ["c"], ["x", "a", "a", "b"], ["b"]]
    stream = [id_ for words in lists for id_ in (*WORDS.encode(words), MARK)]
    cut = windows(encode_sequences(lists, WORDS), MARK, size, steps)
    assert cut.inputs.shape == cut.targets.shape == (len(cut), size, steps)
    assert cut.inputs.dtype == cut.targets.dtype == cut.lengths.dtype == np.int32
    row = -(-len(stream) // size)
    for b in range(size):
        inputs, targets = cut.inputs[:, b].reshape(-1), cut.targets[:, b].reshape(-1)
        assert targets[targets != PAD].tolist() == stream[b * row : (b + 1) * row]
        assert inputs[targets != PAD].tolist() == ([MARK, *stream])[b * row : min((b + 1) * row, len(stream))]
        assert not inputs[targets == PAD].any()
    used = np.arange(steps) < cut.lengths[..., None]
    assert np.array_equal(cut.targets != PAD, used)


def test_windows_begin_with_another_sentence():
    lists = [["a", "b"], ["c"], ["x", "a"]]
    cut = windows(encode_sequences(lists, WORDS), MARK, 2, 3, first=1)
    again = windows(encode_sequences([*lists[1:], *lists[:1]], WORDS), MARK, 2, 3)
    assert cut.inputs.tolist() == again.inputs.tolist() and cut.targets.tolist() == again.targets.tolist()
    with pytest.raises(ValueError, match="first: expected one of 3 sentences, from 0 on, got 3"):
        windows(encode_sequences(lists, WORDS), MARK, 2, 3, first=3)


def test_windows_need_sizes_and_sentences():
    with pytest.raises(ValueError, match="num_steps: expected an integer of at least 1"):
        windows(encode_sequences([["a"]], WORDS), MARK, 1, 0)
    with pytest.raises(ValueError, match="sentences: expected at least one"):
        windows(encode_sequences([], WORDS), MARK, 1, 1)


def test_one_long_list_among_short_ones_is_refused(monkeypatch):
    monkeypatch.setattr("memjax.data.sequences.MAX_CELLS", 1000)
    vocabulary = Vocabulary(("a",))
    short, long = [["a"]] * 200, ["a"] * 300
    with pytest.raises(ValueError, match="got one of 300 words, number 201 of 201, where the mean is 2; divide long"):
        encode_sequences([*short, long], vocabulary)
    assert encode_sequences([*[["a"] * 30] * 200, long], vocabulary).tokens.shape == (201, 300)
