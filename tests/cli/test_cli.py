# SPDX-License-Identifier: Apache-2.0
"""The `memjax` command, in this process: output, messages, exit codes."""

import dataclasses
import importlib
import io
import json
import pathlib
import re
import shutil
import sys

import numpy as np
import pytest

import memjax
from memjax.cli import main
from memjax.cli.ask import show
from memjax.recipes import AnsweringConfig, Reply, Simulation

pytest.importorskip("tyro", reason="the extra `app` is not installed")
pytest.importorskip("rich", reason="the extra `app` is not installed")
pytest.importorskip("matplotlib", reason="the extra `app` is not installed")

main_module = importlib.import_module("memjax.cli.main")  # memjax.cli.main is the function

WORLD = Simulation(difficulty=1, objects=False, num_statements=60, num_questions=40)
CONFIG = AnsweringConfig(corpus=WORLD, features=8, batch_size=8, epochs=6)
MODEL = ("--features", "8", "--batch-size", "8", "--epochs", "6")
CORPUS = ("simulation", "--difficulty", "1", "--no-objects", "--num-statements", "60", "--num-questions", "40")


def train_args(folder: pathlib.Path, *more: str) -> list[str]:
    return ["train", "--run-folder", str(folder), *more, *MODEL, *CORPUS]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A trained run; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    assert main(train_args(folder)) == 0
    return folder


@pytest.fixture
def copy(run: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """The same, to be changed."""
    return shutil.copytree(run, tmp_path / "copy")


def call(capsys: pytest.CaptureFixture[str], *args: str | pathlib.Path) -> tuple[int, str, str]:
    """Exit code, standard output, standard error; the one of an exit by tyro as well."""
    capsys.readouterr()
    try:
        code = main([str(arg) for arg in args])
    except SystemExit as exit_:
        code = exit_.code
    return (code, *capsys.readouterr())


def words(text: str) -> str:
    """The words of a message in a box, as one line."""
    return " ".join(re.sub(r"[^\x00-\x7f]", " ", text).split())


def test_what_is_asked_for_by_flags_is_trained(run):
    content = json.loads((run / "config.json").read_text())
    from memjax.recipes.config import to_json

    assert content == {"config": to_json(CONFIG), "seeds": [0]}


def test_train_says_what_came_of_it_and_what_is_next(capsys, copy):
    code, out, _ = call(capsys, *train_args(copy, "--resume"))
    results = json.loads((copy / "results.json").read_text())["valid"]
    assert code == 0
    assert f"valid: {results['accuracy'][0]:.2f} % of the answers right, {results['supports'][0]:.2f} %" in out
    assert "Next: " in out and f" ask {copy}" in out


def test_train_does_not_replace_a_run_unasked(capsys, copy):
    before = (copy / "metrics.jsonl").read_bytes()
    (copy / "mark").touch()
    code, out, err = call(capsys, *train_args(copy))
    assert code == 1 and out == ""
    assert re.search(rf"memjax: {re.escape(str(copy))}: .*--resume.*--overwrite", err)
    assert (copy / "mark").exists()
    assert call(capsys, *train_args(copy, "--overwrite"))[0] == 0
    assert not (copy / "mark").exists()
    assert (copy / "metrics.jsonl").read_bytes() == before


def test_train_does_not_resume_another_run(capsys, copy):
    code, _, err = call(capsys, *train_args(copy, "--resume", "--margin", "0.5"))
    assert code == 1
    assert f"memjax: {copy}: was started with something else: config.margin: saved 0.1, asked for 0.5" in err


def test_train_has_nothing_to_resume(capsys, tmp_path):
    code, _, err = call(capsys, *train_args(tmp_path / "none", "--resume"))
    assert code == 1
    assert f"{tmp_path / 'none'}: expected a run folder with a config.json; make one with `memjax train`" in err
    assert not (tmp_path / "none").exists()


def test_train_resume_or_overwrite(capsys, copy):
    code, _, err = call(capsys, *train_args(copy, "--resume", "--overwrite"))
    assert code == 1 and "memjax: resume, overwrite: expected one of them" in err


def test_recipes_set_the_defaults(capsys):
    code, out, _ = call(capsys, "train", "--recipe", "paper", "--help")
    assert code == 0
    assert re.search(r"--optimizer.*default: sgd", words(out)) and "(default: 100)" in out
    _, out, _ = call(capsys, "train", "--help")
    assert re.search(r"--optimizer.*default: adam", words(out)) and "(default: 100)" not in out


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--help"], ["demo", "train", "evaluate", "ask"]),
        (["demo", "--help"], ["--folder", "replaced by each demo"]),
        (
            ["train", "--help"],
            ["--run-folder", "--resume", "--overwrite", "--recipe", "--epochs", "simulation", "babi"],
        ),
        (["evaluate", "--help"], ["--split", "--data", "MEMJAX_DATA"]),
        (["ask", "--help"], ["--story", "--picture", "--num-slots"]),
    ],
)
def test_help(capsys, args, expected):
    code, out, _ = call(capsys, *args)
    assert code == 0
    for text in expected:
        assert text in words(out)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "--epocs", "3"], r"--epocs.*Perhaps you meant: --epochs"),
        (["evaluate", "there", "--spilt", "test"], r"--spilt.*Perhaps you meant: --split"),
        (["trian"], r"command: expected one of.*'demo', 'train'.*got 'trian'; did you mean 'train'"),
        (["train", "--epochs", "many"], r"--epochs: invalid literal.*many"),
        (
            ["train", "--recipe", "papr"],
            r"recipe: expected one of.*default.*adaptive.*got 'papr'; did you mean 'paper'",
        ),
        (["train", "sst", "--recipe", "modrn"], r"recipe: expected one of \['default', 'modern'\]"),
        (["train", "PTBB", "--epochs", "1"], r"corpus: expected one of.*'simulation'.*'snli'.*did you mean 'ptb'"),
        (["train", "--epochs", "1", "ptb"], r"corpus: expected it before all flags.*`memjax train ptb"),
        (["train", "--run-folder", "text", "--epocs", "1"], r"--epocs.*Perhaps you meant: --epochs"),
        (["evaluate", "there", "--split", "tset"], r"invalid choice 'tset' f.*--split"),
        (["ask"], r"[Mm]issing.*A run folder"),
        ([], "Missing subcommand.*memjax --help"),
    ],
)
def test_command_lines_that_do_not_parse(capsys, args, message):
    code, _, err = call(capsys, *args)
    assert code == 2
    assert re.search(message, words(err))


