# SPDX-License-Identifier: Apache-2.0
"""`memjax train dialog`, `evaluate` and `ask`: what is shown of a conversation."""

import io
import sys

import jax
import pytest

from memjax.cli import main
from memjax.cli.talk import converse, show_action
from memjax.data import ApiCall
from memjax.recipes import BotReply, ReadUtterance

pytest.importorskip("tyro", reason="the extra `app` is not installed")
pytest.importorskip("rich", reason="the extra `app` is not installed")


class Echo:
    """A bot that says what it heard."""

    def forget(self):
        self.empty = True

    def tell(self, fact):
        self.fact = fact

    def say(self, line):
        if line.startswith("long"):
            raise ValueError("utterance: too long")
        if line.startswith("table"):
            facts = ("a R_price cheap", "a R_location rome", "b R_price cheap")
            return BotReply("", ApiCall("thai", "R_location", "", "cheap"), facts, (), ("zzz",))
        read = (
            ReadUtterance("user", "one", 0.9),
            ReadUtterance("bot", "two", 0.07),
            ReadUtterance("bot", "three", 0.01),
        )
        return BotReply(line.strip() or "<SILENCE>", None, (), read, ())


def test_a_conversation_is_shown():
    bot = Echo()
    shown = list(converse(bot, ["hi\n", "\n", "table zzz\n", "long\n", "a R_price cheap\n", "/forget\n"]))
    assert shown == [
        *("  -> hi", "     1. user: one   (read 90 %)", "     2. bot: two   (read 7 %)"),
        *("  -> <SILENCE>", "     1. user: one   (read 90 %)", "     2. bot: two   (read 7 %)"),
        "  => api_call(cuisine=thai, place=any, price=cheap)",
        "     the knowledge base tells of a, b",
        "     I do not know: zzz",
        "  (utterance: too long)",
        "  (told)",
        "  (forgotten)",
    ]
    assert bot.empty and bot.fact.split() == ["a", "R_price", "cheap"]
    assert show_action(ApiCall("thai", "rome", "two", "cheap")).endswith("place=rome, people=two, price=cheap)")


def test_the_corpus_decides_what_is_trained(capsys):
    with pytest.raises(SystemExit):
        main(["train", "dialog", "--help"])
    out = capsys.readouterr().out
    assert "--match" in out and "--places" in out and "runs/dialog" in out
    with pytest.raises(SystemExit):
        main(["train", "dialog", "--task", "7"])
    assert "task: expected an integer" in capsys.readouterr().err


@pytest.mark.thorough
def test_train_evaluate_and_ask(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MEMJAX_DATA", raising=False)
    jax.config.update("jax_disable_most_optimizations", True)  # eight utterances are soon learned
    folder = tmp_path / "dialog-bAbI-tasks"
    folder.mkdir()
    (folder / "dialog-babi-candidates.txt").write_text("1 hello\n1 api_call thai rome two cheap\n")
    (folder / "dialog-babi-kb-all.txt").write_text("1 a R_location\trome\n1 b R_price\tcheap\n")
    for split in ("trn", "dev", "tst", "tst-OOV"):
        told = "1 hi\thello\n2 thai\tapi_call thai rome two cheap\n"
        (folder / f"dialog-babi-task2-API-refine-{split}.txt").write_text(told)
    run = str(tmp_path / "run")
    flags = ["--task", "2", "--features", "4", "--hops", "1", "--epochs", "20", "--learning-rate", "0.1"]
    assert main(["train", "dialog", "--run-folder", run, *flags, "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "valid: 100.00 % of the responses right, all of them in 100.00 % of the dialogs" in out
    assert f" ask {run}" in out
    assert main(["evaluate", run, "--split", "oov", "--data", str(tmp_path)]) == 0
    assert "oov: 100.00 % of the responses right" in capsys.readouterr().out
    story = tmp_path / "story.txt"
    story.write_text("hi\n")
    assert main(["ask", run, "--story", str(story)]) == 0  # no corpus is needed
    assert capsys.readouterr().out.splitlines() == ["hi", "  -> hello"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("hi\nthai\n\n"))
    assert main(["ask", run, "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "  => api_call(cuisine=thai, place=rome, people=two, price=cheap)" in out
    assert "     the knowledge base tells of none" in out and out.count("\n  ->") + out.startswith("  ->") >= 1
    assert main(["ask", run, "--picture", "p.png"]) == 1
    assert "picture: expected none for a run over dialogs" in capsys.readouterr().err
