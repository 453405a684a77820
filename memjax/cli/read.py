# SPDX-License-Identifier: Apache-2.0
"""`memjax generate`, `score`, `label` and `plot`: a trained model that reads sentences."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from memjax.cli.pictures import save_picture
from memjax.errors import DataError
from memjax.recipes import Labeller, Reader


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


def labels(labeller: Labeller, lines: list[str], probabilities: bool) -> Iterator[str]:
    """What there is to print: each line with its label in front."""
    width = max(map(len, labeller.names))
    for line, label in zip(lines, labeller.label(lines), strict=True):
        shares = "".join(f"{share:6.3f}" for share in label.probabilities.values()) + "  "
        yield f"{label.name:{width}}  {shares if probabilities else ''}{line}"


def plot(model: Reader | Labeller, sentence: str, layer: int, picture: Path) -> Iterator[Path]:
    """Draws what each word of a sentence attends to; of a pair, each sentence, and what is read across.

    Yields:
        Where the pictures are.
    """
    from memjax import plots

    words: Any
    weights: Any
    words, weights = model.attention(sentence)
    if isinstance(model, Reader):
        words = (words,)  # of one sentence
    num_layers = len(weights.source if len(words) > 1 else weights)
    if not 1 <= layer <= num_layers:
        raise ValueError(f"layer: expected a layer from 1 to {num_layers}, got {layer}")
    if len(words) == 1:
        drawn = {"": plots.attention_arcs(words[0], weights[layer - 1])}
    else:
        (premise, hypothesis), own = words, np.asarray(weights.target[layer - 1])
        drawn = {
            "-premise": plots.attention_arcs(premise, weights.source[layer - 1]),
            "-hypothesis": plots.attention_arcs(hypothesis, own[:, own.shape[1] - len(hypothesis) :]),
        }
        if weights.inter is not None:
            across = weights.inter[min(layer, len(weights.inter)) - 1]
            drawn["-across"] = plots.attention_map(hypothesis, premise, across)
    for name, figure in drawn.items():
        path = picture.with_stem(picture.stem + name)
        save_picture(path, figure)
        yield path