@pytest.mark.parametrize("command", [["evaluate"], ["ask"]])
def test_no_run_folder(capsys, tmp_path, command):
    code, out, err = call(capsys, *command, tmp_path / "none")
    assert (code, out) == (1, "")
    assert re.search(rf"memjax: {re.escape(str(tmp_path / 'none'))}: expected a run folder", err)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_evaluate(capsys, copy, split):
    code, out, _ = call(capsys, "evaluate", copy, "--split", split)
    (accuracy,) = json.loads((copy / "results.json").read_text())[split]["accuracy"]
    assert code == 0
    assert out.startswith(f"{split}: {accuracy:.2f} % of the answers right")


def test_evaluate_a_damaged_run(capsys, copy):
    (copy / "checkpoints" / "30" / "state" / "manifest.ocdbt").unlink()
    code, out, err = call(capsys, "evaluate", copy)
    assert (code, out) == (1, "")
    assert re.fullmatch(
        rf"memjax: {re.escape(str(copy))}/checkpoints/30: the checkpoint is damaged, .*manifest\.ocdbt.*\n", err
    )


STORY = "Joe went to the kitchen.\n\nFrodo went to the Shire.\nWhere is Joe?\n  \n/forget\nWhere is Samwise?\n"


def assert_conversation(lines: list[str]) -> None:
    """What `STORY` gives, without the echo of the story itself."""
    assert lines[0] == "  (I do not know: frodo, shire)"
    assert re.fullmatch(r"  -> \w+", lines[1])
    fact = r"(Joe went to the kitchen\.|Frodo .*\.|the same fact again: no other one is needed)"
    for hop, line in enumerate(lines[2:4], start=1):
        assert re.fullmatch(rf"     {hop}\. {fact}   \(statement [12], score -?\d+\.\d\d\)", line)
    assert lines[4:] == ["  (forgotten)", "  -> I know nothing yet", "     I do not know: samwise"]


