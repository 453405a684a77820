# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.dialog` and `memjax.data.conversations`."""

import gzip

import numpy as np
import pytest

from memjax.data import ApiCall, Dialog, DialogEncoder, Restaurants, Vocabulary, dialog
from memjax.data.conversations import build_vocabulary
from memjax.errors import DataError

CANDIDATES = "1 hello\n1 api_call thai rome two cheap\n1 how about resto_rome_1\n1 hello\n"
KNOWN = "1 resto_rome_1 R_cuisine\tthai\n1 resto_rome_1 R_location\trome\n1 resto_bonn R_cuisine\tfrench\n"
TOLD = (
    "1 hi\thello\n2 <SILENCE>\tapi_call thai rome two cheap\n3 resto_rome_1 R_location rome\n"
    "4 \thow about resto_rome_1\n\n1 hi\t hello\n2 api_call no result\n3 <SILENCE>\thello\n"
)


def _write(path, text):
    content = text if isinstance(text, bytes) else text.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("place", ["", "dialog-bAbI-tasks"])
def test_a_folder_is_read(tmp_path, place):
    folder = tmp_path / place
    _write(folder / "dialog-babi-candidates.txt", CANDIDATES)
    _write(folder / "dialog-babi-kb-all.txt.gz", KNOWN)
    _write(folder / "dialog-babi-task1-API-calls-tst-OOV.txt.gz", TOLD)
    first, second = dialog.load(tmp_path, 1, "tst-OOV")
    assert first.speakers == ("user", "bot", "user", "bot", "fact", "user", "bot")
    assert first.utterances[-2:] == ("<SILENCE>", "how about resto_rome_1")
    assert first.responses == (1, 3, 6) and len(first) == 7
    assert second.speakers == ("user", "bot", "fact", "user", "bot")
    assert dialog.load_candidates(tmp_path, 5) == ["hello", "api_call thai rome two cheap", "how about resto_rome_1"]
    known = dialog.load_restaurants(tmp_path, 1)
    assert known.types() == {"thai": "R_cuisine", "rome": "R_location", "french": "R_cuisine"}
    call = ApiCall.parse(first.utterances[3])
    assert str(call) == first.utterances[3] and known.find(call) == []
    assert known.find(ApiCall("thai", "R_location", "", "R_price"))[0] == ("resto_rome_1", "R_cuisine", "thai")
    told = Restaurants.of([("a", "R_name", "x"), ("a", "R_price", "cheap"), ("a", "R_phone", "1")]).about("a")
    assert [relation for _, relation, _ in told] == ["R_phone", "R_price", "R_name"] and known.about("nobody") == []


def test_the_restaurants_of_task_6_are_those_of_its_training(tmp_path):
    _write(tmp_path / "dialog-babi-task6-dstc2-candidates.txt", CANDIDATES)
    _write(tmp_path / "dialog-babi-task6-dstc2-trn.txt", TOLD)
    assert dialog.load_restaurants(tmp_path, 6).facts == {"resto_rome_1": {"R_location": "rome"}}
    with pytest.raises(ValueError, match=r"split: expected one of \['trn', 'dev', 'tst'\] for task 6"):
        dialog.load(tmp_path, 6, "tst-OOV")
    with pytest.raises(ValueError, match="task: expected an integer from 1 to 6, got 7"):
        dialog.load(tmp_path, 7, "trn")
    with pytest.raises(DataError, match=r"holds the dialog bAbI tasks, found no .*-dev.txt"):
        dialog.load(tmp_path, 6, "dev")


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        (("user",), "utterances: expected 1, one for each speaker, got 2"),
        (("user", "bott"), r"speakers\[1\]: expected one of .* did you mean 'bot'"),
        (("bot", "user"), r"speakers\[0\]: expected a user before the bot"),
        (("fact", "bot"), r"speakers\[1\]: expected a user before the bot"),
    ],
)
def test_who_speaks_when(speakers, message):
    with pytest.raises(ValueError, match=message):
        dialog.Dialog(speakers, ("hi", "hello"))


