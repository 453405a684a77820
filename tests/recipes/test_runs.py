# SPDX-License-Identifier: Apache-2.0
"""The run folder: never lost by accident, opened only where it fits, and named where it is damaged."""

import dataclasses
import json
import re

import pytest

from memjax.data import Vocabulary
from memjax.errors import DataError, RunError
from memjax.recipes import (
    ADAPTIVE,
    AnsweringConfig,
    Babi,
    BabiTasks,
    BaselineConfig,
    EndToEndConfig,
    ImageConfig,
    KeyValueConfig,
    KnowledgeConfig,
    LanguageConfig,
    SentimentConfig,
    Simulation,
)
from memjax.recipes.config import from_json, to_json
from memjax.recipes.runs import alone, create_run, keep_results, open_run, resume_run

CONFIG = AnsweringConfig(corpus=Simulation(difficulty=1), features=8, epochs=6)
JOINT = EndToEndConfig(corpus=BabiTasks((1, 3)), linear_start="epochs")
TASKS = AnsweringConfig(corpus=BabiTasks((1, 3), "en-10k"))
WORDS = Vocabulary(("hall", "joe", "é"))


def create(folder, config=CONFIG, seeds=(0, 3), words=WORDS, overwrite=False):
    return create_run(folder, config, seeds, words, overwrite)


@pytest.fixture
def folder(tmp_path):
    """A run folder with something to lose."""
    folder = tmp_path / "runs" / "one"
    create(folder)
    (folder / "metrics.jsonl").write_text("precious")
    return folder


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        ADAPTIVE,
        AnsweringConfig(corpus=Babi(task=3, variant="en-10k")),
        TASKS,
        JOINT,
        BaselineConfig(cell="rnn"),
    ],
)
def test_what_is_created_is_opened(tmp_path, config):
    created = create(tmp_path / "run", config)
    opened = open_run(tmp_path / "run")
    assert opened == created
    assert opened.seeds == (0, 3) and opened.vocabulary.words == WORDS.words


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (AnsweringConfig(), ("places", "response_features", "response_beam")),
        (EndToEndConfig(linear_start="none"), ("linear_epochs", "linear_rate")),
        (KeyValueConfig(names="trained"), ("code_scale",)),
        (KnowledgeConfig(), ("beam", "tolerance")),
        (ImageConfig(), ("hidden_features",)),
        (ImageConfig(model="mlp"), ("hops", "score_features")),
        (LanguageConfig(schedule="cosine"), ("window", "decay", "significant")),
        (SentimentConfig(vectors="none"), ("deviation",)),
    ],
    ids=lambda value: type(value).__name__ if dataclasses.is_dataclass(value) else "",
)
def test_settings_without_effect_are_refused(config, settings):
    for name in settings:
        default = getattr(config, name)
        with pytest.raises(ValueError, match=f"^{name}: expected no other than {default} .*; pass {default}"):
            dataclasses.replace(config, **{name: default + 1})
    earlier = to_json(config) | {name: getattr(config, name) + 1 for name in settings}  # which let them pass
    assert from_json(earlier, "config.json") == config


def test_where_the_data_lies_is_not_part_of_a_run(tmp_path):
    run = create(tmp_path / "run", AnsweringConfig(corpus=Babi(data="/here")))
    assert "/here" not in (run.folder / "config.json").read_text()
    there = AnsweringConfig(corpus=Babi(data="/there"))
    assert resume_run(run.folder, there, (0, 3), WORDS).config.corpus.data == "/there"


def test_a_run_is_not_replaced_unasked(folder):
    with pytest.raises(RunError, match=rf"^{re.escape(str(folder))}: .*--resume.*--overwrite"):
        create(folder)
    assert (folder / "metrics.jsonl").read_text() == "precious"


def test_a_run_is_replaced_when_asked(folder):
    other = dataclasses.replace(CONFIG, features=9)
    create(folder, other, overwrite=True)
    assert open_run(folder).config == other
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "vocabulary.json"]