def test_ask_a_story(capsys, run, tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(STORY)
    code, out, _ = call(capsys, "ask", run, "--story", path)
    assert code == 0
    lines = out.splitlines()
    assert [line for line in lines if line in STORY.splitlines()] == STORY.splitlines()
    assert_conversation([line for line in lines if line not in STORY.splitlines()])


@pytest.mark.parametrize("mark", ["", "\ufeff"])  # of byte order, which some editors begin a file with
def test_ask_from_a_pipe(capsys, run, monkeypatch, mark):
    monkeypatch.setattr(sys, "stdin", io.StringIO(mark + STORY))
    code, out, _ = call(capsys, "ask", run)
    assert code == 0
    assert_conversation(out.splitlines())


def test_ask_at_a_terminal(capsys, run, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    typed = iter(["Joe went to the kitchen.", "Where is Joe?", "", "not read"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    code, out, _ = call(capsys, "ask", run)
    assert code == 0
    assert out.startswith("Tell me statements") and "  -> " in out
    assert next(typed) == "not read"


def test_ask_from_a_pipe_that_is_no_text(capsys, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Joe left.\n\xff\n"), encoding="utf-8"))
    code, _, err = call(capsys, "ask", run)
    assert code == 1 and "memjax: standard input: expected text in UTF-8" in err


def test_ask_of_sentences_that_are_too_long_goes_on(capsys, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("joe " * 65 + "\n" + "joe " * 65 + "?\n.\nWhere is Joe?\n"))
    code, out, _ = call(capsys, "ask", run)
    assert code == 0
    lines = out.splitlines()
    assert re.match(r"  \(statement: expected 1 to 64 words, got 65", lines[0])
    assert re.match(r"  \(question: expected 1 to 64 words, got 65", lines[1])
    assert re.match(r"  \(statement: expected 1 to 64 words, got 0", lines[2])
    assert lines[3] == "  -> I know nothing yet"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Joe left.\n\nFred \xff left.\n", ":3: expected text in UTF-8, found other bytes"),
        (b"", ": expected statements and questions, one a line; found an empty file"),
        (b" \n\n", ": expected statements and questions, one a line; found an empty file"),
        (None, ": expected a story to read: No such file or directory"),
    ],
)
def test_stories_that_cannot_be_read(capsys, run, tmp_path, content, message):
    path = tmp_path / "story.txt"
    if content is not None:
        path.write_bytes(content)
    code, out, err = call(capsys, "ask", run, "--story", path)
    assert (code, out, err) == (1, "", f"memjax: {path}{message}\n")


def test_a_story_that_begins_with_a_mark(capsys, run, tmp_path):
    (tmp_path / "story.txt").write_text("Joe went to\u2028the kitchen.\n", encoding="utf-8-sig")  # and is one line
    code, out, _ = call(capsys, "ask", run, "--story", tmp_path / "story.txt")
    assert (code, out) == (0, "Joe went to\u2028the kitchen.\n")


def test_a_picture_that_cannot_be_drawn_does_not_end_the_talk(capsys, run, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(sys, "stdin", io.StringIO("Joe went to the hall.\nWhere is Joe?\nWhere is Joe?\n"))
    code, out, _ = call(capsys, "ask", run, "--picture", tmp_path / "file" / "hops.png")
    assert code == 0 and out.count("  (not drawn: ") == out.count("  -> ") == 2


def test_a_closed_input_ends_the_talk(capsys, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert call(capsys, "ask", run) == (0, "", "")


def test_no_answer_is_another_thing_than_no_memory():
    reply = Reply("", (), (), np.zeros((1, 1)), ("Joe left.",))
    assert next(show(reply)) == "  -> (no answer)"
    assert next(show(dataclasses.replace(reply, statements=()))) == "  -> I know nothing yet"


def test_ask_refuses_what_it_would_not_use(capsys, run):
    code, _, err = call(capsys, "ask", run, "--picture", "scores.pgn")
    assert code and "picture, the suffix: expected one of" in words(err) and "did you mean 'png'?" in words(err)
    code, _, err = call(capsys, "ask", run, "--picture", run)
    assert code == 1 and f"picture: expected a file to draw in, got the folder {run}" in err
    code, _, err = call(capsys, "evaluate", run, "--data", "corpora")
    assert code == 1 and "data: expected none for a run over what is generated, not read" in err
    code, _, err = call(capsys, "ask", run, "--data", "corpora")
    assert code and "data: expected none for a run over stories" in words(err)


def test_ask_draws_a_picture(capsys, run, tmp_path):
    (tmp_path / "story.txt").write_text("Where is Joe?\nJoe went to the kitchen.\nWhere is Joe?\n")
    picture = tmp_path / "scores.png"
    code, out, _ = call(capsys, "ask", run, "--story", tmp_path / "story.txt", "--picture", picture)
    assert code == 0
    assert out.count(f"drawn in {picture}") == 1, "nothing to draw of an empty memory"
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.thorough
def test_ask_with_a_small_memory(capsys, run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Dan went to the garden.\nJoe went to the kitchen.\nWhere is Dan?\n"))
    code, out, _ = call(capsys, "ask", run, "--num-slots", "1")
    assert code == 0
    assert "Joe went to the kitchen." in out and "Dan went to the garden." not in out


def test_ask_without_a_memory(capsys, run):
    code, _, err = call(capsys, "ask", run, "--num-slots", "0")
    assert code == 1 and "memjax: num_slots: " in err


def write_babi(folder: pathlib.Path) -> pathlib.Path:
    """The simulated world as files of the bAbI tasks; returns the training file."""
    folder = folder / "en-valid"
    folder.mkdir()
    for split in ("train", "valid", "test"):
        lines = []
        for example in WORLD.examples(split):
            lines += [f"{number} {text}" for number, text in enumerate(example.statements, start=1)]
            (answer,), (support,) = example.answers, example.supports
            lines.append(f"{len(example.statements) + 1} {example.question}\t{answer}\t{support + 1}")
        (folder / f"qa1_{split}.txt").write_text("\n".join(lines) + "\n")
    return folder / "qa1_train.txt"


def babi_args(folder: pathlib.Path, data: pathlib.Path) -> list[str]:
    return ["train", "--run-folder", str(folder), *MODEL, "babi", "--data", str(data), "--variant", "en-valid"]


def test_babi(capsys, run, tmp_path, monkeypatch):
    """The same stories in files give the same run, wherever the files lie."""
    write_babi(tmp_path)
    folder = tmp_path / "run"
    code, out, _ = call(capsys, *babi_args(folder, tmp_path))
    assert code == 0 and "valid: " in out
    assert (folder / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()

    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "en-valid").rename(moved / "en-valid")
    monkeypatch.delenv("MEMJAX_DATA", raising=False)
    code, _, err = call(capsys, "evaluate", folder)
    assert code == 1 and "--data DIR or set MEMJAX_DATA" in err
    by_flag = call(capsys, "evaluate", folder, "--data", moved)
    monkeypatch.setenv("MEMJAX_DATA", str(moved))
    by_variable = call(capsys, "evaluate", folder)
    assert by_flag[0] == 0 and by_flag == by_variable


def test_babi_with_a_bad_line(capsys, tmp_path):
    path = write_babi(tmp_path)
    lines = path.read_text().splitlines()
    lines[2] = "Joe went to the kitchen."
    path.write_text("\n".join(lines))
    code, out, err = call(capsys, *babi_args(tmp_path / "run", tmp_path))
    assert (code, out) == (1, "")
    assert f"memjax: {path}:3: expected a line that begins with its number" in err
    assert not (tmp_path / "run").exists()


def test_babi_that_is_not_there(capsys, tmp_path):
    code, _, err = call(capsys, *babi_args(tmp_path / "run", tmp_path / "none"))
    assert code == 1
    assert re.search(rf"memjax: {re.escape(str(tmp_path / 'none'))}: .*bAbI", err)


def test_without_the_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tyro", None)
    code, out, err = call(capsys, "--help")
    assert (code, out) == (1, "")
    assert "pip install 'memjax[app]'" in err


def test_without_the_extra_tensorboard(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    code, _, err = call(capsys, *train_args(tmp_path / "run", "--tensorboard"))
    assert code == 1 and "memjax: TensorBoard events need the extra: pip install 'memjax[tensorboard]'" in err
    assert not (tmp_path / "run").exists()


def test_stopped_by_hand(capsys, monkeypatch, run):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "evaluate", stop)
    code, _, err = call(capsys, "evaluate", run)
    assert code == 130 and err.strip() == "memjax: stopped"
    monkeypatch.setattr("memjax.cli.train.train", stop)
    for folder, more in ((run, "; go on with --resume"), (run / "none", "")):
        code, _, err = call(capsys, "train", "--run-folder", folder)
        assert code == 130 and err.strip() == f"memjax: stopped{more}"


def test_demo(capsys, monkeypatch, tmp_path):
    """With tiny models: a table, a story, answers, pictures, and a run to talk to."""
    demo_module = importlib.import_module("memjax.cli.demo")
    monkeypatch.setattr(demo_module, "_CORPUS", WORLD)
    monkeypatch.setattr(demo_module, "_BASE", CONFIG)
    monkeypatch.setattr(demo_module, "MODELS", {"tiny": dataclasses.replace(CONFIG, seed=1), "best": CONFIG})
    folder = tmp_path / "demo"
    for _ in range(2):  # the second replaces the first
        code, out, _ = call(capsys, "demo", "--folder", folder)
        assert code == 0
    assert re.search(r"tiny\s.*\d\d\.\d.*\d\d\.\d", out) and re.search(r"best\s.*\d\d\.\d.*\d\d\.\d", out)
    for sentence in (*demo_module.STORY, *demo_module.QUESTIONS):
        assert sentence in out
    assert out.count("  -> ") == len(demo_module.QUESTIONS)
    assert sorted(path.name for path in folder.glob("*.png")) == [f"question_{n}.png" for n in (1, 2, 3)]
    code, out, _ = call(capsys, "evaluate", folder)
    assert code == 0


@pytest.mark.thorough
def test_a_language_model_at_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("memjax.recipes.language_course.NUM_BUCKETS", 1)
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text("the cat sees a dog\na dog sees the cat\n")
    run, sizes = tmp_path / "run", ("--features", "3", "--hidden-features", "4", "--epochs", "2")
    code, out, _ = call(capsys, "train", "text", "--data", tmp_path, "--run-folder", run, *sizes)
    assert code == 0 and re.search(r"valid: perplexity \d+\.\d\d\n.*generate", out)
    code, out, _ = call(capsys, "evaluate", run, "--data", tmp_path)
    assert code == 0 and re.fullmatch(r"test: perplexity \d+\.\d\d\n", out)
    (tmp_path / "test.txt").write_text("the cat sees a zebra\n")
    code, out, _ = call(capsys, "evaluate", run, "--data", tmp_path)
    assert code == 0 and out.endswith(", without the 20.0 % of words that it does not know\n")
    code, out, _ = call(capsys, "generate", run, "the cat", "--samples", "2", "--max-words", "3")
    assert code == 0 and [line[:7] for line in out.splitlines()] == ["the cat"] * 2
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfthe cat\n\nthe zebra a dog\n")))
    code, out, _ = call(capsys, "score", run, "-")
    assert code == 0 and out.count("\n") == 3
    assert "perplexity of 7 words and ends of sentences; 1 words that the model does not know are left out" in out
    code, out, _ = call(capsys, "score", run, tmp_path / "test.txt", "--words")
    assert code == 0 and re.match(r" +-\d+\.\d{4}  the\n", out)
    (tmp_path / "marked.txt").write_text("the cat sees a dog <eos>\n")
    (tmp_path / "plain.txt").write_text("the cat sees a dog\n")
    shown = [call(capsys, "score", run, tmp_path / name)[1].splitlines()[-1] for name in ("marked.txt", "plain.txt")]
    assert shown[0] == shown[1]
    (tmp_path / "marked.txt").write_text("the cat <eos> a dog\n")
    assert "marked.txt:1: expected <eos> at the end" in call(capsys, "score", run, tmp_path / "marked.txt")[2]
    picture = tmp_path / "pictures" / "arcs.png"
    assert call(capsys, "plot", run, "the cat sees", "--picture", picture)[0] == 0 and picture.is_file()
    assert "layer: expected a layer from 1 to 1, got 2" in call(capsys, "plot", run, "the cat", "--layer", "2")[2]
    code, _, err = call(capsys, "score", run, tmp_path / "none.txt")
    assert code == 1 and "none.txt: expected a readable file" in err
    (tmp_path / "bad.txt").write_bytes(b"\n\xff\xfe")
    assert "bad.txt:2: expected UTF-8" in call(capsys, "score", run, tmp_path / "bad.txt")[2]
    (tmp_path / "bad.txt").write_bytes(b"\n")
    assert "bad.txt: expected at least one line with words" in call(capsys, "score", run, tmp_path / "bad.txt")[2]
    (tmp_path / "bad.txt").write_bytes(b"<eos>\n")
    assert "bad.txt: expected at least one line with words" in call(capsys, "score", run, tmp_path / "bad.txt")[2]
    assert "samples: expected" in call(capsys, "generate", run, "the", "--samples", "0")[2]
    assert "seeds: expected" in call(capsys, "generate", run, "the", "--seed", str(2**40))[2]
    code, _, err = call(capsys, "ask", run)
    assert code == 1 and "expected a run over stories" in err


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("corpus", "files", "line", "names", "pictures"),
    [
        ("sst", {"sst/trees/{}.txt": "(4 (2 a) (4 gem))\n(0 (2 a) (0 bore))\n"}, "a gem zzz", 5, [""]),
        (
            "snli",
            {
                "snli/train_subset_a.tsv": "3\t3\ta dog runs\ta dog\n2\t2\ta dog\ta cat\n",
                "snli/{}.tsv": "premise\thypothesis\tlabel\na cat runs\ta dog\t2\n",
            },
            "a dog\ta cat zzz",
            3,
            ["-premise", "-hypothesis"],
        ),
    ],
)
def test_labels_at_the_command_line(capsys, tmp_path, monkeypatch, corpus, files, line, names, pictures):
    for name, content in files.items():
        for split in ("train", "dev", "test"):
            path = tmp_path / name.format(split)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    run, sizes = tmp_path / "run", ("--features", "3", "--hidden-features", "4", "--epochs", "1", "--vectors", "none")
    code, out, _ = call(capsys, "train", corpus, "--data", tmp_path, "--run-folder", run, *sizes)
    assert code == 0 and re.search(r"valid: \d+\.\d\d % .*\n.*label", out)
    code, out, _ = call(capsys, "evaluate", run, "--data", tmp_path)
    assert code == 0 and out.startswith("test: ")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"\n{line}\n".encode())))
    code, out, err = call(capsys, "label", run, "-", "--probabilities")
    assert code == 0 and out.startswith("\n") and out.endswith(f"  {line}\n") and out.count("0.") == names
    assert "1 of " in err and "words are unknown" in err
    picture = tmp_path / "arcs.png"
    assert call(capsys, "plot", run, line, "--picture", picture)[0] == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(f"arcs{name}.png" for name in pictures)


def test_the_command_is_installed_as_memjax():
    setup = (pathlib.Path(memjax.__file__).parents[1] / "setup.cfg").read_text()
    assert "memjax = memjax.cli:main" in setup
