# SPDX-License-Identifier: Apache-2.0
"""The `memjax` command over images: train, evaluate, draw, ask, and files that are none."""

import io

import numpy as np
import pytest

from memjax.cli import main

pytest.importorskip("tyro", reason="the extra `app` is not installed")
pytest.importorskip("rich", reason="the extra `app` is not installed")
pytest.importorskip("matplotlib", reason="the extra `app` is not installed")
image_lib = pytest.importorskip("PIL.Image", reason="the extra `app` is not installed")

SMALL = ("--num-train", "16", "--batch-size", "8", "--epochs", "1", "--hops", "2", "--features", "8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run and some images; not to be changed."""
    folder = tmp_path_factory.mktemp("images")
    assert main(["train", "sort-of-clevr", "--run-folder", str(folder / "run"), *SMALL]) == 0
    assert main(["draw", "--folder", str(folder / "drawn"), "--images", "2"]) == 0
    return folder


def ask(capsys, monkeypatch, folder, image, *more, lines=""):
    """Exit code, standard output, standard error."""
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    capsys.readouterr()
    return main(["ask", str(folder / "run"), *(["--image", str(image)] if image else []), *more]), *capsys.readouterr()


def test_images_are_drawn_and_asked_about(capsys, monkeypatch, folder, tmp_path):
    path = folder / "drawn" / "test_1.png"
    told = path.with_suffix(".txt").read_text().splitlines()
    assert len(told) == 20
    questions = "".join(line.split("\t")[0] + "\n" for line in told[:2]) + "is the purple object on the left?\n"
    picture = tmp_path / "new" / "hops.png"
    code, out, err = ask(capsys, monkeypatch, folder, path, "--picture", str(picture), lines=questions)
    assert (code, err, out.count("  -> "), out.count("looked most at x")) == (0, "", 2, 4)
    assert "none of them: ['purple']" in out and f"drawn in {picture}" in out
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert main(["evaluate", str(folder / "run")]) == 0
    assert "of the relational questions right" in capsys.readouterr().out


def test_files_that_are_no_image_to_ask_about(capsys, monkeypatch, folder, tmp_path):
    pixels = np.zeros((75, 75, 3), np.uint8)
    made = {
        "size.png": image_lib.fromarray(pixels[:60]),
        "gray.png": image_lib.fromarray(pixels[..., 0]),
        "clear.png": image_lib.fromarray(np.zeros((75, 75, 4), np.uint8)),
        "solid.png": image_lib.fromarray(np.full((75, 75, 4), 255, np.uint8)),
    }
    for name, image in made.items():
        image.save(tmp_path / name)
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "half.png").write_bytes((folder / "drawn" / "test_0.png").read_bytes()[:300])
    for name, message in {
        "size.png": "expected 75 x 75 pixels, got 75 x 60; scale the image",
        "gray.png": "(mode RGB), got mode L; convert it to RGB",
        "clear.png": "got mode RGBA",
        "text.png": "expected an image, found something else; save it as PNG",
        "half.png": "expected an image that can be read",
        "none.png": "expected an image that can be read: no such file",
    }.items():
        code, _, err = ask(capsys, monkeypatch, folder, tmp_path / name)
        assert code == 1 and message in err and name in err and "Traceback" not in err
    assert ask(capsys, monkeypatch, folder, tmp_path / "solid.png")[0] == 0  # an alpha that hides nothing


def test_flags_that_do_not_fit(capsys, monkeypatch, folder, tmp_path):
    assert "expected a PNG file to ask about, got none" in ask(capsys, monkeypatch, folder, None)[2]
    story = tmp_path / "story.txt"
    code, _, err = ask(capsys, monkeypatch, folder, "x.png", "--story", str(story))
    assert code == 1 and "story, num_slots, data: expected none of them" in err
    code = main(["train", "sort-of-clevr", "--run-folder", str(tmp_path / "run"), *SMALL, "--supports", "-1"])
    assert code != 0 and "supports: expected a number of at least 0" in capsys.readouterr().err
