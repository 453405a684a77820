# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.ptb`."""

import gzip

import pytest

from memjax.data import ptb
from memjax.errors import DataError

TEXT = " the <unk> rose N N \n no it was n't\n\n"


@pytest.mark.parametrize("place", ["", "ptb", "simple-examples/data"])
def test_a_folder_is_read(tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ptb.train.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    (folder / "ptb.test.txt").write_text("yes\n")
    assert ptb.load(tmp_path, "train") == [("the", "<unk>", "rose", "N", "N"), ("no", "it", "was", "n't")]
    assert ptb.load(tmp_path, "test") == [("yes",)]
    with pytest.raises(
        DataError, match=r"holds the Penn Treebank, found no ptb.valid.txt \(or .gz\) in it, nor in ptb/"
    ):
        ptb.load(tmp_path, "valid")
    with pytest.raises(ValueError, match="split: expected one of"):
        ptb.load(tmp_path, "dev")


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        ("a.txt", b"", None, "expected at least one sentence, got an empty file"),
        ("a.txt", b"\n \n", None, "expected at least one sentence"),
        ("a.txt", b"<eos>\n", None, "expected at least one sentence"),
        ("a.txt", b"no\nit <eos> was\n", 2, "expected <eos> at the end of a line only"),
        ("a.txt", b"no\nit \xff was\n", 2, "expected UTF-8 text, got byte 0xff"),
        ("a.txt.gz", gzip.compress(TEXT.encode() * 99, mtime=0)[:-9], None, "expected a whole gzip file"),
        ("a.txt.gz", b"no\n", None, "expected a whole gzip file"),
    ],
)
def test_files_that_read_otherwise_are_refused(tmp_path, name, content, line, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        ptb.read(tmp_path / name)
    assert error.value.line == line and error.value.path.endswith(name)


def test_the_corpus_at_hand(data_dir):
    if not (data_dir / "ptb").is_dir():
        pytest.skip("needs the Penn Treebank: set MEMJAX_DATA to a folder that holds ptb/")
    valid, test = ptb.load(data_dir, "valid"), ptb.load(data_dir, "test")
    assert (len(valid), sum(map(len, valid))) == (3_370, 70_390)
    assert (len(test), sum(map(len, test))) == (3_761, 78_669)


@pytest.mark.thorough
def test_all_words_are_met_in_training(data_dir):
    if not (data_dir / "ptb").is_dir():
        pytest.skip("needs the Penn Treebank: set MEMJAX_DATA to a folder that holds ptb/")
    train = ptb.load(data_dir, "train")
    words = {word for sentence in train for word in sentence}
    assert (len(train), sum(map(len, train)), len(words)) == (42_068, 887_521, 9_999)
    assert words.issuperset(
        word for split in ("valid", "test") for words in ptb.load(data_dir, split) for word in words
    )


def test_a_mark_at_the_end_of_a_line_is_no_word(tmp_path):
    (tmp_path / "a.txt").write_text("the cat sat <eos>\n<eos>\nthe dog\n")
    assert ptb.read(tmp_path / "a.txt") == [("the", "cat", "sat"), ("the", "dog")]
