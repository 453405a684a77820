# SPDX-License-Identifier: Apache-2.0
"""Metrics on disk: lines of a killed run, and TensorBoard events."""

import json
import re
import struct
import sys

import pytest

from memjax.errors import DataError
from memjax.training.files import read_json, write_json, write_text
from memjax.training.metrics import JsonLinesWriter, TensorBoardWriter

LINES = '{"step": 5, "loss": [0.5, 1.0]}\n{"step": 10, "loss": [0.25, 0.5]}\n'


def append(path, step, *steps):
    writer = JsonLinesWriter(path, step)
    for new in steps:
        writer.write(new, {"loss": [2.5 / new, 5 / new]})
    writer.close()


def test_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append(path, 0, 5, 10)
    assert path.read_text() == LINES


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path):
    writer = JsonLinesWriter(tmp_path / "metrics.jsonl")
    writer.write(1, {"loss": 0.5})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": 0.5}\n'
    writer.close()


@pytest.mark.parametrize(
    "after",
    ["", '{"step": 15, "loss": 1}\n', '{"step": 15, "loss"', '{"step": 15}\n{"step": 20}\n{"st', "{\xe9", "{\x00"],
    ids=["nothing", "line", "half a line", "lines", "half a letter", "zero bytes"],
)
def test_what_a_killed_run_wrote_after_its_last_checkpoint_goes(tmp_path, after):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(LINES.encode() + after.encode("latin-1"))
    append(path, 10)
    assert path.read_text() == LINES
    append(path, 5, 10)
    assert path.read_text() == LINES
    append(path, 0)
    assert path.read_text() == ""


def test_words_of_any_language_stay(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 5, "note": "é\u2028"}\n', encoding="utf-8")
    append(path, 5)
    assert path.read_text(encoding="utf-8") == '{"step": 5, "note": "é\u2028"}\n'


@pytest.mark.parametrize("line", ["{", "[5]", "5", '{"loss": 1}', '{"step": "x"}', "\xff"])
def test_a_damaged_line_is_named_and_nothing_is_lost(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    content = LINES.encode() + line.encode("latin-1") + b"\n" + LINES.encode()
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}:3: expected a JSON object with a step"):
        JsonLinesWriter(path, 10)
    assert path.read_bytes() == content


def events(folder) -> list:
    """The events of a folder, in the order they were written; TensorBoard's record format."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event()
            event.ParseFromString(data[12 : 12 + size])
            found.append(event)
            data = data[16 + size :]
    return found


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
    writer = TensorBoardWriter(tmp_path)
    writer.write(5, {"loss": [0.5, 1.0], "epoch": 1})
    writer.write(10, {"loss": [0.25, 0.5], "epoch": 2})
    writer.close()
    scalars = [
        (event.step, value.tag, value.simple_value) for event in events(tmp_path) for value in event.summary.value
    ]
    assert scalars == [(5, "loss", 0.75), (5, "epoch", 1.0), (10, "loss", 0.375), (10, "epoch", 2.0)]


def test_tensorboard_forgets_what_comes_again_and_keeps_the_rest(tmp_path):
    pytest.importorskip("tensorboardX", reason="the extra `tensorboard` is not installed")
    writer = TensorBoardWriter(tmp_path, step=10)
    writer.write(15, {"loss": 1.0})
    writer.close()
    starts = [event.step for event in events(tmp_path) if event.HasField("session_log")]
    # TensorBoard forgets older events of this step and later ones. Step 10 is in the checkpoint and does not come back.
    assert starts and all(10 < step <= 15 for step in starts)


def test_tensorboard_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'memjax\[tensorboard\]'"):
        TensorBoardWriter(tmp_path / "events")
    assert not (tmp_path / "events").exists()


def test_files_are_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"word": "é"})
    assert read_json(path) == {"word": "é"}
    with pytest.raises(TypeError):
        write_json(path, {"word": object()})
    monkeypatch.setattr("os.fsync", lambda file: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        write_text(path, "new")
    assert read_json(path) == {"word": "é"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, ": expected a file, found none$"),
        (b"", ":1: expected JSON"),
        (b'{\n"a": 1,\n', ":3: expected JSON"),
        (b'{"a": "\xff"}', ": expected JSON in UTF-8"),
    ],
)
def test_files_that_are_no_json(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(path)) + message):
        read_json(path)


def test_lines_are_json(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append(path, 0, 5)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"step": 5, "loss": [0.5, 1.0]}]
