# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.babi`."""

import gzip
import os
import pathlib
import re
import tracemalloc

import pytest

from memjax.data import Example, _lines, babi
from memjax.errors import DataError

STORY = (
    "1 Mary moved to the office.\n"
    "2 Is Mary here? \tyes\t1\n"
    "3 John got the milk.\n"
    "4 Sandra left.\n"
    "5 What does she carry?\tMilk,Apple \t4 1\n"
    "1 Lily is a frog.\n"
    "2 Who is it?\tLily\t1\n"
)
PARSED = [
    Example(("Mary moved to the office.",), "Is Mary here?", ("yes",), (0,)),
    Example(
        ("Mary moved to the office.", "John got the milk.", "Sandra left."),
        "What does she carry?",
        ("milk", "apple"),
        (2, 0),
    ),
    Example(("Lily is a frog.",), "Who is it?", ("lily",), (0,)),
]


def _write(folder, content, name="qa1_story_train.txt"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["story.txt", "story.txt.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_read(tmp_path, name, end):
    assert babi.read(_write(tmp_path, STORY.replace("\n", end), name)) == PARSED


def test_read_without_supports_or_last_newline(tmp_path):
    path = _write(tmp_path, "1 Joe left.\n2 Who left?\tJoe")
    assert babi.read(path) == [Example(("Joe left.",), "Who left?", ("joe",), ())]


def test_blank_lines_are_passed_over(tmp_path):
    path = _write(tmp_path, "1 Joe left.\n\n2 Who left?\tJoe\n \n")
    assert babi.read(path) == [Example(("Joe left.",), "Who left?", ("joe",), ())]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("", None, "expected at least one question, got an empty file"),
        ("1 Joe left.\n", None, "expected at least one question, got none"),
        ("1 Joe left.\nJoe sat.\n", 2, "begins with its number and a space, got 'Joe sat.'"),
        ("-1 Joe left.\n", 1, "begins with its number"),
        ("9" * 5000 + " Joe left.\n", 1, r"begins with its number and a space, got '9{40}\.\.\.'"),
        ("1 \n", 1, "expected a statement after the number, got nothing"),
        ("1 Who left?\tJoe\t1\n", 1, "expected a statement before the first question of a story"),
        ("1 Joe left.\n2 Who?\tJoe\t1\n1 Who?\tJoe\t1\n", 3, "expected a statement before the first question"),
        ("1 Joe left.\n2 Who left?\t\t1\n", 2, "expected an answer after the question, .* got ''"),
        ("1 Joe left.\n2 Who left?\t.\t1\n", 2, "expected an answer after the question, .* got '.'"),
        ("1 Joe left.\n2 Who left?\tJoe,,Fred\t1\n", 2, "expected an answer after the question, .* got 'Joe,,Fred'"),
        ("1 Joe left.\n2 \tJoe\t1\n", 2, "expected a question before the tab"),
        ("1 Joe left.\n2 Who?\tJoe\t1\t1\n", 2, "got 4 fields"),
        ("1 Joe left.\n2 Who?\tJoe\t0\n", 2, "statements told before the question, got 0, which is no line"),
        ("1 Joe left.\n2 Who?\tJoe\t7\n", 2, "got 7, which is not told before the question"),
        ("1 Joe left.\n2 Who?\tJoe\t3\n3 Joe sat.\n", 2, "got 3, which is not told before the question"),
        ("1 Joe left.\n2 Who?\tJoe\t2\n", 2, "got 2, a question's line"),
        ("1 A b.\n2 Who?\tA\t1\n3 C d.\n4 Who?\tC\t3 2\n", 4, "got 2, a question's line"),
        ("1 Joe left.\n2 Who?\tJoe\t1 x\n", 2, "supporting ids that are integers, got 'x'"),
        ("1 Joe left.\n2 Who?\tJoe\t1.0\n", 2, "supporting ids that are integers, got '1.0'"),
        ("1 Joe left.\n3 Joe sat.\n", 2, "expected line number 2 or, for a new story, 1, got 3"),
        ("1 Joe left.\n2 Joe sat.\n2 Joe sat.\n", 3, "expected line number 3 or, for a new story, 1, got 2"),
        ("2 Joe left.\n", 1, "expected line number 1, got 2"),
        (b"1 Joe left.\n2 Jo\xe9 sat.\n", 2, "expected UTF-8 text, got byte 0xe9"),
        ("1 Joe left.\n2 " + "x" * 10_000_000 + "\n", 2, "expected lines of at most 1048576 bytes"),
    ],
)
@pytest.mark.parametrize("name", ["bad.txt", "bad.txt.gz"])
def test_bad_lines(tmp_path, content, line, message, name):
    path = _write(tmp_path, content, name)
    place = f"{path}: " if line is None else f"{path}:{line}: "
    with pytest.raises(DataError, match=message) as caught:
        babi.read(path)
    assert str(caught.value).startswith(place) and len(str(caught.value)) < len(place) + 200
    assert (caught.value.path, caught.value.line) == (str(path), line)


def test_long_lines_are_not_held(tmp_path):
    path = _write(tmp_path, "1 " + "x" * 50_000_000)
    tracemalloc.start()
    with pytest.raises(DataError, match="at most"):
        babi.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * _lines.MAX_LINE


