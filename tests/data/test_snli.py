# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.snli`."""

import collections
import gzip
import json

import pytest

from memjax.data import snli
from memjax.data.snli import Pair
from memjax.errors import DataError

HEADER = "premise\thypothesis\tlabel\n"


def _json_line(premise, hypothesis, label):
    return json.dumps({"sentence1": premise, "sentence2": hypothesis, "gold_label": label, "pairID": "1"}) + "\n"


def _json(*rows):
    keys = ("support", "question", "answer")
    return json.dumps(
        {"instances": [_instance(**dict(zip(keys, row, strict=True))) for row in rows], "meta": "SNLI"}, indent=1
    )


def _instance(support, question, answer):
    return {"support": [{"text": support}], "questions": [{"question": question, "answers": [{"text": answer}]}]}


def _pair(premise, hypothesis, label):
    return Pair(tuple(premise.split()), tuple(hypothesis.split()), label)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man's T-shirt.", "a man 's t-shirt ."),
        ("They didn't, can\u2019t; they'll n't", "they did n't , ca n't ; they 'll n't"),
        ('It says "HI-POINTE."', 'it says " hi-pointe . "'),
        (
            "Rock'n'roll at 12:30 o'clock for $5,000 (workers')",
            "rock'n'roll at 12:30 o'clock for $ 5,000 ( workers ' )",
        ),
        ("J.P. Morgan... U.S.", "j.p. morgan ... u.s."),
        (" Caf\u00e9\t-- \u00a0x ", "caf\u00e9 - - x"),
    ],
)
def test_tokenize(text, words):
    assert list(snli.tokenize(text)) == words.split()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dev.tsv", HEADER + 'A "b".\tIt isn\'t c\t2\n"A ""b"""\tc d\t0\n'),
        ("c.tsv", 'gold_label\tsentence1\tsentence2\ncontradiction\tA "b".\tIt isn\'t c\nentailment\t"A ""b"""\tc d\n'),
        ("a.tsv", '2\t2\tA "b".\tIt isn\'t c\n3\t3\t"A ""b"""\tc d\n'),
        ("x.jsonl", _json_line('A "b".', "It isn't c", "contradiction") + _json_line('A "b"', "c d", "entailment")),
        ("x.json", _json(('A "b".', "It isn't c", "contradiction"), ('A "b"', "c d", "entailment"))),
    ],
)
def test_all_formats_hold_the_same_pairs(tmp_path, name, content):
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    assert snli.read(tmp_path / f"{name}.gz") == [_pair('a " b " .', "it is n't c", 2), _pair('a " b "', "c d", 0)]


def test_pairs_without_a_label_are_left_out(tmp_path):
    (tmp_path / "x.jsonl").write_text(_json_line("a", "b", "-") + _json_line("a", "c", "neutral"))
    assert snli.read(tmp_path / "x.jsonl") == [_pair("a", "c", 1)]
    (tmp_path / "x.jsonl").write_text(_json_line("a", "b", "-"))
    with pytest.raises(DataError, match="expected at least one pair with a label, got none"):
        snli.read(tmp_path / "x.jsonl")


def test_parts_are_merged(tmp_path):
    folder = tmp_path / "snli"
    folder.mkdir()
    (folder / "dev.tsv").write_text(HEADER + "a\tdev\t0\n")
    (folder / "test.tsv").write_text(HEADER + "a\ttest\t1\n")
    (folder / "train_subset_a.tsv").write_text("1\t1\ta\tb\n3\t3\tA\tDEV\n")
    (folder / "train_subset_d.json").write_text(_json(("a", "b", "neutral"), ("a", "test", "neutral")))
    (folder / "train_subset_e.jsonl").write_text(_json_line("b", "a", "entailment") + _json_line("b", "A", "neutral"))
    assert snli.load(tmp_path, "train") == [_pair("a", "b", 1), _pair("b", "a", 0)]
    assert snli.load(tmp_path, "test") == [_pair("a", "test", 1)]


