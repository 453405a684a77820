# SPDX-License-Identifier: Apache-2.0
"""What models that read sequences share: the choice of a core, dropout, the average of words, a classifier."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks
from memjax.nn import LSTM, LSTMN, Embedding, SoftMemory, _weights
from memjax.typing import Array

#: A recurrent core by name.
Core = Literal["lstm", "lstmn"]
CORES = ("lstm", "lstmn")
#: What can take its place where the next word is predicted: hops over the latest words.
LanguageCore = Literal["lstm", "lstmn", "memn2n"]
LANGUAGE_CORES = (*CORES, "memn2n")


def make_core(
    core: str,
    in_features: int,
    hidden_features: int,
    num_layers: int,
    span: int | None,
    param_dtype: DTypeLike,
    rngs: nnx.Rngs,
    skip_connections: bool = False,
) -> LSTM | LSTMN:
    """Makes a core; raises `ValueError` if there is none of that name."""
    _checks.one_of("core", core, CORES)
    options: dict[str, Any] = {
        "num_layers": num_layers,
        "skip_connections": skip_connections,
        "param_dtype": param_dtype,
        "rngs": rngs,
    }
    if core == "lstm":
        return LSTM(in_features, hidden_features, **options)
    return LSTMN(in_features, hidden_features, span=span, **options)


def make_language_core(
    core: str,
    in_features: int,
    hidden_features: int,
    num_layers: int,
    span: int | None,
    skip_connections: bool,
    param_dtype: DTypeLike,
    rngs: nnx.Rngs,
) -> LSTM | LSTMN | SoftMemory:
    """As `make_core`; for `"memn2n"` layers are hops, and a span is needed."""
    _checks.one_of("core", core, LANGUAGE_CORES)
    if core != "memn2n":
        return make_core(core, in_features, hidden_features, num_layers, span, param_dtype, rngs, skip_connections)
    if skip_connections:
        raise ValueError("skip_connections: expected False for core 'memn2n', got True")
    if span is None:
        raise ValueError("span: expected the number of words that core 'memn2n' remembers, got None")
    return SoftMemory(in_features, hidden_features, hops=num_layers, slots=span, param_dtype=param_dtype, rngs=rngs)


def check_rate(name: str, rate: float) -> None:
    """Raises `ValueError` unless `rate` is in [0, 1)."""
    if not 0 <= rate < 1:
        raise ValueError(f"{name}: expected a rate of at least 0 and below 1, got {rate!r}")


def drop(x: Array, rate: float, key: Array | None, number: int, axes: tuple[int, ...] = ()) -> Array:
    """Sets a share of features to zero and scales the others up; nothing without a key.

    Args:
        x: anything.
        rate: of what is dropped.
        key: a random key, or None for none.
        number: of the place in the model, so that places differ.
        axes: along which all is dropped alike.
    """
    if key is None or not rate:
        return x
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - rate, shape)
    return jnp.where(kept, x / jnp.asarray(1 - rate, x.dtype), jnp.zeros((), x.dtype))


def embed(
    embedding: Embedding,
    tokens: Array,
    word_dropout: float,
    dropout: float,
    key: Array | None,
    number: int = 1,
    axes: tuple[int, ...] = (1,),
) -> Array:
    """The vectors of words, some left out: whole words, and features.

    Args:
        embedding: of the words.
        tokens: token ids, int `[B, T]`.
        word_dropout: of whole words, the same ones in all of the batch.
        dropout: of features.
        key: a random key, or None for none.
        number: of the place in the model, not 0.
        axes: along which features are dropped alike; of all steps of a sequence by default.
    """
    inputs = embedding(tokens)
    if key is not None and word_dropout:
        kept = drop(jnp.ones((embedding.table.shape[0], 1)), word_dropout, key, 0)
        inputs = inputs * kept[tokens].astype(inputs.dtype)
    return drop(inputs, dropout, key, number, axes)


def average(hidden: Array, lengths: Array | None) -> Array:
    """The mean of hidden states over the words that count; zeros where none do.

    Args:
        hidden: `[B, T, H]`, zeros at padded steps.
        lengths: int `[B]`; None for all.

    Returns:
        `[B, H]`.
    """
    if lengths is None:
        return hidden.mean(1)
    return hidden.sum(1) / jnp.maximum(lengths, 1).astype(hidden.dtype)[:, None]


class Head(nnx.Module):
    """A classifier: two layers of ReLU, dropout, and scores.

    Args:
        in_features: F.
        hidden_features: of both layers.
        num_classes: C.
        dropout: of what the scores are made of.
        param_dtype: of the parameters.
        rngs: random keys.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        num_classes: int,
        dropout: float,
        param_dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        _weights.check_sizes(head_features=hidden_features, num_classes=num_classes)
        check_rate("dropout", dropout)
        sizes = (in_features, hidden_features, hidden_features, num_classes)
        self.dropout = dropout
        self.kernels = nnx.List(
            _weights.matrix(rngs, rows, columns, _weights.default_init, param_dtype)
            for rows, columns in zip(sizes, sizes[1:], strict=False)
        )
        self.biases = nnx.List(nnx.Param(jnp.zeros(size, param_dtype)) for size in sizes[1:])

    def __call__(self, features: Array, key: Array | None = None) -> Array:
        """Scores classes.

        Args:
            features: `[B, F]`.
            key: a random key for dropout; None for no dropout.

        Returns:
            `[B, C]`.
        """
        for number, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True), start=1):
            if number == len(self.kernels):
                features = drop(features, self.dropout, key, 9)
            features = features @ kernel[...].astype(features.dtype)
            features = features + jnp.broadcast_to(bias[...].astype(features.dtype), features.shape)
            features = features if number == len(self.kernels) else jax.nn.relu(features)
        return features