def test_bad_gzip(tmp_path):
    whole = gzip.compress(STORY.encode() * 500)
    checksum = whole[:-8] + bytes(4) + whole[-4:]
    for data in (whole[: len(whole) // 2], whole[:-4], whole[:5], checksum, STORY.encode()):
        path = tmp_path / "cut.txt.gz"
        path.write_bytes(data)
        with pytest.raises(DataError, match="expected a whole gzip file, got one that is not"):
            babi.read(path)


def test_unreadable_files(tmp_path):
    for path in (tmp_path / "missing.txt", tmp_path / "missing.txt.gz", tmp_path):
        with pytest.raises(DataError, match="expected a readable file, got: "):
            babi.read(path)


@pytest.mark.parametrize(
    "place", ["en", "tasks_1-20_v1-2/en", "babi/tasks_1-20_v1-2/en", "", "../en"], ids=lambda place: place or "itself"
)
@pytest.mark.parametrize("name", ["qa1_story_train.txt", "qa1_train.txt", "qa1_story_train.txt.gz", "qa1_train.txt.gz"])
def test_load_finds_the_folder(tmp_path, place, name):
    root = tmp_path / "en" if place == "../en" else tmp_path / "root"
    root.mkdir()
    _write(root / place, STORY, name)
    _write(root / place, "", "qa11_story_train.txt")
    assert babi.load(root, 1, "train") == PARSED


def test_load_prefers_the_plain_file(tmp_path):
    _write(tmp_path / "en", STORY)
    _write(tmp_path / "en", "", "qa1_story_train.txt.gz")
    assert babi.load(tmp_path, 1, "train") == PARSED


def test_missing_folders_and_files(tmp_path):
    for root in (tmp_path, tmp_path / "missing", _write(tmp_path, "", "file")):
        with pytest.raises(DataError, match="holds the bAbI folder 'en-10k', got none; looked for .*unpack") as caught:
            babi.load(root, 3, "train", "en-10k")
        for place in ("en-10k", "tasks_1-20_v1-2/en-10k", "babi/tasks_1-20_v1-2/en-10k"):
            assert str(root / place) in str(caught.value)
    _write(tmp_path / "en-10k", STORY)
    folder = tmp_path / "en-10k"
    with pytest.raises(DataError, match=rf"no file qa3_\*_train.txt\[.gz\] .*in {re.escape(str(folder))}"):
        babi.load(tmp_path, 3, "train", "en-10k")
    with pytest.raises(DataError, match="holds the bAbI folder 'en'"):  # Another variant's folder is no answer.
        babi.load(folder, 1, "train")
    _write(folder, STORY, "qa1_other_train.txt")
    with pytest.raises(DataError, match="expected one file .* got qa1_other_train.txt, qa1_story_train.txt"):
        babi.load(tmp_path, 1, "train", "en-10k")


@pytest.mark.parametrize("task", [0, 21, "1", True, 1.5])
def test_unknown_task(task):
    with pytest.raises(ValueError, match=f"task: expected an integer from 1 to 20, got {task!r}"):
        babi.load("data", task, "train")


def test_unknown_split_and_variant():
    with pytest.raises(ValueError, match="split: .* got 'trian'; did you mean 'train'"):
        babi.load("data", 1, "trian")
    with pytest.raises(ValueError, match="variant: .* got 'en10k'; did you mean 'en-10k'"):
        babi.load("data", 1, "train", "en10k")
    with pytest.raises(ValueError, match="split: expected 'train' or 'test' for 'en', got 'valid'; use .*'en-valid'"):
        babi.load("data", 1, "valid")


def _root():
    folder = os.environ.get("MEMJAX_DATA")
    if not folder or not pathlib.Path(folder, "babi").is_dir():
        pytest.skip("needs the bAbI release: set MEMJAX_DATA to a folder that holds babi/tasks_1-20_v1-2")
    return folder


@pytest.mark.parametrize("variant", babi.VARIANTS)
@pytest.mark.thorough
def test_release_parses(variant):
    root = _root()
    # Where the split for validation was cut between stories, the counts are not round.
    uneven = {
        "en-valid": {17: (904, 96), 18: (905, 95), 20: (904, 96)},
        "en-valid-10k": {18: (8996, 1004), 20: (9002, 998)},
    }
    size = 10_000 if variant.endswith("10k") else 1000
    for task in babi.TASKS:
        assert len(babi.load(root, task, "test", variant)) == 1000
        counts = (size,)
        if "valid" in variant:
            counts = uneven[variant].get(task, (size * 9 // 10, size // 10))
            assert len(babi.load(root, task, "valid", variant)) == counts[1]
        try:
            examples = babi.load(root, task, "train", variant)
        except DataError as error:
            assert task == 3 and size == 10_000 and "no file qa3_*_train.txt[.gz]" in str(error)
            continue
        assert len(examples) == counts[0]
        for example in examples:
            assert example.supports and example.answers == tuple(word.lower() for word in example.answers)
            assert all(0 <= support < len(example.statements) for support in example.supports)


def test_release_supports_tell_the_answer():
    for example in babi.load(_root(), 3, "train"):
        told = [example.statements[support] for support in example.supports]
        assert len(told) == 3 and any(example.answers[0] in text for text in told)
    first = babi.load(_root(), 16, "train")[0]  # Hop order is not time order.
    assert first.supports == (8, 5, 6) and first.answers == ("green",)
    assert {len(e.answers) for e in babi.load(_root(), 19, "train")} == {2}
