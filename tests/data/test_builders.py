# SPDX-License-Identifier: Apache-2.0
"""Tests of `memjax.data.builders`."""

import subprocess
import sys

import numpy as np
import pytest

from memjax.data import _tfds, babi, builders, dialog, ptb, simulation, snli, sort_of_clevr, sst
from memjax.errors import DataError

STORY = "1 Mary moved to the office.\n2 Where is Mary? \toffice,here\t1\n3 Zo\u00eb left.\n4 Who left?\tZo\u00eb\t3 1\n"


@pytest.fixture
def release(tmp_path):
    folder = tmp_path / "release" / "tasks_1-20_v1-2"
    for variant, splits in (("en", ("train", "test")), ("en-valid", ("train", "valid", "test"))):
        (folder / variant).mkdir(parents=True)
        for i, split in enumerate(splits):
            (folder / variant / f"qa1_{split}.txt").write_text(STORY * (7 * i + 20), encoding="utf-8")
    return tmp_path / "release"


@pytest.mark.parametrize("config", ["en-qa1", "en-valid-qa1"])
def test_babi_round_trip(tmp_path, release, config):
    builder = builders.prepare("babi", config, data_dir=tmp_path / "data", manual_dir=release)
    assert set(builder.info.splits) == {"train", "test"} | ({"valid"} if "valid" in config else set())
    for split in builder.info.splits:
        assert builders.examples(builder, split) == babi.load(release, 1, split, config.removesuffix("-qa1"))


def test_prepared_data_needs_no_files(tmp_path, release, capsys):
    first = builders.prepare(builders.Babi, "en-qa1", data_dir=tmp_path / "data", manual_dir=release)
    second = builders.prepare("babi", "en-qa1", data_dir=tmp_path / "data")
    assert builders.examples(first, "train[:3]") == builders.examples(second, "train")[:3]
    assert not capsys.readouterr().out


def test_simulation_round_trip(tmp_path):
    small = {"num_statements": 60, "num_questions": 40, "difficulty": 5, "objects": True, "before": True, "window": 9}
    config = builders.SimulationConfig(name="small", seed=7, **small)
    builder = builders.prepare("simulation", config, data_dir=tmp_path)
    for split in simulation.SPLITS:
        assert builders.examples(builder, split) == simulation.generate(7, split, **small)


def test_images_round_trip(tmp_path):
    config = builders.SortOfClevrConfig(name="small", seed=2, num_images=5)
    builder = builders.prepare("sort_of_clevr", config, data_dir=tmp_path)
    for split in sort_of_clevr.SPLITS:
        made = sort_of_clevr.generate(2, split, 5)
        for read, scene in zip(builders.examples(builder, split), made, strict=True):
            np.testing.assert_array_equal(read.image, scene.image)
            assert read.image.dtype == np.uint8
            for name in ("centers", "shapes", "questions", "answers"):
                assert getattr(read, name) == getattr(scene, name)


def test_sentences_round_trip(tmp_path):
    for i, split in enumerate(ptb.SPLITS):
        (tmp_path / f"ptb.{split}.txt").write_text("a <unk> N\nZo\u00eb 's\n" * (i + 1), encoding="utf-8")
    builder = builders.prepare("ptb", data_dir=tmp_path / "data", manual_dir=tmp_path)
    for split in ptb.SPLITS:
        assert builders.examples(builder, split) == ptb.load(tmp_path, split)


@pytest.mark.parametrize("config", ["fine-sentences", "binary-phrases"])
def test_trees_round_trip(tmp_path, config):
    (tmp_path / "trees").mkdir()
    for split in sst.SPLITS:
        (tmp_path / f"trees/{split}.txt").write_text("(3 (2 A) (4 gem))\n(2 well)\n(0 (2 a) (1 bore))\n")
    builder = builders.prepare("sst", config, data_dir=tmp_path / "data", manual_dir=tmp_path)
    for split in sst.SPLITS:
        phrases = split == "train" and config == "binary-phrases"
        expected = sst.load(tmp_path, split, fine=config == "fine-sentences", phrases=phrases)
        assert builders.examples(builder, split) == expected


@pytest.mark.parametrize("task", [2, 6])
def test_dialogs_round_trip(tmp_path, task):
    splits = dialog.SPLITS[: 3 if task == 6 else 4]
    name = f"dialog-babi-task{task}-{dialog.TASKS[task]}"
    (tmp_path / f"{name if task == 6 else 'dialog-babi'}-candidates.txt").write_text("1 hello\n1 bye\n")
    for i, split in enumerate(splits):
        told = "1 hi\thello\n2 Zo\u00eb R_price cheap\n3 <SILENCE>\tbye\n\n"
        (tmp_path / f"{name}-{split}.txt").write_text(told * (i + 1) + "1 \tbye\n", encoding="utf-8")
    builder = builders.prepare("dialog", f"task{task}", data_dir=tmp_path / "data", manual_dir=tmp_path)
    assert set(builder.info.splits) == {split.replace("-", "_") for split in splits}
    for split in splits:
        assert builders.examples(builder, split.replace("-", "_")) == dialog.load(tmp_path, task, split)


