# SPDX-License-Identifier: Apache-2.0
"""`memjax generate`, `score`, `label` and `plot`: a trained model that reads sentences."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from memjax.cli.pictures import save_picture
from memjax.data import ptb
from memjax.data._lines import lines_of, read_lines, short, texts_of
from memjax.errors import DataError
from memjax.recipes import Labeller, Reader


class Line(NamedTuple):
    """A line that holds something, and where it stands."""

    path: str
    number: int
    text: str


def read_input(file: Path) -> list[Line]:
    """The lines of a file, or of the standard input (`-`), that hold something.

    Raises:
        DataError: if the file cannot be read, is no text, or holds nothing.
    """
    path = "standard input" if str(file) == "-" else str(file)
    lines = lines_of(sys.stdin.buffer if sys.stdin else io.BytesIO(), path) if str(file) == "-" else read_lines(file)
    found = [Line(path, *line) for line in texts_of(lines, path)]
    if not found:
        raise DataError("expected at least one line with words, got none", path)
    return found


def scores(reader: Reader, lines: list[Line], words: bool) -> Iterator[str]:
    """What there is to print: each sentence with its perplexity, or each word; the perplexity of all at the end.

    Raises:
        DataError: if there are no words.
    """
    nats, count, unknown = 0.0, 0, 0
    sentences = [ptb.words_of(line.text, line.path, line.number) for line in lines]
    texts = [" ".join(words) for words in sentences if words]
    if not texts:
        raise DataError("expected at least one line with words, got ends of sentences alone", lines[0].path)
    for line, scored in zip(texts, reader.score_all(texts), strict=True):
        known = [log_prob for log_prob in scored.log_probs if not np.isnan(log_prob)]
        nats, count, unknown = nats - sum(known), count + len(known), unknown + len(scored.words) - len(known)
        if words:
            yield from (f"{log_prob:9.4f}  {word}" for word, log_prob in zip(*vars(scored).values(), strict=True))
            yield ""
        else:
            yield f"{scored.perplexity:10.2f}  {line}"
    left_out = f"; {unknown} words that the model does not know are left out" if unknown else ""
    yield f"{np.exp(nats / max(count, 1)):10.2f}  perplexity of {count} words and ends of sentences{left_out}"


def labels(labeller: Labeller, lines: list[Line], probabilities: bool) -> Iterator[str]:
    """What there is to print: each line with its label in front, and nothing for one without words.

    How many words the model does not know is said on the standard error, where the labels are no part of it.

    Raises:
        DataError: if a line is not as the model wants it.
    """
    width, texts = max(map(len, labeller.names)), []
    for line in lines:
        try:
            text = labeller.split(line.text)
        except ValueError as error:
            raise DataError(str(error), line.path, line.number) from None
        if not all(text):
            raise DataError(f"expected words in each sentence, got {short(line.text)}", line.path, line.number)
        texts.append(text)
    number = 0
    for line, label in zip(lines, labeller.label_texts(texts), strict=True):
        yield from [""] * (line.number - number - 1)
        number = line.number
        shares = "".join(f"{name} {share:.3f}  " for name, share in label.probabilities.items())
        yield f"{label.name:{width}}  {shares if probabilities else ''}{line.text}"
    words = [word for text in texts for sentence in text for word in sentence]
    unknown = sum(word not in labeller.vocabulary for word in words)
    if unknown:
        print(
            f"memjax: {unknown} of {len(words)} words are unknown to the model, which reads nothing in their place",
            file=sys.stderr,
        )


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
