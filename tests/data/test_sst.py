# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.sst`."""

import collections

import pytest

from memjax.data import sst
from memjax.data.sst import Labelled
from memjax.errors import DataError

TREES = "(3 (2 A) (4 gem))\n(2 (2 -LRB-) (2 (2 a) (2 -RRB-)))\n\n(0 (2 a) (1 (4 gem) (2 and\\/or\\*)))\n"


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "trees").mkdir()
    for split in sst.SPLITS:
        (tmp_path / "trees" / f"{split}.txt").write_text(TREES)
    return tmp_path


def test_trees_have_nodes():
    tree = sst.parse_tree("  (1 (3 (2 It) (4\t's)) (2 .)) \n")
    assert tree.words == ("it", "'s", ".")
    assert tree.nodes == ((1, 0, 3), (3, 0, 2), (2, 0, 1), (4, 1, 2), (2, 2, 3))
    assert sst.parse_tree("(4 Yes)") == sst.Tree(("yes",), (sst.Node(4, 0, 1),))
    assert sst.parse_tree("(4 2\u00a01\\/2)").words == ("2\u00a01/2",)


def test_deep_trees_are_read():
    depth = 5_000
    tree = sst.parse_tree("(1 (2 a) " * depth + "(3 b)" + ")" * depth)
    assert len(tree.words) == depth + 1 and len(tree.nodes) == 2 * depth + 1
    assert tree.nodes[0] == (1, 0, depth + 1) and tree.nodes[-1] == (3, depth, depth + 1)


def test_labels_are_fine_or_binary(corpus):
    gem, plain, odd = ("a", "gem"), ("(", "a", ")"), ("a", "gem", "and/or*")
    assert sst.load(corpus, "dev") == [Labelled(gem, 3), Labelled(plain, 2), Labelled(odd, 0)]
    assert sst.load(corpus, "test", fine=False) == [Labelled(gem, 1), Labelled(odd, 0)]


def test_phrases_are_given_once(corpus):
    phrases = sst.load(corpus, "train", phrases=True)
    assert phrases[:4] == [
        Labelled(("a", "gem"), 3),
        Labelled(("a",), 2),
        Labelled(("gem",), 4),
        Labelled(("(", "a", ")"), 2),
    ]
    assert len(phrases) == len(set(phrases)) == 10
    binary = sst.load(corpus, "train", fine=False, phrases=True)
    assert [(" ".join(one.words), one.label) for one in binary] == [
        ("a gem", 1),
        ("gem", 1),
        ("a gem and/or*", 0),
        ("gem and/or*", 0),
    ]
    with pytest.raises(ValueError, match="phrases: expected split 'train', got 'dev'"):
        sst.load(corpus, "dev", phrases=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(3 (2 a) (4 gem)", r"expected a whole tree, got 1 '\(' that nothing closes"),
        ("(", "expected a whole tree"),
        ("(3 (2 a) (4 gem)))", r"expected nothing after the tree, got '\)'"),
        ("(3 a) (2 b)", r"expected nothing after the tree, got '\('"),
        ("(3 a) b", "expected nothing after the tree, got 'b'"),
        ("(5 a)", "expected a label from 0 to 4 after .*, got '5'"),
        ("(3 (-1 a))", "expected a label from 0 to 4"),
        ("((3 a))", "expected a label from 0 to 4"),
        ("()", "expected a label from 0 to 4"),
        ("(a b)", "expected a label from 0 to 4"),
        ("(3 (2 ) (2 a))", "got an empty one"),
        ("(3)", "got an empty one"),
        ("(3 a b)", "expected one word or nodes in a node, got 'b' as well"),
        ("(3 (2 a) b)", "expected one word or nodes in a node, got 'b' as well"),
        ("(3 a (2 b))", r"expected '\)' after a word"),
        ("a gem", r"expected a tree that begins with '\(', got 'a'"),
        (")", r"expected a tree that begins with '\('"),
        ("3\ta gem", r"expected a tree that begins with '\(', got '3'"),
    ],
)
def test_lines_that_are_no_trees_are_named(tmp_path, text, message):
    path = tmp_path / "train.txt"
    path.write_text(f"(3 a)\n{text}\n")
    with pytest.raises(DataError, match=message) as error:
        sst.read(path)
    assert error.value.line == 2


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(DataError, match="holds the Stanford Sentiment Treebank, found no trees/dev.txt"):
        sst.load(tmp_path, "dev")
    (tmp_path / "dev.txt").write_text("\n")
    with pytest.raises(DataError, match="expected at least one tree, got an empty file"):
        sst.read(tmp_path / "dev.txt")
    with pytest.raises(ValueError, match="split: expected one of"):
        sst.load(tmp_path, "valid")


def _needs(data_dir):
    if not (data_dir / "sst").is_dir():
        pytest.skip("needs the Stanford Sentiment Treebank: set MEMJAX_DATA to a folder that holds sst/")


def test_the_corpus_at_hand(data_dir):
    _needs(data_dir)
    dev = sst.load(data_dir, "dev")
    assert [collections.Counter(one.label for one in dev)[label] for label in range(5)] == [139, 289, 229, 279, 165]
    assert len(sst.load(data_dir, "dev", fine=False)) == 872


@pytest.mark.thorough
def test_all_of_the_corpus(data_dir):
    _needs(data_dir)
    assert [len(sst.load(data_dir, split)) for split in sst.SPLITS] == [8_544, 1_101, 2_210]
    assert [len(sst.load(data_dir, split, fine=False)) for split in sst.SPLITS] == [6_920, 872, 1_821]
    assert sum(len(tree.nodes) for tree in sst.read(data_dir / "sst/trees/train.txt")) == 318_582
    phrases = sst.load(data_dir, "train", phrases=True)
    assert (len(phrases), len({phrase.words for phrase in phrases})) == (157_401, 156_817)
    assert sum(phrase.label != 2 for phrase in phrases) == 77_307


def test_plain_text_has_the_words_of_the_trees():
    assert sst.tokenize("the '70s \"em\" -- it's 4/5") == ("the", "'70s", "``", "em", "''", "--", "it", "'s", "4/5")
    assert sst.tokenize("Mr. Ford ... ***") == ("mr.", "ford", "...", "***")


def test_sentences_of_the_treebank_come_back(data_dir):
    _needs(data_dir)
    read = sst.load(data_dir, "dev")
    again = [sst.tokenize(" ".join(one.words)) for one in read]
    assert sum(one.words != words for one, words in zip(read, again, strict=True)) <= 1
