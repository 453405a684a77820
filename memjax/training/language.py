# SPDX-License-Identifier: Apache-2.0
"""Language models: batches of words and the words that follow, their loss and how well they predict."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import struct
from jax.typing import DTypeLike

from memjax.losses import word_loss
from memjax.models import LanguageModel
from memjax.nn import Recent
from memjax.training.planned import scan_kinds
from memjax.training.state import ModelLossFn, StepFn
from memjax.typing import PAD, UNKNOWN, Array, PyTree


@struct.dataclass
class TextBatch:
    """Words, and the word that follows each.

    Attributes:
        inputs: token ids; 0 = padding.
        targets: token ids of the words that follow.
        lengths: words that count in each row.
        tapes: of each layer, what the rows go on from; None for nothing.
    """

    inputs: Array  # int32 [B, T]
    targets: Array  # int32 [B, T]
    lengths: Array  # int32 [B]
    tapes: Any = None

    def __len__(self) -> int:
        """The number of rows."""
        return self.inputs.shape[0]

    def take(self, rows: Array, num_steps: int) -> "TextBatch":
        """The rows of `rows`, int `[B]`, padded to `num_steps`; -1 is a row without words."""
        lengths = jnp.where(rows < 0, 0, self.lengths[rows])
        return TextBatch(self.inputs[rows, :num_steps], self.targets[rows, :num_steps], lengths)

    @property
    def counts(self) -> Array:
        """Which words are to be predicted, bool `[B, T]`: not what is beyond the lengths, and no unknown word."""
        within = jnp.arange(self.inputs.shape[1])[None] < self.lengths[:, None]
        return within & (self.targets != UNKNOWN)


@struct.dataclass
class TextStream:
    """A text as one stream, from which windows are taken anywhere, each with the words before it as its tape.

    Attributes:
        words: token ids of the text, behind `slots` zeros, and with as many zeros behind as a window has words.
        slots: N, words that a tape remembers.
    """

    words: Array  # int32 [N + Q + T]
    slots: int = struct.field(pytree_node=False)

    def take(self, rows: Array, num_steps: int) -> TextBatch:
        """The windows of T words that begin at `rows`, int `[B]`; -1 is one without words."""
        words = self.words[jnp.maximum(rows, 0)[:, None] + jnp.arange(self.slots + num_steps + 1)[None]]
        before, inputs, targets = words[:, : self.slots], words[:, self.slots : -1], words[:, self.slots + 1 :]
        lengths = jnp.where(rows < 0, 0, (targets != PAD).sum(axis=1, dtype=jnp.int32))
        return TextBatch(inputs, targets, lengths, (Recent(before, jnp.clip(rows, 0, self.slots)),))


def make_language_loss(dtype: DTypeLike | None = None) -> ModelLossFn:
    """Makes the loss of a language model: the mean over rows of the sum over words of -log p.

    Args:
        dtype: of what enters the products of the output layer; sums stay float32. None is that of the model.

    Returns:
        `fn(model, batch, key) -> (loss, metrics)` over a `TextBatch`; the metrics are sums: `nats`, -log p of all
        words, `words`, how many, and `tapes`, where the batch went on from some.

    Reference: Cheng et al. 2016, section 5.1.
    Departs from the paper: it does not say over what the loss is a mean; its rate of 0.65 wants sums over words.
    """

    def loss_fn(model: LanguageModel, batch: TextBatch, key: Array) -> tuple[Array, dict[str, Any]]:
        sums = _sums(model, batch, key, dtype)
        return sums["nats"] / len(batch), sums

    return loss_fn


def measure_language(model: LanguageModel, batch: TextBatch) -> dict[str, Any]:
    """-log p of the words of a batch.

    Args:
        model: a language model.
        batch: words.

    Returns:
        `{"nats": scalar, "words": scalar}`, sums; and `tapes`, where the batch went on from some. Perplexity is
        exp(nats / words).
    """
    return _sums(model, batch, None, None)


def _sums(model: LanguageModel, batch: TextBatch, key: Array | None, dtype: DTypeLike | None) -> dict[str, Any]:
    hidden, tapes = model.read(batch.inputs, batch.lengths, batch.tapes, key=key)
    weights = batch.counts.astype(jnp.promote_types(jnp.float32, hidden.dtype)).reshape(-1)
    flat, (kernel, bias) = hidden.reshape(-1, hidden.shape[2]), model.output()
    nats = word_loss(flat, kernel, bias, batch.targets.reshape(-1), weights, dtype=dtype)
    sums: dict[str, Any] = {"nats": nats, "words": weights.sum()}
    return sums if batch.tapes is None else {**sums, "tapes": tapes}


#: `fn((what stays, tapes), windows) -> ((what stays, tapes), sums)`; leaves of `windows` lead with the windows.
WindowsFn = Callable[[tuple[Any, Any], TextBatch], tuple[tuple[Any, Any], dict[str, Array]]]


def make_window_steps(step: StepFn) -> WindowsFn:
    """Makes the steps over windows of a text: each goes on from the tapes of the window before.

    Gradients stay within a window, but those of an end-to-end memory, which reach all the words that it remembers. A
    window without words is no step, and changes nothing.

    Args:
        step: of `make_step` with `make_language_loss`.

    Returns:
        `fn((state, tapes), windows) -> ((state, tapes), sums)`.
    """
    return _over_windows(step)


def make_window_sums(measure: Callable[[PyTree, TextBatch], dict[str, Any]]) -> WindowsFn:
    """Makes a measurement over windows of a text, as `make_window_steps` goes over them.

    Args:
        measure: `fn(params, batch) -> sums` with `tapes` among them, of `measure_language`.

    Returns:
        `fn((params, tapes), windows) -> ((params, tapes), sums)`.
    """
    return _over_windows(lambda params, window: (params, measure(params, window)))


def _over_windows(fn: Callable[[Any, TextBatch], tuple[Any, dict[str, Any]]]) -> WindowsFn:
    def one(carry: tuple[Any, Any], window: TextBatch) -> tuple[tuple[Any, Any], dict[str, Array]]:
        kept, sums = fn(carry[0], window.replace(tapes=carry[1]))  # type: ignore[attr-defined]
        return (kept, sums.pop("tapes")), sums

    def run(carry: tuple[Any, Any], windows: TextBatch) -> tuple[tuple[Any, Any], dict[str, Array]]:
        kinds = jnp.where(jnp.any(windows.lengths > 0, axis=1), 0, 1)
        return scan_kinds([one], carry, kinds, windows)

    return run
