# SPDX-License-Identifier: Apache-2.0
"""The `memjax` command over images: train, evaluate, draw, ask, and files that are none."""

import importlib
import io
import types
import zlib

import numpy as np
import pytest

from memjax.cli import main
from memjax.data import sort_of_clevr
from memjax.errors import DataError
from memjax.recipes import Sight

pytest.importorskip("tyro", reason="the extra `app` is not installed")
pytest.importorskip("rich", reason="the extra `app` is not installed")
pytest.importorskip("matplotlib", reason="the extra `app` is not installed")
image_lib = pytest.importorskip("PIL.Image", reason="the extra `app` is not installed")

SMALL = ("--num-train", "16", "--batch-size", "8", "--epochs", "1", "--hops", "2", "--features", "8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run; not to be changed."""
    folder = tmp_path_factory.mktemp("images")
    assert main(["train", "sort-of-clevr", "--run-folder", str(folder / "run"), *SMALL]) == 0
    return folder


def ask(capsys, monkeypatch, folder, image, *more, lines=""):
    """Exit code, standard output, standard error."""
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    capsys.readouterr()
    return main(["ask", str(folder / "run"), *(["--image", str(image)] if image else []), *more]), *capsys.readouterr()


def read_image(path):
    return importlib.import_module("memjax.cli.see").read_image(path)


def test_images_are_drawn_with_questions_and_answers(tmp_path, capsys):
    assert main(["draw", "--folder", str(tmp_path), "--images", "2", "--split", "valid"]) == 0
    assert "valid_1.png, with questions and answers in" in capsys.readouterr().out
    scene = sort_of_clevr.generate(0, "valid")[1]
    np.testing.assert_array_equal(read_image(tmp_path / "valid_1.png"), scene.image)
    told = [line.split("\t") for line in (tmp_path / "valid_1.txt").read_text().splitlines()]
    assert told == [list(pair) for pair in zip(scene.questions, scene.answers, strict=True)]


def test_files_that_are_no_image_to_ask_about(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (75, 75, 4), np.uint8)
    made = {
        "size.png": pixels[:60, :, :3],
        "gray.png": pixels[..., 0],
        "clear.png": pixels,
        "solid.png": np.where(np.arange(4) == 3, 255, pixels).astype(np.uint8),
    }
    for name, image in made.items():
        image_lib.fromarray(image).save(tmp_path / name)
    (tmp_path / "text.png").write_text("no image")
    bomb = bytearray((tmp_path / "size.png").read_bytes())
    bomb[16:24] = (30000).to_bytes(4, "big") * 2  # width and height, as the header has them
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(bomb)
    (tmp_path / "half.png").write_bytes((tmp_path / "solid.png").read_bytes()[:3000])
    for name, message in {
        "size.png": r"expected 75 x 75 pixels, got 75 x 60; scale the image",
        "gray.png": r"\(mode RGB\), got mode L; convert it to RGB",
        "clear.png": "got mode RGBA",
        "text.png": "expected an image, found something else; save it as PNG",
        "half.png": "expected an image that can be read",
        "bomb.png": "expected an image that can be read: image size .* exceeds limit",
        "none.png": "expected an image that can be read: no such file",
    }.items():
        with pytest.raises(DataError, match=message):
            read_image(tmp_path / name)
    np.testing.assert_array_equal(read_image(tmp_path / "solid.png"), pixels[..., :3])  # an alpha that hides nothing


@pytest.mark.thorough
def test_a_run_is_asked_about_an_image(capsys, monkeypatch, folder, tmp_path):
    assert main(["draw", "--folder", str(tmp_path), "--images", "1"]) == 0
    path = tmp_path / "test_0.png"
    told = path.with_suffix(".txt").read_text().splitlines()
    questions = "".join(line.split("\t")[0] + "\n" for line in told[:2]) + "is the purple object on the left?\n"
    picture = tmp_path / "new" / "hops.png"
    code, out, err = ask(capsys, monkeypatch, folder, path, "--picture", str(picture), lines=questions)
    assert (code, err, out.count("  -> "), out.count("looked most at x")) == (0, "", 2, 4)
    assert "none of them: ['purple']" in out and f"drawn in {picture}" in out
    assert picture.read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "text.png").write_text("no image")
    code, _, err = ask(capsys, monkeypatch, folder, tmp_path / "text.png")
    assert code == 1 and "expected an image, found something else" in err
    assert main(["evaluate", str(folder / "run")]) == 0
    assert "of the relational questions right" in capsys.readouterr().out
    assert "expected a PNG file to ask about, got none" in ask(capsys, monkeypatch, folder, None)[2]
    code, _, err = ask(capsys, monkeypatch, folder, "x.png", "--story", "story.txt")
    assert code == 1 and "story, num_slots, data: expected none of them" in err
    assert main(["draw", "--image-seed", "-1"]) == 1
    assert "image_seed: expected an integer from 0" in capsys.readouterr().err


def test_a_model_without_hops_draws_nothing(tmp_path):
    see = importlib.import_module("memjax.cli.see")
    sight = Sight("is the red object on the left?", "yes", {"yes": 1.0}, np.zeros((0, 8, 8)), 10)
    observer = types.SimpleNamespace(ask=lambda line: sight, image=np.zeros((75, 75, 3), np.uint8))
    shown = list(see.converse(observer, ["a?", "b?"], tmp_path / "hops.png"))
    assert shown == ["  -> yes   (100.0 %)"] * 2 and not (tmp_path / "hops.png").exists()


def test_flags_that_do_not_fit(capsys, tmp_path):
    for images in ("0", "201"):
        assert main(["draw", "--folder", str(tmp_path / "drawn"), "--images", images]) == 1
        assert f"images: expected 1 to 200, as many as there are for 'test', got {images}" in capsys.readouterr().err
    assert not (tmp_path / "drawn").exists()
    with pytest.raises(SystemExit):
        main(["train", "sort-of-clevr", "--run-folder", str(tmp_path / "run"), *SMALL, "--supports", "-1"])
    assert "supports: expected a number of at" in capsys.readouterr().err
