# SPDX-License-Identifier: Apache-2.0
"""The Stanford Sentiment Treebank: reader of its trees, whose every node is a phrase with a label from 0 to 4.

A line is a tree, as `(3 (2 a) (4 gem))`. Any file that reads otherwise is a `DataError` that names the file and the
line.
"""

import dataclasses
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from memjax import _checks
from memjax.data._lines import find, read_texts, short
from memjax.data._words import WORD
from memjax.errors import DataError

SPLITS = ("train", "dev", "test")
#: Names of the labels 0 to 4, and of the labels 0 and 1 without the neutral ones.
LABELS = ("very negative", "negative", "neutral", "positive", "very positive")
BINARY_LABELS = ("negative", "positive")

_NEUTRAL = 2
# A word may hold a space that does not break, as "2 1/2" does.
_TOKEN = re.compile(r"[()]|[^() \t]+")
# Of plain text, beside what all sentences have: quotes and dashes of the Treebank; words that end in a point, begin
# with an apostrophe, or have a stroke within.
_WORD = re.compile(
    r"``|''|--|\*+|(?:mr|mrs|ms|dr|st|jr|sr|vs|co|inc|prof|gen|rev|etc|no|bros)\.(?!\w)|'(?:\d0s|em|til|n')(?!\w)"
    r"|\w+(?:[/-]\w+)*/\w+(?:[/-]\w+)*|" + WORD
)
# A quote that opens: a word follows, and none goes before.
_OPENING = re.compile(r'(?<![\w.,!?])"(?=\w|\.\.\.)')
_ESCAPES = {"-lrb-": "(", "-rrb-": ")"}


class Node(NamedTuple):
    """A phrase of a tree: its label, and where its words start and stop."""

    label: int
    start: int
    stop: int


