# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.training.files`."""

import json
import threading

from memjax.training.files import read_json, write_bytes, write_json


def test_two_who_write_one_file_do_not_spoil_each_other(tmp_path):
    path, errors = tmp_path / "a.json", []

    def write(letter):
        try:
            for size in range(150):
                write_json(path, [letter] * (size % 7 * 300 + 1))
                assert len(set(read_json(path))) == 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_what_a_kill_left_half_written_is_written_over(tmp_path):
    (tmp_path / ".a.json.partial").write_text('{"much more than what comes now": ')
    write_bytes(tmp_path / "a.json", b"[1]")
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
