# SPDX-License-Identifier: Apache-2.0
"""Layers on top of each other: what each is fed, and the tapes they go on from."""

import jax.numpy as jnp

from memjax import _checks, lstmn
from memjax.typing import Array

Tapes = tuple[lstmn.Tape, ...]
MaybeTapes = tuple[lstmn.Tape | None, ...]


def in_features(features: int, hidden_features: int, num_layers: int, skip_connections: bool) -> list[int]:
    """Returns the input features of each layer: h^k_t goes to layer k + 1 (eq. 10), with x_t behind it if asked for."""
    return [features] + [hidden_features + skip_connections * features] * (num_layers - 1)


def below(hidden: Array | None, inputs: Array, skip_connections: bool) -> Array:
    """Returns what a layer is fed: the inputs, where there is no layer below it."""
    if hidden is None:
        return inputs
    return jnp.concatenate([hidden, inputs], axis=-1) if skip_connections else hidden


def check_tapes(tapes: MaybeTapes | None, num_layers: int) -> MaybeTapes:
    """Returns a tape, or None, for each layer; raises `ValueError` if `tapes` are more, fewer or no tuple."""
    if tapes is None:
        return (None,) * num_layers
    if not isinstance(tapes, tuple) or len(tapes) != num_layers:
        got = f"{len(tapes)} of them" if isinstance(tapes, tuple) else type(tapes).__name__
        raise ValueError(f"initial_tape: expected a tuple of {num_layers} tapes, one a layer, got {got}")
    return tapes


def check_pair(
    features: int, source: Array, target: Array, source_lengths: Array | None, target_lengths: Array | None
) -> None:
    """Raises `ValueError` unless both are sequences of as many rows; names the one that is not."""
    batch, *_ = _checks.sequences("source", source, features, source_lengths, "source_lengths")
    found, *_ = _checks.sequences("target", target, features, target_lengths, "target_lengths")
    if found != batch:
        raise ValueError(f"target: expected {batch} rows, as many as source has, got shape {target.shape}")
