# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.vectors`."""

import gzip
import tracemalloc

import numpy as np
import pytest

from memjax.data import read_vectors
from memjax.data.vectors import vector_words
from memjax.errors import DataError

FILE = "the 1 -0.5\nDog 2e-1 3\ndog 0.25 4\nname @ example 7 7\n\ncaf\u00e9 5 6 \n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_found_words_have_their_rows(path):
    vectors = read_vectors(path, ["caf\u00e9", "Dog", "fyce", "DOG", "the", "name"])
    assert vectors.values.dtype == np.float32 and vectors.values.shape == (6, 2)
    assert vectors.found.tolist() == [True, True, False, True, True, False]
    expected = np.array([[5, 6], [0.2, 3], [0.25, 4], [1, -0.5]], np.float32)
    assert np.array_equal(vectors.values[vectors.found], expected)


def test_a_gzip_is_read(tmp_path, path):
    packed = tmp_path / "vectors.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(read_vectors(packed, ["the", "dog"]).values, read_vectors(path, ["the", "dog"]).values)


def test_missing_words_are_random(path):
    words = ["the", "dog", *(f"w{i}" for i in range(4_000))]
    first = read_vectors(path, words, seed=1)
    assert np.array_equal(first.values, read_vectors(path, words, seed=1).values)
    assert not np.array_equal(first.values, read_vectors(path, words, seed=2).values)
    assert first.values[~first.found].std() == pytest.approx(first.values[:2].std(), rel=0.05)
    assert read_vectors(path, words, deviation=1.0).values[2:].std() == pytest.approx(1, rel=0.05)
    assert not read_vectors(path, words, deviation=0.0).values[2:].any()


def test_missing_words_are_made_of_those_around_them(path):
    words = ["the", "dog", "x", "y", "z"]
    sentences = [["x", "the"], ["x", "dog", "x", "out", "y"], ["the", "dog"], ["z", "out"]]
    vectors = read_vectors(path, words, missing="neighbours", sentences=iter(sentences))
    the, dog, x, y, z = vectors.values
    assert np.allclose(x, (the + 2 * dog) / 3) and np.allclose(y, dog)
    assert np.array_equal(z, read_vectors(path, words).values[4])
    assert vectors.found.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("", None, "expected at least one vector, got an empty file"),
        ("4 2\nthe 1 2\n", 1, "got the header '4 2' of word2vec; remove it"),
        ("the\n", 1, "expected a word and its numbers between spaces, got 'the'"),
        ("the dog 1\n", 1, "expected a word and its numbers between spaces"),
        ("the 1 2\ndog 1\n", 2, "expected a word and 2 numbers, as in the first line, got 1"),
        ("the 1 2\ndog 1 2 3\n", 2, "expected a word and 2 numbers, as in the first line, got 3"),
        ("the 1 2\na 3 4\nthe 1 2\n", 3, "expected each word once, got 'the' again after line 1; remove one"),
        ("a 1 2\nthe 1 nan\n", 2, "expected finite numbers after the word, got 'nan'"),
        ("a 1 2\nthe -inf 1\n", 2, "expected finite numbers after the word, got '-inf'"),
        ("a 1 2\nthe 1 1e99\n", 2, "expected finite numbers after the word, got '1e99'"),
        ("a 1 2\nthe 1 x\n", 2, "expected finite numbers after the word, got 'x'"),
        ("a 1 2\nthe 1  2\n", 2, "expected one space between numbers, got two"),
        ("a 1 2\nthe  1 2\n", 2, "expected one space between numbers, got two"),
        ("a 1 2\nthe 1 1_0\n", 2, "expected finite numbers after the word, got '1_0'"),
        ("a 1 2\n", None, "expected vectors for some of 1 words, got none"),
    ],
)
def test_files_that_read_otherwise_name_the_line(tmp_path, content, line, message):
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as error:
        read_vectors(path, ["the"])
    assert error.value.line == line


def test_what_is_not_wanted_is_neither_checked_nor_held(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_bytes(b"the 1 2\n\xff 1 2\n\xff 1 2\na x nan\n" + b"".join(b"w%d 1 2\n" % i for i in range(5_000)))
    tracemalloc.start()
    vectors = read_vectors(path, ["the"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert vectors.values.tolist() == [[1, 2]] and peak < 100_000


def test_the_words_of_an_empty_file(tmp_path):
    (tmp_path / "vectors.txt").write_text("\n")
    with pytest.raises(DataError, match="expected at least one vector, got an empty file"):
        vector_words(tmp_path / "vectors.txt", 3)


def test_bad_arguments(path):
    with pytest.raises(ValueError, match=r"missing: expected one of \['random', 'neighbours'\], got 'zeros'"):
        read_vectors(path, ["the"], missing="zeros")


@pytest.mark.thorough
def test_the_vectors_at_hand(data_dir):
    path = data_dir / "glove/glove.6B.50d.first9163.txt.gz"
    if not path.is_file():
        pytest.skip("needs GloVe: set MEMJAX_DATA to a folder that holds glove/")
    vectors = read_vectors(path, ["the", "The", "(", "n't", "<unk>"])
    assert vectors.values.shape == (5, 50) and vectors.found.tolist() == [True, True, True, True, False]
    assert vectors.values[0, 0] == np.float32(0.418)
