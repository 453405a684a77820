# SPDX-License-Identifier: Apache-2.0
"""What the experiments share: rows that are measured once, and kept with what made them."""

import dataclasses
import importlib
import json
import pathlib
import pkgutil

import numpy as np
import pytest

import experiments
from experiments import _reading, common
from memjax.errors import RunError
from memjax.recipes import AnsweringConfig
from memjax.recipes.config import from_json
from memjax.training.files import read_json, write_json

RESULTS = pathlib.Path(experiments.__path__[0]) / "results"


@dataclasses.dataclass
class Flags:
    """Of an experiment."""

    seeds: int = 2


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(experiments.__path__)])
def test_each_is_imported(name):
    assert importlib.import_module(f"experiments.{name}").__doc__


def test_a_row_is_measured_once(tmp_path):
    def never():
        raise AssertionError("the folder holds this row")

    made = common.Rows(tmp_path, Flags(), {"seeds": 2}).measure("one", AnsweringConfig(), lambda: {"accuracy": [1.0]})
    assert made["accuracy"] == [1.0] and made["seconds"] >= 0 and made["config"]["corpus"]["name"] == "simulation"
    again = common.Rows(tmp_path, Flags(), {"seeds": 2})
    assert again.measure("one", AnsweringConfig(), never) == made
    with pytest.raises(RunError, match="one is of other settings: epochs"):
        again.measure("one", AnsweringConfig(epochs=7), never)
    with pytest.raises(RunError, match="the folder is of other settings: seeds"):
        common.Rows(tmp_path, Flags(), {"seeds": 3})


def test_a_row_of_a_version_with_fewer_settings(tmp_path):
    made = common.Rows(tmp_path, Flags(), {}).measure("one", AnsweringConfig(), lambda: {"accuracy": [1.0]})
    content = read_json(tmp_path / "results.json")
    del content["rows"]["one"]["config"]["beam"]
    write_json(tmp_path / "results.json", content)
    again = common.Rows(tmp_path, Flags(), {}).measure("one", AnsweringConfig(), lambda: {"accuracy": [2.0]})
    assert again["accuracy"] == made["accuracy"]


def test_a_row_that_was_stopped_names_both_commits_and_tells_no_time(tmp_path, monkeypatch):
    def stop():
        raise KeyboardInterrupt

    rows = common.Rows(tmp_path, Flags(), {})
    monkeypatch.setattr(common, "environment", lambda: {"commit": "one"})
    with pytest.raises(KeyboardInterrupt):
        rows.measure("one", AnsweringConfig(), stop)
    assert json.loads((tmp_path / "results.json").read_text())["begun"] == {"one": "one"}
    monkeypatch.setattr(common, "environment", lambda: {"commit": "another"})
    row = common.Rows(tmp_path, Flags(), {}).measure("one", AnsweringConfig(), lambda: {"accuracy": [1.0]})
    assert row["commit"] == "another" and row["begun"] == "one" and "seconds" not in row
    assert json.loads((tmp_path / "results.json").read_text())["begun"] == {}


def test_two_processes_measure_rows_of_one_table(tmp_path):
    one, other = (common.Rows(tmp_path, Flags(), {}) for _ in range(2))
    one.measure("one", AnsweringConfig(), lambda: other.measure("other", AnsweringConfig(), dict) and {})
    assert set(json.loads((tmp_path / "results.json").read_text())["rows"]) == {"one", "other"}


def test_of_two_processes_that_measure_one_row_the_faster_is_kept(tmp_path):
    one, other = (common.Rows(tmp_path, Flags(), {}) for _ in range(2))
    measured = one.measure("a", AnsweringConfig(), lambda: other.measure("a", AnsweringConfig(), dict) and {"late": 1})
    assert "late" not in measured and "late" not in json.loads((tmp_path / "results.json").read_text())["rows"]["a"]


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_published_rows_are_of_configurations_of_this_version(path):
    rows = read_json(path)["rows"]
    assert rows
    for row in rows.values():
        from_json(row["config"], str(path))


def test_a_folder_of_a_run_is_no_table(tmp_path):
    (tmp_path / "config.json").write_text('{"config": {}, "seeds": [0]}')
    with pytest.raises(RunError, match="found a run of `memjax train`"):
        common.Rows(tmp_path, Flags(), {})


def test_deviations_are_of_samples():
    assert common.spread([1.0, 3.0], 2) == "2.00 (1.41)" and common.spread([5.0]) == "5.0 (0.0)"
    np.testing.assert_allclose(common.error_bars(np.array([[1.0, 3.0]])), [2**0.5])
    assert common.error_bars(np.ones((2, 1))) is None


def test_files_of_vectors_are_told_apart(tmp_path):
    for place, text in (("a", "x 1"), ("b", "x 2")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "v.txt").write_text(text)
    one, other = (str(tmp_path / place / "v.txt") for place in "ab")
    assert _reading.vector_files(("glove", "none")) == {}
    assert _reading.vector_files((one,)) != _reading.vector_files((other,))
    with pytest.raises(ValueError, match=r"vectors: expected files of different names, got 'v.txt' twice"):
        _reading.vector_files((one, other))