def test_a_run_is_not_replaced_while_somebody_trains_it(folder):
    with alone(folder), pytest.raises(RunError, match="nobody trains"):
        create(folder, overwrite=True)
    assert (folder / "metrics.jsonl").read_text() == "precious"
    create(folder, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_run_is_never_replaced(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(
        RunError, match="expected a run folder or none, found no config.json in it; name another folder"
    ):
        create(tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_another_config_is_never_replaced(tmp_path, overwrite):
    (tmp_path / "config.json").write_text('{"seeds": 3}')
    with pytest.raises(RunError, match="found the config.json of no run; name another folder"):
        create(tmp_path, overwrite=overwrite)
    assert (tmp_path / "config.json").read_text() == '{"seeds": 3}'


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_never_replaced(tmp_path, overwrite):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(RunError, match="expected a run folder or none"):
        create(tmp_path / "file", overwrite=overwrite)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_link_out_of_the_folder_is_cut_not_followed(folder, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "thesis.tex").write_text("precious")
    (folder / "link").symlink_to(tmp_path / "outside")
    create(folder, overwrite=True)
    assert not (folder / "link").exists()
    assert (tmp_path / "outside" / "thesis.tex").read_text() == "precious"


def test_an_empty_folder_will_do(tmp_path):
    assert create(tmp_path).config == CONFIG


@pytest.mark.parametrize(
    "left", [(".vocabulary.json.partial",), ("vocabulary.json",), ("vocabulary.json", ".config.json.partial")]
)
def test_a_run_killed_at_its_very_start_can_be_started_again(tmp_path, left):
    for name in left:
        (tmp_path / name).write_text('{"wor')
    create(tmp_path)
    assert open_run(tmp_path).vocabulary == WORDS


def test_a_kill_while_a_run_is_replaced_leaves_one_that_can_be_replaced(folder, monkeypatch):
    (folder / "checkpoints" / "15").mkdir(parents=True)
    (folder / "a").write_text("")
    gone = []

    def die(path, missing_ok=False):
        gone.append(path.name)
        if len(gone) == 3:
            raise KeyboardInterrupt
        return unlink(path)

    unlink = type(folder).unlink
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(folder), "unlink", die)
        create(folder, overwrite=True)
    assert "config.json" not in gone
    create(folder, overwrite=True)
    assert open_run(folder).vocabulary == WORDS


@pytest.mark.parametrize("make", [False, True])
def test_no_run(tmp_path, make):
    folder = tmp_path / "none"
    if make:
        folder.mkdir()
    with pytest.raises(RunError, match=r"expected a run folder with a config\.json; make one with `memjax train`"):
        open_run(folder)


def test_resume(folder):
    run = resume_run(folder, CONFIG, (0, 3), WORDS)
    assert (run.folder, run.config, run.seeds, run.vocabulary) == (folder, CONFIG, (0, 3), WORDS)


@pytest.mark.parametrize(
    ("config", "seeds", "words", "message"),
    [
        (dataclasses.replace(CONFIG, features=9), (0, 3), WORDS, r"config\.features: saved 8, asked for 9$"),
        (
            dataclasses.replace(CONFIG, hops=1, time="none"),
            (0, 3),
            WORDS,
            r"config\.hops: saved 2, asked for 1; config\.time: saved 'signed', asked for 'none'$",
        ),
        (
            dataclasses.replace(CONFIG, corpus=Simulation(difficulty=2)),
            (0, 3),
            WORDS,
            r"config\.corpus\.difficulty: saved 1, asked for 2$",
        ),
        (
            dataclasses.replace(CONFIG, corpus=Babi()),
            (0, 3),
            WORDS,
            r"config\.corpus\.name: saved 'simulation', asked for 'babi'",
        ),
        (CONFIG, (0,), WORDS, r"seeds: saved \[0, 3\], asked for \[0\]$"),
        (CONFIG, (3, 0), WORDS, r"seeds: saved \[0, 3\], asked for \[3, 0\]$"),
        (CONFIG, (0, 3), Vocabulary(("hall", "joe", "kitchen")), r"1 gone \['é'\], 1 new \['kitchen'\]; .*--data"),
        (CONFIG, (0, 3), Vocabulary(("joe", "hall", "é")), "the words that it had.*in another order; .*--data"),
    ],
)
def test_another_run_is_not_resumed(folder, config, seeds, words, message):
    with pytest.raises(RunError, match=rf"^{re.escape(str(folder))}: .*{message}"):
        resume_run(folder, config, seeds, words)


def change(folder, **fields):
    """Changes fields of config.json, `config` and `corpus` in place."""
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["config"]["corpus"] |= fields.pop("corpus", {})
    content["config"] |= fields.pop("config", {})
    path.write_text(json.dumps(content | fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"config": {"features": "eight"}}, "features: expected int, got 'eight'"),
        ({"config": {"features": 8.5}}, "features: expected int, got 8.5"),
        ({"config": {"features": {}}}, "features: expected int, got {}"),
        ({"config": {"adaptive": 1}}, "adaptive: expected bool, got 1"),
        ({"config": {"margin": None}}, ".*margin: expected a number of at least 0, got None"),
        ({"config": {"color": "red"}}, "expected a configuration of this version of memjax, got another one: .*color"),
        ({"corpus": {"difficulty": [1]}}, r"difficulty: expected int, got \[1\]"),
        ({"corpus": {"name": "wikipedia"}}, "expected a configuration of this version of memjax.*wikipedia"),
        ({"seeds": 3}, r"seeds: expected a list of integers, got 3"),
        ({"seeds": []}, r"seeds: expected a list of integers, got \[\]"),
        ({"seeds": [True]}, r"seeds: expected a list of integers, got \[True\]"),
    ],
)
def test_a_configuration_with_something_else_in_it(folder, fields, message):
    change(folder, **fields)
    with pytest.raises(DataError, match=rf"^{re.escape(str(folder / 'config.json'))}: {message}"):
        open_run(folder)


def test_an_integer_is_a_number(folder):
    change(folder, config={"margin": 1})
    assert open_run(folder).config.margin == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", '{"config": {\n"features', ":2: expected JSON"),
        ("config.json", "", ":1: expected JSON"),
        ("config.json", "[]", ": expected the keys config and seeds"),
        ("config.json", '{"config": {}}', ": expected the keys config and seeds"),
        ("config.json", '{"config": {}, "seeds": [0]}', ": expected a configuration of this version .*corpus"),
        ("vocabulary.json", '{"words":["a"', ":1: expected JSON"),
        ("vocabulary.json", "[]", ": expected a vocabulary"),
        ("vocabulary.json", '{"words":["a","a"]}', ": expected a vocabulary: .*'a' again"),
        ("vocabulary.json", '{"words":[1]}', ": expected a vocabulary: .*got 1"),
        ("vocabulary.json", "\x00\xff", ": expected JSON in UTF-8"),
        ("vocabulary.json", None, ": expected a file, found none"),
    ],
)
@pytest.mark.parametrize("resume", [False, True])
def test_damaged_files_are_named(folder, name, content, message, resume):
    path = folder / name
    path.unlink() if content is None else path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=re.escape(str(path)) + message):
        resume_run(folder, CONFIG, (0, 3), WORDS) if resume else open_run(folder)


def test_results_that_could_not_be_kept_are_not_measured(folder, monkeypatch):
    def never():
        raise AssertionError("the folder is read only")

    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(RunError, match="expected a folder to keep results in, found one that is read only; copy it"):
        keep_results(open_run(folder), "test", never)
