# SPDX-License-Identifier: Apache-2.0
"""From a stream of words to segments: a segmenter of its own for each run, trained before the Memory Network."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from memjax.data import Vocabulary
from memjax.data.streams import Stream, encode_segments
from memjax.errors import RunError
from memjax.models import Cuts, Segmenter
from memjax.recipes.config import AnsweringConfig
from memjax.recipes.program import MAX_SENTENCE
from memjax.training import (
    SegmentBatch,
    TrainState,
    create_state,
    load_pytree,
    make_epoch,
    make_segment_loss,
    make_step,
    save_pytree,
    with_params,
)
from memjax.typing import PAD, Array, PyTree

#: Steps of training, rounded up to whole epochs: ten of them with the paper's 3,000 questions, as in the paper.
STEPS = 1000


@dataclasses.dataclass(frozen=True)
class SegmenterProgram:
    """What a segmenter does on the device.

    Attributes:
        model: the structure; its own parameters are not used.
        fit: `fn(seed, segments) -> params`.
        segment: `fn(params, tokens [T]) -> cuts`.
    """

    model: Segmenter
    fit: Callable[[Array, SegmentBatch], PyTree]
    segment: Callable[[PyTree, Array], Cuts]


@dataclasses.dataclass(frozen=True)
class TrainedSegmenter:
    """Cuts streams of words.

    Attributes:
        vocabulary: the words of the training stream.
        program: the jitted functions.
        params: the parameters.
    """

    vocabulary: Vocabulary
    program: SegmenterProgram
    params: PyTree

    def ends(self, stream: Stream) -> list[int]:
        """Cuts a stream by its words alone.

        Returns:
            For each segment, the number of words told when it is over.
        """
        tokens = self.vocabulary.encode(stream.words)
        size = max(64, 1 << max(len(tokens) - 1, 0).bit_length())  # streams of like length share a program
        cuts = self.program.segment(self.params, jnp.asarray(tokens + [PAD] * (size - len(tokens)), jnp.int32))
        return (np.flatnonzero(cuts.ends) + 1).tolist()


@functools.lru_cache(maxsize=32)
def _program(num_words: int, features: int, learning_rate: float, batch_size: int, epochs: int) -> SegmenterProgram:
    def build(key: Array) -> Segmenter:
        return Segmenter(num_words, features, longest=MAX_SENTENCE, rngs=nnx.Rngs(key))

    model = build(jax.random.key(0))

    def fit(seed: Array, segments: SegmentBatch) -> PyTree:
        size = min(batch_size, len(segments))
        optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, epochs * (len(segments) // size)))
        epoch = make_epoch(make_step(model, optimizer, make_segment_loss()), batch_size)
        weights, run = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1))
        state = create_state(build(weights), optimizer, run)

        def one(state: TrainState, _: None) -> tuple[TrainState, None]:
            return epoch(state, segments)[0], None

        return jax.lax.scan(one, state, length=epochs)[0].params

    def segment(params: PyTree, tokens: Array) -> Cuts:
        return with_params(model, params).segment(tokens)[1]

    return SegmenterProgram(model=model, fit=jax.jit(fit), segment=jax.jit(segment))


def fit_segmenter(
    config: AnsweringConfig, seed: int, stream: Stream, vocabulary: Vocabulary, folder: Path | None
) -> TrainedSegmenter:
    """Trains a segmenter on the supporting statements of a stream, or loads the one that a run has already.

    Args:
        config: gives features, learning rate and batch size.
        seed: of initial weights, order and wrong segments.
        stream: to learn from.
        vocabulary: its words.
        folder: the run folder to keep it in, if there is one.

    Raises:
        ValueError: if the stream has no question with supports.
    """
    if folder is not None:  # a kill may have left one, or a part of one
        with contextlib.suppress(RunError):
            return load_segmenter(config, vocabulary, folder)
    segments, following = encode_segments(stream, vocabulary)
    if not len(segments):
        raise ValueError("stream: expected questions with supporting statements to learn segments from, got none")
    batch = SegmentBatch(jnp.asarray(segments), jnp.asarray(following))
    epochs = -(-STEPS // max(len(batch) // config.batch_size, 1))
    program = _program(vocabulary.num_words, config.features, config.learning_rate, config.batch_size, epochs)
    params = program.fit(jnp.asarray(seed), batch)
    if folder is not None:
        save_pytree(_place(folder), params, overwrite=True)
    return TrainedSegmenter(vocabulary, program, params)


def load_segmenter(config: AnsweringConfig, vocabulary: Vocabulary, folder: Path) -> TrainedSegmenter:
    """Loads the segmenter of a run folder.

    Raises:
        RunError: if there is none.
    """
    program = _program(vocabulary.num_words, config.features, config.learning_rate, config.batch_size, epochs=1)
    shapes = jax.eval_shape(program.fit, jnp.int32(0), SegmentBatch(*jnp.zeros((2, 1, 1), jnp.int32)))
    return TrainedSegmenter(vocabulary, program, load_pytree(_place(folder), shapes))


def _place(folder: Path) -> Path:
    return folder / "segmenter"
