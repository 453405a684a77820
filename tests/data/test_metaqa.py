# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.metaqa`."""

import gzip

import pytest

from memjax.data import metaqa
from memjax.errors import DataError

TRIPLES = "Fuzz|written_by|Evan Hunter\nFuzz|release_year|1972\n\nFuzz|release_year|1972\n[REC]|has_genre|Horror\n"


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def _corpus(root):
    _write(root / "kb.txt.gz", TRIPLES)
    _write(root / "1-hop/dev.txt", "who wrote [Fuzz]\tEvan Hunter\nwhat genre is [[REC]] in\tHorror|Drama\n")
    _write(root / "1-hop/ntm/qa_dev.txt", "who is [Fuzz] by\tEvan Hunter\ngenre of [[REC]]\tHorror|Drama\n")
    _write(root / "1-hop/qa_dev_qtype.txt", "movie_to_writer\nmovie_to_genre\n")
    return root


@pytest.mark.parametrize("place", ["", "metaqa", "MetaQA"])
def test_a_folder_is_read(tmp_path, place):
    _corpus(tmp_path / place)
    assert metaqa.load_triples(tmp_path) == [
        ("Fuzz", "written_by", "Evan Hunter"),
        ("Fuzz", "release_year", "1972"),
        ("[REC]", "has_genre", "Horror"),
    ]
    questions = metaqa.load_questions(tmp_path, 1, "dev")
    assert [question.entity for question in questions] == ["Fuzz", "[REC]"]
    assert questions[1] == metaqa.Question("what genre is [[REC]] in", ("Horror", "Drama"), (("has_genre", "subject"),))
    paraphrases = metaqa.load_questions(tmp_path, 1, "dev", paraphrases=True)
    assert [(q.answers, q.path) for q in paraphrases] == [(q.answers, q.path) for q in questions]


def test_types_are_steps_with_the_side_that_is_known(tmp_path):
    questions = _write(tmp_path / "q.txt", "who else acted with [Al]\tBo\n")
    types = _write(tmp_path / "t.txt", "actor_to_movie_to_actor\n")
    (question,) = metaqa.read_questions(questions, types)
    assert question.path == (("starred_actors", "object"), ("starred_actors", "subject"))


@pytest.mark.parametrize(
    ("read", "text", "line", "message"),
    [
        (metaqa.read_triples, "a|b|c\na|b\n", 2, r"expected subject\|relation\|object, got 'a\|b'"),
        (metaqa.read_triples, "a|b|c|d\n", 1, r"expected subject\|relation\|object"),
        (metaqa.read_triples, "a||c\n", 1, r"expected subject\|relation\|object"),
        (metaqa.read_triples, b"a|b|\xff\n", 1, "expected UTF-8 text, got byte 0xff"),
        (metaqa.read_triples, "\n", None, "expected at least one triple, got an empty file"),
        (metaqa.read_questions, "who wrote [Fuzz]\n", 1, "expected question<TAB>answer"),
        (metaqa.read_questions, "who wrote [Fuzz]\tAl|\n", 1, "expected question<TAB>answer"),
        (metaqa.read_questions, "who wrote [Fuzz]\tAl\nwho wrote Fuzz\tAl\n", 2, "expected an entity in brackets"),
        (metaqa.read_questions, "", None, "expected at least one question"),
    ],
)
def test_files_that_read_otherwise_name_the_line(tmp_path, read, text, line, message):
    path = _write(tmp_path / "file.txt", text)
    with pytest.raises(DataError, match=message) as error:
        read(path)
    assert error.value.line == line


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ("movie_to_writer\nmovie_to_writer\n", "expected 1 types, one for each question"),
        ("actor_to_writer\n", "expected a type such as actor_to_movie"),
        ("movie_to_hero\n", "expected a type such as actor_to_movie"),
        ("movie\n", "expected a type such as actor_to_movie"),
    ],
)
def test_types_that_do_not_fit_are_refused(tmp_path, types, message):
    questions = _write(tmp_path / "q.txt", "who wrote [Fuzz]\tAl\n")
    with pytest.raises(DataError, match=message):
        metaqa.read_questions(questions, _write(tmp_path / "t.txt", types))


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(DataError, match=r"found no kb.txt or kb_union.txt \(or .gz\) in it"):
        metaqa.load_triples(tmp_path)
    with pytest.raises(ValueError, match="split: expected one of"):
        metaqa.load_questions(tmp_path, 1, "train")
    with pytest.raises(ValueError, match="paraphrases: expected hops=1"):
        metaqa.load_questions(tmp_path, 2, "dev", paraphrases=True)


def test_the_corpus_at_hand(data_dir):
    if not any((data_dir / name).is_dir() for name in ("metaqa", "MetaQA")):
        pytest.skip("needs MetaQA: set MEMJAX_DATA to a folder that holds metaqa/")
    triples = metaqa.load_triples(data_dir)
    assert len(triples) > 130_000 and len({relation for _, relation, _ in triples}) == 9
    names = {name for subject, _, obj in triples for name in (subject, obj)}
    questions = metaqa.load_questions(data_dir, 1, "dev")
    assert len(questions) == 9_992 and all(question.entity in names for question in questions)
    assert [len(metaqa.load_questions(data_dir, hops, "test")) for hops in (2, 3)] == [14_872, 14_274]