@dataclasses.dataclass(frozen=True)
class Tree:
    """A sentence and its phrases.

    Args:
        words: the words of the sentence.
        nodes: its phrases in the order of their opening brackets, so that the whole sentence is first.
    """

    words: tuple[str, ...]
    nodes: tuple[Node, ...]


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A sentence or phrase, and what it expresses.

    Args:
        words: its words.
        label: index into `LABELS`, or into `BINARY_LABELS`.
    """

    words: tuple[str, ...]
    label: int


def tokenize(text: str) -> tuple[str, ...]:
    """Splits plain text into words as the trees have them, in lower case, with quotes as they write them.

    Of the 1,101 sentences of the dev trees, with spaces between their words, all but one come back as they were.

    Example:
        >>> tokenize('Mr. Ford said "what a gem" -- and/or fun.')
        ('mr.', 'ford', 'said', '``', 'what', 'a', 'gem', "''", '--', 'and/or', 'fun', '.')
    """
    quoted = _OPENING.sub("`` ", text.lower().replace("\u2019", "'")).replace('"', " '' ")
    return tuple(_WORD.findall(quoted))


def parse_tree(text: str) -> Tree:
    """Reads one tree.

    Words are made lower-case, and the Treebank's escapes are undone, since vectors of words are trained on plain text:
    `-LRB-` is `(`, `-RRB-` is `)`, and a backslash before `/` or `*` is left out.

    Args:
        text: a tree of any depth, as `(3 (2 a) (4 gem))`.

    Raises:
        ValueError: if it is no such tree.

    Example:
        >>> tree = parse_tree("(3 (2 A) (4 gem))")
        >>> tree.words, tree.nodes[1]
        (('a', 'gem'), Node(label=2, start=0, stop=1))

    Reference: Socher et al. 2013, "Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank",
    section 3.
    """
    words: list[str] = []
    nodes: list[Node] = []
    opened: list[int] = []  # Nodes that are not closed yet; a list, since a tree may be deeper than Python's stack.
    leaf = False  # Whether the innermost of them holds a word.
    unlabelled = False  # Whether its label is to come.
    for token in _TOKEN.findall(text.strip()):
        if nodes and not opened:
            raise ValueError(f"expected nothing after the tree, got {short(token)}; put each tree on a line of its own")
        if unlabelled:
            if token not in ("0", "1", "2", "3", "4"):
                raise ValueError(f"expected a label from 0 to 4 after '(', got {short(token)}; correct it")
            nodes.append(Node(int(token), len(words), -1))
            opened.append(len(nodes) - 1)
            unlabelled = False
        elif token == "(":
            if leaf:
                raise ValueError("expected ')' after a word, got '('; give each word a node of its own")
            unlabelled = True
        elif not opened:
            raise ValueError(f"expected a tree that begins with '(', got {short(token)}; correct the line")
        elif token == ")":
            node = nodes[opened[-1]]
            if node.start == len(words):
                raise ValueError("expected a word or nodes in each node, got an empty one; remove it")
            nodes[opened.pop()] = node._replace(stop=len(words))
            leaf = False
        elif leaf or nodes[opened[-1]].start < len(words):
            raise ValueError(f"expected one word or nodes in a node, got {short(token)} as well; correct the line")
        else:
            words.append(_plain(token))
            leaf = True
    if opened or unlabelled or not nodes:
        raise ValueError(f"expected a whole tree, got {len(opened) + unlabelled} '(' that nothing closes; get it anew")
    return Tree(tuple(words), tuple(nodes))


def read(path: str | os.PathLike[str]) -> list[Tree]:
    """Reads a file of trees.

    Args:
        path: a text file, or a gzip of one if the name ends in `.gz`.

    Returns:
        The trees in the order of the file; see `parse_tree`.

    Raises:
        DataError: if the file cannot be read or is empty, or a line is no tree.
    """
    trees = []
    for line, text in read_texts(path):
        try:
            trees.append(parse_tree(text))
        except ValueError as error:
            raise DataError(str(error), path, line) from None
    if not trees:
        raise DataError("expected at least one tree, got an empty file; get it anew", path)
    return trees


def load(folder: str | os.PathLike[str], split: str, *, fine: bool = True, phrases: bool = False) -> list[Labelled]:
    """Reads one split: `trees/train.txt`, `trees/dev.txt` or `trees/test.txt`, plain or gzip.

    Args:
        folder: a folder that holds `sst/`, or that folder itself, which holds `trees/`.
        split: "train", "dev" or "test".
        fine: labels from 0 to 4; otherwise 0 for negative and 1 for positive, and what is neutral is left out.
        phrases: every phrase of the trees, whole sentences among them, for training. What has the same words and the
            same label is given once: 157,401 of 318,582, half of which are single words, "the" 7,303 times.

    Returns:
        The sentences in the order of the file; or the phrases, in the order in which they are met first.

    Raises:
        ValueError: if there is no such split, or phrases are asked of another split than that for training.
        DataError: if the file is missing, or not as the format says.

    Example:
        >>> load("data", "valid")
        Traceback (most recent call last):
            ...
        ValueError: split: expected one of ['train', 'dev', 'test'], got 'valid'

    Reference: Cheng et al. 2016, section 5.2; Tai et al. 2015, section 5.1 (training on all labelled spans).
    Departs from the paper: a phrase that repeats counts once, where Tai et al. count it as often as it is met; Cheng et
    al. do not say whether they train on phrases.
    """
    _checks.one_of("split", split, SPLITS)
    if phrases and split != "train":
        raise ValueError(f"phrases: expected split 'train', got {split!r}; an accuracy is over whole sentences")
    trees = read(find(folder, "the Stanford Sentiment Treebank", ("sst",), f"trees/{split}.txt"))
    labelled = [Labelled(tree.words, tree.nodes[0].label) for tree in trees]
    if phrases:
        labelled = list(dict.fromkeys(phrase for tree in trees for phrase in _phrases(tree)))
    if fine:
        return labelled
    return [Labelled(one.words, int(one.label > _NEUTRAL)) for one in labelled if one.label != _NEUTRAL]


def _phrases(tree: Tree) -> Iterator[Labelled]:
    for label, start, stop in tree.nodes:
        yield Labelled(tree.words[start:stop], label)


def _plain(word: str) -> str:
    """A word as text has it, lower-case."""
    word = word.lower().replace("\\/", "/").replace("\\*", "*")
    return _ESCAPES.get(word, word)