def test_pairs_round_trip(tmp_path):
    for split in ("dev", "test"):
        (tmp_path / f"{split}.tsv").write_text(f"premise\thypothesis\tlabel\nA {split} runs.\tIt isn't.\t2\n")
    (tmp_path / "train_subset_a.tsv").write_text("1\t1\tA dog.\tZo\u00eb\n3\t3\tA\tB\n", encoding="utf-8")
    builder = builders.prepare("snli", data_dir=tmp_path / "data", manual_dir=tmp_path)
    for split in snli.SPLITS:
        assert builders.examples(builder, split) == snli.load(tmp_path, split)


def test_snli_of_tfds(tmp_path, monkeypatch):
    """Its raw text becomes words, and what has no label is left out; without a network it says so."""
    rows = [(b"A dog runs.", b"It sleeps.", 2), (b"A man.", b"A cat.", -1)]

    class Downloaded:
        def is_prepared(self):
            return True

        def as_data_source(self, split):
            assert split == "validation"
            return [{"premise": premise, "hypothesis": other, "label": label} for premise, other, label in rows]

    class Offline:
        def is_prepared(self):
            return False

        def download_and_prepare(self):
            raise ConnectionError("no route")

    made = {"data_dir": str(tmp_path), "file_format": "array_record"}
    monkeypatch.setattr(_tfds.tfds, "builder", lambda name, **options: Downloaded() if options == made else None)
    (pair,) = builders.download_snli(tmp_path, "dev")
    assert pair == snli.Pair(("a", "dog", "runs", "."), ("it", "sleeps", "."), 2)
    with pytest.raises(ValueError, match=r"split: expected one of \['train', 'dev', 'test'\], got 'valid'"):
        builders.download_snli(tmp_path, "valid")
    monkeypatch.setattr(_tfds.tfds, "builder", lambda name, **options: Offline())
    with pytest.raises(DataError, match="expected to download TFDS's snli, got ConnectionError; try again with a net"):
        builders.download_snli(tmp_path, "dev")


def test_configs():
    assert len(builders.Babi.builder_configs) == 80 and "en-valid-10k-qa20" in builders.Babi.builder_configs
    assert set(builders.Simulation.builder_configs) == {
        f"d{d}_{what}{before}" for d in (1, 5) for what in ("actor", "actor_object") for before in ("", "_before")
    }
    assert list(builders.Sst.builder_configs) == [
        "fine-sentences",
        "fine-phrases",
        "binary-sentences",
        "binary-phrases",
    ]
    config = builders.Simulation.builder_configs["d5_actor_object"]
    assert (config.difficulty, config.objects, config.before) == (5, True, False)
    assert (config.num_statements, config.num_questions) == (7000, 3000)


def test_bad_data_is_readable(tmp_path, release):
    with pytest.raises(DataError, match=r"no file qa3_\*_train.txt\[.gz\]"):
        builders.prepare("babi", "en-qa3", data_dir=tmp_path / "data", manual_dir=release)
    (release / "tasks_1-20_v1-2/en/qa1_test.txt").write_text("1 Joe left.\n3 Joe sat.\n")
    with pytest.raises(DataError, match="qa1_test.txt:2: expected line number 2 or, for a new story, 1, got 3"):
        builders.prepare("babi", "en-qa1", data_dir=tmp_path / "data", manual_dir=release)
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        with pytest.raises(DataError, match="expected a folder with the files of the corpus, got none or an empty one"):
            builders.prepare("babi", "en-qa1", data_dir=tmp_path / "data", manual_dir=tmp_path / folder)
    with pytest.raises(DataError, match="holds the bAbI folder 'en'"):
        builders.prepare("babi", "en-qa1", data_dir=tmp_path / "data", manual_dir=release.parent)


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="builder: expected one of .* got 'squad'"):
        builders.prepare("squad", "en-qa1", data_dir=tmp_path)
    with pytest.raises(ValueError, match="config: .* got 'en-qa21'; did you mean 'en-qa2"):
        builders.prepare("babi", "en-qa21", data_dir=tmp_path)
    with pytest.raises(ValueError, match="config: expected one of 'en-qa1' ... 'en-valid-10k-qa20', got None"):
        builders.prepare("babi", data_dir=tmp_path)
    with pytest.raises(ValueError, match="config: expected None, got 'fine'"):
        builders.prepare("ptb", "fine", data_dir=tmp_path)
    with pytest.raises(ValueError, match="manual_dir: expected a folder, got None. Pass as manual_dir"):
        builders.prepare("babi", "en-qa1", data_dir=tmp_path)


def test_no_tensorflow(tmp_path):
    code = (
        "import sys; from memjax.data import builders\n"
        "config = builders.SimulationConfig(name='s', num_statements=9, num_questions=2)\n"
        f"builders.examples(builders.prepare('simulation', config, data_dir={str(tmp_path)!r}), 'test')\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