def test_the_release_comes_first(tmp_path):
    (tmp_path / "train_subset_a.tsv").write_text("1\t1\ta\tb\n")
    (tmp_path / "dev.tsv").write_text(HEADER + "a\tb\t0\n")
    twice = _json_line("a", "b", "neutral") * 2
    (tmp_path / "snli_1.0_train.jsonl").write_text(twice)
    assert snli.load(tmp_path, "train") == [_pair("a", "b", 1)] * 2
    assert snli.load(tmp_path, "dev") == [_pair("a", "b", 0)]
    (tmp_path / "snli_1.0_dev.jsonl").write_text(_json_line("a", "c", "neutral"))
    assert snli.load(tmp_path, "dev") == [_pair("a", "c", 1)]


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        (
            "a.tsv",
            "premise\tlabel\na\t0\n",
            1,
            "expected a column hypothesis or sentence2, got the columns premise, label",
        ),
        ("a.tsv", HEADER + "a\tb\t0\na\tb\n", 3, "expected 3 fields between tabs, got 2"),
        ("a.tsv", HEADER + "a\tb\t3\n", 2, "expected a label of 0, 1, 2, entailment, neutral, contradiction, got '3'"),
        ("a.tsv", "1\t1\ta\tb\n0\t0\ta\tb\n", 2, "expected a label of 1, 2, 3, got '0'"),
        ("a.tsv", "1\t1\ta\n", 1, "expected 4 fields between tabs, got 3"),
        ("a.tsv", HEADER + 'a\t"b\t0\n', 2, "expected fields between tabs, quoted as CSV, .*; correct the quotes"),
        ("a.tsv", HEADER + "a\t \t0\n", 2, "expected a premise and a hypothesis, got an empty one"),
        ("a.tsv", (HEADER + "a\t\u00e9\t0\n").encode("latin-1"), 2, "expected UTF-8 text"),
        ("a.tsv", HEADER, None, "expected at least one pair"),
        ("a.jsonl", _json_line("a", "b", "neutral") + "{'a'\n", 2, "expected a line of JSON, got \"{'a'\""),
        ("a.jsonl", "[" * 100_000 + "\n", 1, "expected a line of JSON"),
        ("a.jsonl", "[1]\n", 1, "expected a text 'sentence1', got None"),
        ("a.jsonl", '{"sentence1": "a", "sentence2": 2}\n', 1, "expected a text 'sentence2', got 2"),
        (
            "a.jsonl",
            _json_line("a", "b", "maybe"),
            1,
            "expected a label of entailment, neutral, contradiction, got 'maybe'",
        ),
        ("a.json", '{"instances":\n\n[}', 3, "expected JSON, got something else"),
        ("a.json", "", 1, "expected JSON, got something else"),
        ("a.json", "[1]", None, "expected instances with the texts of a support, .*, got otherwise at number 0"),
        ("a.json", _json(("a", "b", "neutral"), ("a", 3, "neutral")), None, "got otherwise at number 2"),
        ("a.json", _json(("a", "b", "maybe")), None, "expected a label of entailment"),
    ],
)
def test_files_that_read_otherwise_name_the_line(tmp_path, name, content, line, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as error:
        snli.read(tmp_path / name)
    assert error.value.line == line


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(
        DataError, match=r"holds SNLI, found no snli_1.0_dev.jsonl or dev.tsv \(or .gz\) in it, nor in snli/"
    ):
        snli.load(tmp_path, "dev")
    with pytest.raises(DataError, match="found no snli_1.0_train.jsonl or train_subset_a.tsv or"):
        snli.load(tmp_path, "train")
    with pytest.raises(ValueError, match="split: expected one of"):
        snli.load(tmp_path, "valid")


def _needs(data_dir):
    if not (data_dir / "snli").is_dir():
        pytest.skip("needs SNLI: set MEMJAX_DATA to a folder that holds snli/")


def test_the_corpus_at_hand(data_dir):
    _needs(data_dir)
    test = snli.load(data_dir, "test")
    assert [collections.Counter(pair.label for pair in test)[label] for label in range(3)] == [3_368, 3_219, 3_237]


@pytest.mark.thorough
def test_all_of_the_corpus(data_dir):
    _needs(data_dir)
    assert len(snli.load(data_dir, "dev")) == 9_842
    if (data_dir / "snli/train_subset_a.tsv").is_file():
        train = snli.load(data_dir, "train")
        assert len(train) == len({(pair.premise, pair.hypothesis) for pair in train}) == 23_530
        assert [collections.Counter(pair.label for pair in train)[label] for label in range(3)] == [7_847, 7_736, 7_947]


@pytest.mark.thorough
def test_words_are_those_of_the_parses(data_dir):
    _needs(data_dir)
    path = data_dir / "snli/train_subset_e.jsonl"
    forms = {"``": '"', "''": '"', "-lrb-": "(", "-rrb-": ")"}
    for line in path.read_text().splitlines() if path.is_file() else ():
        content = json.loads(line)
        for name in ("sentence1", "sentence2"):
            parsed = [word.lower() for word in content[f"{name}_binary_parse"].split() if word not in "()"]
            assert list(snli.tokenize(content[name])) == [forms.get(word, word) for word in parsed]


def test_a_file_of_one_long_line_is_read(tmp_path):
    row = ("a " * 20_000 + "b", "c", "neutral")
    content = json.loads(_json(*[row] * 30))
    (tmp_path / "x.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    pairs = snli.read(tmp_path / "x.json")
    assert len(pairs) == 30 and len(pairs[0].premise) == 20_001
    (tmp_path / "x.json").write_bytes(b'{"instances":\n\xff}')
    with pytest.raises(DataError, match=r"x\.json:2: expected UTF-8 text, got byte 0xff"):
        snli.read(tmp_path / "x.json")