@pytest.mark.parametrize(
    ("read", "text", "line", "message"),
    [
        (dialog.read, "1 hi\thello\nhi\thello\n", 2, "expected a line that begins with its number and a space"),
        (dialog.read, "2 hi\thello\n", 1, "expected line number 1, got 2"),
        (dialog.read, "1 hi\thello\n3 hi\thello\n", 2, "expected line number 2 or, for a new dialog, 1, got 3"),
        (dialog.read, "1 hi hello there\n", 1, "expected a tab between utterance and response, or a fact"),
        (dialog.read, "1 hi\thello\tbye\n", 1, "expected one tab, between utterance and response, got 2"),
        (dialog.read, "1 hi\t \n", 1, "expected a response after the tab, got nothing"),
        (dialog.read, "1 hi\tbye\n", 1, "expected a response that is among the candidates, got 'bye'"),
        (dialog.read, "1 hi\tapi_call rome\n", 1, "expected api_call cuisine place"),
        (dialog.read, "1 hi\thello\n\n1 a R_price cheap\n\n1 hi\thello\n", 3, "with at least one response, got facts"),
        (dialog.read, b"1 hi\t\xff\n", 1, "expected UTF-8 text, got byte 0xff"),
        (dialog.read, "\n\n", None, "expected at least one dialog, got an empty file"),
        (dialog.read_candidates, "hello\n", 1, "expected a number, a space and a response, got 'hello'"),
        (dialog.read_candidates, "1 a\n1 \n", 2, "expected a number, a space and a response"),
        (dialog.read_candidates, "1 a\n1 api_call rome\n", 2, "expected api_call cuisine place"),
        (dialog.read_candidates, "\n", None, "expected at least one response to choose from, got an empty file"),
        (dialog.read_restaurants, "1 a R_price\tcheap\n1 a price\tcheap\n", 2, "expected a number and restaurant R_"),
        (dialog.read_restaurants, "1 a R_price\n", 1, "expected a number and restaurant R_"),
        (dialog.read_restaurants, "", None, "expected at least one fact, got an empty file"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, read, text, line, message):
    path = _write(tmp_path / "file.txt", text)
    allowed = (["hello", "api_call rome"],) if read is dialog.read else ()
    with pytest.raises(DataError, match=message) as caught:
        read(path, *allowed)
    assert caught.value.line == line and caught.value.path == str(path)


def test_a_gzip_that_is_cut_off_is_named(tmp_path):
    path = _write(tmp_path / "file.txt.gz", TOLD)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="expected a whole gzip file"):
        dialog.read(path)


def test_actions_are_parsed():
    assert ApiCall.parse("api_call R_cuisine west moderate") == ApiCall("R_cuisine", "west", "", "moderate")
    assert str(ApiCall("R_cuisine", "west", "", "moderate")) == "api_call R_cuisine west moderate"
    assert ApiCall.parse("") is None and ApiCall.parse("api_calls are fun") is None
    with pytest.raises(ValueError, match="response: expected api_call cuisine place"):
        ApiCall.parse("api_call no result")


def test_dialogs_become_rows_of_one_table():
    dialogs = [
        Dialog(("user", "bot", "fact", "user", "bot"), ("Hi Rome", "hello", "a R_location rome", "<SILENCE>", "bye")),
        Dialog(("user", "bot"), ("hello", "hello")),
    ]
    vocabulary = build_vocabulary(dialogs[:1])
    encoder = DialogEncoder(vocabulary, ["bye", "hello", "hello rome"], {"rome": "R_location", "a": "R_name"})
    encoded = encoder.encode(dialogs)
    assert encoded.lines.tolist() == [[1, 2, 3, 4, 5], [6, 2, -1, -1, -1]]  # "hello" of a user is another utterance
    assert encoded.told.tolist() == [[0, 3], [0, -1]] and encoded.responses.tolist() == [[1, 0], [1, -1]]
    assert vocabulary.decode(encoded.utterances[1]) == ["<user>", "hi", "rome"] and not encoded.utterances[0].any()
    assert encoded.entities.tolist() == [[-1, -1], [0, -1], [-1, -1], [1, 0], [-1, -1], [-1, -1], [-1, -1]]
    arrays = encoder.candidates()
    assert arrays.entities.tolist() == [[-1], [-1], [0]] and arrays.types.tolist() == [0, 1]
    assert encoder.type_names == ("R_location", "R_name") and len(encoded) == 2
    assert encoder.tokens("user", "hi stranger")[1:] == [*vocabulary.encode(["hi"]), 1]
    with pytest.raises(ValueError, match=r"dialogs\[0\]: expected responses that are among the 3 candidates, got 'no'"):
        encoder.encode([Dialog(("user", "bot"), ("hi", "no"))])
    with pytest.raises(ValueError, match=r"dialogs\[0\]: .* got a dialog without any"):
        encoder.encode([Dialog(("fact",), ("a R_price b",))])
    with pytest.raises(ValueError, match="dialogs: expected at least one, got none"):
        encoder.encode([])
    with pytest.raises(ValueError, match="candidates: expected one or more different responses, got 2, 1 of them"):
        DialogEncoder(Vocabulary(("a",)), ["a", "a"], {})


def test_the_release_is_read(data_dir):
    """The counts that the release's notes give."""
    if not list(data_dir.glob("dialog-bAbI-tasks/*")):
        pytest.skip("no dialog bAbI tasks there")
    dialogs = dialog.load(data_dir, 4, "dev")
    assert len(dialogs) == 1000 and len(dialog.load_candidates(data_dir, 4)) == 4212
    assert len(dialog.load_candidates(data_dir, 6)) == 2407
    known = dialog.load_restaurants(data_dir, 4)
    assert len(known.facts) == 1200 and len(set(known.types().values())) == 7
    facts = [text.split() for one in dialogs for text in one.utterances if text.split()[1:2] == ["R_phone"]]
    assert all(known.facts[name]["R_phone"] == phone for name, _, phone in facts)
    assert isinstance(known, Restaurants) and np.all([len(one.responses) >= 3 for one in dialogs])
