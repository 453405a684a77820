# SPDX-License-Identifier: Apache-2.0
"""`memjax ask`: a conversation with a trained model."""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from memjax.cli.pictures import drawn
from memjax.errors import DataError
from memjax.recipes import (
    Answerer,
    KeyValueReader,
    KeyValueReply,
    KnowledgeBase,
    KnowledgeReply,
    Listener,
    Reply,
    Trained,
    load_answering,
)

HELP = "Tell me statements, one a line; ask with a line that ends in ?. Empty line or Ctrl-D: leave. /forget: forget."

KNOWLEDGE_HELP = "Ask questions, one a line, as: who directed Blade Runner? Empty line or Ctrl-D: leave."

#: Answers that are shown.
MAX_ANSWERS = 20


def show(reply: Reply) -> Iterator[str]:
    """The lines that show an answer and the facts behind it."""
    nothing = "(no answer)" if reply.statements else "I know nothing yet"
    yield f"  -> {reply.answer or nothing}"
    if reply.answer and not reply.supports:
        yield "     no supporting fact was found"
    for hop, support in enumerate(reply.supports, start=1):
        again = any(support.told == other.told for other in reply.supports[: hop - 1])
        nothing_new = "the same fact again" if reply.soft else "the same fact again: no other one is needed"
        kind = "weight" if reply.soft else "score"
        text = nothing_new if again else support.text
        yield f"     {hop}. {text}   (statement {support.told + 1}, {kind} {support.score:.2f})"
    if reply.unknown:
        yield f"     I do not know: {', '.join(reply.unknown)}"


def converse(answerer: Answerer, lines: Iterable[str], picture: Path | None = None) -> Iterator[str]:
    """Stores or answers one line after another.

    Args:
        answerer: holds the memory.
        lines: statements, and questions that end in `?`.
        picture: where to draw each answer's scores.

    Yields:
        What there is to print.
    """
    for line in lines:
        line = line.strip()
        if not line:
            continue
        if line == "/forget":
            answerer.forget()
            yield "  (forgotten)"
        elif line.endswith("?"):
            try:
                reply = answerer.ask(line)
            except ValueError as error:
                yield f"  ({error})"
                continue
            yield from show(reply)
            if picture is not None and reply.statements:
                from memjax import plots

                yield drawn(picture, plots.hop_scores(line, reply))
        else:
            try:
                unknown = answerer.tell(line)
            except ValueError as error:
                yield f"  ({error})"
                continue
            if unknown:
                yield f"  (I do not know: {', '.join(unknown)})"


def show_knowledge(reply: KnowledgeReply) -> Iterator[str]:
    """The lines that show an answer from a knowledge base and the triples behind it."""
    # The best answer first, then the others by name.
    names = sorted(reply.answers, key=lambda name: (name != reply.answer, name))
    more = f", and {len(names) - MAX_ANSWERS} more" if len(names) > MAX_ANSWERS else ""
    yield f"  -> {', '.join(names[:MAX_ANSWERS]) + more if names else 'I found nothing'}"
    for hop, (triple, score) in enumerate(zip(reply.supports, reply.scores, strict=True), start=1):
        yield f"     {hop}. {' | '.join(triple)}   (score {score:.2f})"
    if reply.unknown:
        yield f"     I do not know: {', '.join(reply.unknown)}"


def show_key_value(reply: KeyValueReply) -> Iterator[str]:
    """The lines that show an answer and the triples that were read most for it."""
    yield f"  -> {reply.answer or 'I found nothing'}"
    if reply.answer_read != reply.answer:
        yield f"     of what was read: {reply.answer_read}"
    for number, (triple, weight) in enumerate(zip(reply.supports, reply.weights, strict=True), start=1):
        yield f"     {number}. {' | '.join(triple)}   (weight {weight:.2f})"
    if reply.unknown:
        yield f"     I do not know: {', '.join(reply.unknown)}"


def converse_knowledge(ask: Callable[[str], Iterable[str]], lines: Iterable[str]) -> Iterator[str]:
    """Answers one line after another.

    Args:
        ask: from a question to the lines that show its answer.
        lines: questions.

    Yields:
        What there is to print.
    """
    for line in lines:
        if line.strip():
            try:
                yield from ask(line.strip())
            except ValueError as error:
                yield f"  ({error})"


def ask_knowledge(folder: Path, data: str | None) -> None:
    """Answers questions over a knowledge base, at the terminal or from standard input."""
    knowledge = KnowledgeBase.load(folder, data)
    _ask_knowledge(lambda question: show_knowledge(knowledge.ask(question)))


def ask_key_value(folder: Path, data: str | None) -> None:
    """The same with a key-value Memory Network."""
    reader = KeyValueReader.load(folder, data)
    _ask_knowledge(lambda question: show_key_value(reader.ask(question)))


def _ask_knowledge(ask: Callable[[str], Iterable[str]]) -> None:
    if at_terminal():
        print(KNOWLEDGE_HELP)
    say(converse_knowledge(ask, lines_to_answer()))


def read_story(path: Path) -> list[str]:
    """Reads a story, one statement or question a line.

    Raises:
        DataError: if there is no such file, nothing in it, or it is not UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError("expected text in UTF-8, found other bytes", path, line) from None
    except OSError as error:
        raise DataError(f"expected a story to read: {error.strerror}", path) from None
    lines = text.removesuffix("\n").split("\n")  # not at every mark that may end a line for somebody
    if not any(line.strip() for line in lines):
        raise DataError("expected statements and questions, one a line; found an empty file", path)
    return lines


def ask(folder: Path, story: Path | None, picture: Path | None, num_slots: int | None) -> None:
    """Reads a story, if there is one, then talks at the terminal or reads standard input."""
    lines = [] if story is None else read_story(story)
    trained = load_answering(folder)
    hears = isinstance(trained, Trained) and trained.segmenter is not None
    answerer = Listener(trained, num_slots) if hears else Answerer(trained, num_slots)  # type: ignore[arg-type]
    for line in lines:
        print(line)
        say(converse(answerer, [line], picture))
    if at_terminal():
        print(HELP)
    if at_terminal() or story is None:
        say(converse(answerer, lines_to_answer(), picture))


def say(lines: Iterable[str]) -> None:
    """Prints lines, each at once: another program may wait for it."""
    for line in lines:
        print(line, flush=True)


def at_terminal() -> bool:
    """Whether a person types."""
    return sys.stdin is not None and sys.stdin.isatty()


def lines_to_answer() -> Iterator[str]:
    """The lines of a person at the terminal, or of standard input."""
    return prompt() if at_terminal() else piped()


def piped() -> Iterator[str]:
    """The lines of standard input, none where it is closed."""
    try:
        for number, line in enumerate(sys.stdin or ()):
            yield line if number else line.removeprefix("\ufeff")  # a mark of byte order
    except UnicodeDecodeError:
        raise DataError("expected text in UTF-8, found other bytes", "standard input") from None


def prompt(empty_ends: bool = True) -> Iterator[str]:
    """The lines that are typed; Ctrl-D ends them, and so does an empty line with `empty_ends`."""
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  line editing and history
    while True:
        try:
            line = input("> ")
        except EOFError:
            return
        if empty_ends and not line.strip():
            return
        yield line
