# SPDX-License-Identifier: Apache-2.0
"""How a language model's run goes over its texts: what each epoch reads, and how a text is measured."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memjax import data
from memjax.data.ptb import END
from memjax.models import LanguageModel
from memjax.recipes.language_program import LanguageProgram, in_order, span_of
from memjax.recipes.reading import STEPS_OF_A_PLAN, Course, cosine, fall, make_plans, total
from memjax.recipes.reading_config import LanguageConfig
from memjax.recipes.texts import Words
from memjax.training import TextBatch, TextStream
from memjax.typing import Array, PyTree

#: Shapes that sentences are padded to; each is compiled.
NUM_BUCKETS = 8

#: What a corpus has in place of rare words.
RARE = "<unk>"

#: Stretches of a stream that are measured side by side, at most; each begins with an empty tape.
MEASURED_STRETCHES = 20
#: Words of such a stretch, at least, where there are several.
STRETCH_WORDS = 1000


def known_words(words: Sequence[str], vocabulary: data.Vocabulary) -> list[str]:
    """The words of a sentence as a language model knows them.

    Args:
        words: of a sentence.
        vocabulary: of the training text.

    Returns:
        A word itself, or in lower case where only that is known, or `<unk>`, which a corpus may have in place of rare
        words. Where it has none the word stays unknown: as a word to be predicted it is left out, and it is read as a
        word without features (where scores are tied to embeddings, with those of a word that never comes).

    Example:
        >>> known_words(["A", "zebra"], data.Vocabulary(("<unk>", "a")))
        ['a', '<unk>']
    """
    known = [word if word in vocabulary else word.lower() for word in words]
    return [word if word in vocabulary else RARE for word in known]


@dataclasses.dataclass(frozen=True)
class TrainingText:
    """What a run learns from.

    Attributes:
        sentences: token ids of the training text.
        mark: token id of the end of a sentence.
        num_seeds: that train side by side.
        seed: of the order in each epoch.
    """

    sentences: data.Sequences
    mark: int
    num_seeds: int
    seed: int


def make_course(
    config: LanguageConfig,
    program: LanguageProgram,
    vocabulary: data.Vocabulary,
    text: Sequence[Words],
    valid: Sequence[Words],
    seeds: tuple[int, ...],
) -> Course:
    """The epochs of a run: sentence by sentence, along the text, or in windows from anywhere in it.

    Args:
        config: the configuration.
        program: of it.
        vocabulary: of the training text.
        text: the training text, words of each sentence.
        valid: the validation text.
        seeds: that train side by side, in the order of the first.
    """
    (mark,) = vocabulary.encode([END])
    given = TrainingText(data.encode_sequences(text, vocabulary), mark, len(seeds), seeds[0] % 2**32)
    part = _along_the_text if in_order(config) else _from_anywhere if config.tape == "carried" else _by_sentence
    return Course(
        start=program.init,
        measure=make_measurer(config, program, vocabulary, valid),
        next_rate=cosine(config.learning_rate, config.epochs)
        if config.schedule == "cosine"
        else fall(config.decay, config.significant),
        summarize=lambda sums: {"loss": sums["nats"] / sums["words"]},
        **part(config, program, given),
    )


def _by_sentence(config: LanguageConfig, program: LanguageProgram, text: TrainingText) -> dict[str, Any]:
    inputs, targets = data.next_words(text.sentences, text.mark)
    buckets = data.bucket_lengths(inputs.lengths, NUM_BUCKETS)
    shapes = tuple(int(size) for size in buckets.boundaries)
    corpus, learn = _on_device(inputs, targets), program.learn(shapes)

    def plans(epoch: int) -> Sequence[Any]:
        return make_plans(data.plan_batches(buckets, config.batch_size, seed=text.seed, epoch=epoch), shapes)

    return {
        "learn": lambda state, plan: learn(state, (corpus, plan)),
        "parts": plans,
        "steps": -(-len(inputs) // config.batch_size),
        "padding": data.padding_share(inputs.lengths, data.plan_batches(buckets, config.batch_size)),
    }


def _along_the_text(config: LanguageConfig, program: LanguageProgram, text: TrainingText) -> dict[str, Any]:
    cut = functools.partial(data.windows, text.sentences, text.mark, config.batch_size, config.window)

    def stretches(epoch: int) -> list[TextBatch]:
        """Each epoch begins elsewhere in the text."""
        first = np.random.default_rng([text.seed, epoch]).integers(len(text.sentences))
        return window_parts(cut(int(first)))

    windows = cut()
    tapes = _empty_tapes(config, program.model, config.batch_size, text.num_seeds)
    return {
        "learn": program.learn(()),
        "parts": stretches,
        "steps": len(windows),
        "padding": 1 - float(windows.lengths.mean()) / config.window,
        "enter": lambda state: (state, jax.tree.map(jnp.copy, tapes)),
        "leave": lambda carry: carry[0],
    }


def _from_anywhere(config: LanguageConfig, program: LanguageProgram, text: TrainingText) -> dict[str, Any]:
    words = np.append(text.mark, data.running_text(text.sentences, text.mark))
    first_words = np.arange(0, len(words) - 1, config.window)
    slots = span_of(config) or 1
    stream = TextStream(jnp.asarray(np.pad(words, (slots, config.window)), jnp.int32), slots)
    learn = program.learn((config.window,))

    def windows(epoch: int) -> Sequence[Any]:
        """In another order in each epoch."""
        rows = np.random.default_rng([text.seed, epoch]).permutation(first_words)
        rows = np.pad(rows, (0, -len(rows) % config.batch_size), constant_values=-1)
        batches = [data.Batch(each, config.window) for each in rows.reshape(-1, config.batch_size)]
        return make_plans(batches, (config.window,))

    return {
        "learn": lambda state, plan: learn(state, (stream, plan)),
        "parts": windows,
        "steps": -(-len(first_words) // config.batch_size),
        "padding": 0.0,
    }


def make_measurer(
    config: LanguageConfig, program: LanguageProgram, vocabulary: data.Vocabulary, text: Sequence[Words]
) -> Callable[[PyTree], Array]:
    """`fn(params) -> -log p of a word [R]`, the mean over a text."""
    encoded = data.encode_sequences([known_words(words, vocabulary) for words in text], vocabulary)
    (mark,) = vocabulary.encode([END])
    if config.tape == "carried":
        num_words = int((encoded.lengths + 1).sum())  # and ends of sentences
        stretches = min(MEASURED_STRETCHES, max(1, num_words // STRETCH_WORDS))
        parts = window_parts(data.windows(encoded, mark, stretches, config.window))
        run = program.measure(())

        def measure_stream(params: PyTree) -> Array:
            num_seeds = jax.tree.leaves(params)[0].shape[0]
            carry, found = (params, _empty_tapes(config, program.model, stretches, num_seeds)), []
            for part in parts:
                carry, sums = run(carry, part)
                found.append(sums)
            return _mean(found)

        return measure_stream
    inputs, targets = data.next_words(encoded, mark)
    buckets = data.bucket_lengths(inputs.lengths, NUM_BUCKETS)
    shapes = tuple(int(size) for size in buckets.boundaries)
    corpus, run = _on_device(inputs, targets), program.measure(shapes)
    plans = make_plans(data.plan_batches(buckets, config.batch_size), shapes)
    return lambda params: _mean([run(params, (corpus, plan)) for plan in plans])


def _mean(found: list[dict[str, Array]]) -> Array:
    sums = total(found)
    return jnp.asarray(sums["nats"] / sums["words"], jnp.float32)


def _on_device(inputs: data.Sequences, targets: data.Sequences) -> TextBatch:
    return TextBatch(jnp.asarray(inputs.tokens), jnp.asarray(targets.tokens), jnp.asarray(inputs.lengths))


def window_parts(windows: data.Windows) -> list[TextBatch]:
    """Windows in parts of equal size; the last is filled up with windows without words."""
    rest = -len(windows) % STEPS_OF_A_PLAN

    def parts(values: np.ndarray) -> list[Array]:
        filled = np.pad(values, ((0, rest), *[(0, 0)] * (values.ndim - 1)))
        return [jnp.asarray(part) for part in np.split(filled, len(filled) // STEPS_OF_A_PLAN)]

    columns = (parts(values) for values in (windows.inputs, windows.targets, windows.lengths))
    return [TextBatch(*leaves) for leaves in zip(*columns, strict=True)]


def _empty_tapes(config: LanguageConfig, model: LanguageModel, batch: int, num_seeds: int) -> Any:
    tapes = model.empty_tapes(batch, span_of(config) or 1)
    return jax.tree.map(lambda leaf: jnp.zeros((num_seeds, *leaf.shape), leaf.dtype), tapes)
