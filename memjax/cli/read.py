# SPDX-License-Identifier: Apache-2.0
"""`memjax generate`, `score` and `plot`: a trained model that reads sentences."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from memjax.errors import DataError
from memjax.recipes import Reader


def lines_of(file: Path) -> list[str]:
    """The lines of a file, or of the standard input (`-`), that hold something.

    Raises:
        DataError: if the file cannot be read or is no text.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"expected a text file, got: {error}", file) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def scores(reader: Reader, lines: list[str], words: bool) -> Iterator[str]:
    """What there is to print: each sentence with its perplexity, or each word; the perplexity of all at the end."""
    nats, count = 0.0, 0
    for line, scored in zip(lines, reader.score_all(lines), strict=True):
        nats, count = nats - sum(scored.log_probs), count + len(scored.log_probs)
        if words:
            yield from (f"{log_prob:9.4f}  {word}" for word, log_prob in zip(*vars(scored).values(), strict=True))
            yield ""
        else:
            yield f"{scored.perplexity:10.2f}  {line}"
    yield f"{np.exp(nats / max(count, 1)):10.2f}  perplexity of {count} words and ends of sentences"


def plot(reader: Reader, sentence: str, layer: int, picture: Path) -> None:
    """Draws what each word of a sentence attends to."""
    from memjax import plots

    tokens, maps = reader.attention(sentence)
    if not 1 <= layer <= len(maps):
        raise ValueError(f"layer: expected a layer from 1 to {len(maps)}, got {layer}")
    picture.parent.mkdir(parents=True, exist_ok=True)
    plots.attention_arcs(tokens, maps[layer - 1]).savefig(picture, dpi=150)
