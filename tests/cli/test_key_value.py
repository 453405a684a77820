# SPDX-License-Identifier: Apache-2.0
"""`memjax train key-value`, `evaluate` and `ask` over a knowledge base of five triples."""

import dataclasses
import io

import jax
import pytest

from memjax.cli import main
from memjax.cli.ask import show_key_value
from memjax.recipes import KeyValueReply

pytest.importorskip("tyro", reason="the extra `app` is not installed")
pytest.importorskip("rich", reason="the extra `app` is not installed")


@pytest.fixture(autouse=True)
def quick_compiles_here(quick_compiles):
    """A few triples: compiling costs more than running."""
    jax.config.update("jax_disable_most_optimizations", True)


def write_corpus(root):
    (root / "1-hop").mkdir(parents=True)
    films = [f"Film {i}|directed_by|Director {i % 2}\n" for i in range(4)] + ["Film 0|has_genre|Drama\n"]
    (root / "kb.txt").write_text("".join(films))
    for split in ("dev", "test"):
        asked = [f"who directed [Film {i}]\tDirector {i % 2}\n" for i in range(4)] + ["genre of [Film 0]\tDrama\n"]
        (root / "1-hop" / f"{split}.txt").write_text("".join(asked))
        (root / "1-hop" / f"qa_{split}_qtype.txt").write_text("movie_to_director\n" * 4 + "movie_to_genre\n")


def test_a_reply_shows_what_was_read():
    reply = KeyValueReply("Al", "Al", (("Fuzz", "written_by", "Al"),), (0.75,), "Fuzz", 3, ("pray",))
    assert list(show_key_value(reply)) == [
        "  -> Al",
        "     1. Fuzz | written_by | Al   (weight 0.75)",
        "     I do not know: pray",
    ]
    other = dataclasses.replace(reply, answer="2", unknown=())
    assert list(show_key_value(other))[:2] == ["  -> 2", "     of what was read: Al"]
    assert list(show_key_value(KeyValueReply("", "", (), (), "", 0, ()))) == ["  -> I found nothing"]


@pytest.mark.thorough
def test_a_knowledge_base_is_trained_evaluated_and_asked(tmp_path, capsys, monkeypatch):
    write_corpus(tmp_path / "data")
    data, folder = ("--data", str(tmp_path / "data")), str(tmp_path / "run")
    flags = ("--epochs", "30", "--features", "32", "--batch-size", "2", "--valid-part", "0.2", "--negatives", "3")
    rate = ("--learning-rate", "0.02")
    assert main(["train", "key-value", "--run-folder", folder, *flags, *rate, *data]) == 0
    assert "valid: " in capsys.readouterr().out
    assert main(["evaluate", folder, *data]) == 0
    assert capsys.readouterr().out.startswith("test: ")
    monkeypatch.setattr("sys.stdin", io.StringIO("who directed Film 3?\n\n?\nwho directed [Film 9]\n"))
    assert main(["ask", folder, *data]) == 0
    shown = capsys.readouterr().out
    assert "  -> Director 1\n     1. Film 3 | directed_by | Director 1   (weight " in shown
    assert "(question: expected 1 to 64 words, got 0 in '?')" in shown
    assert shown.endswith("  -> I found nothing\n     I do not know: film, 9\n")
    assert main(["ask", folder, "--num-slots", "3", *data]) == 1
    assert "expected none of them for a run over a knowledge base" in capsys.readouterr().err
