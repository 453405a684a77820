# SPDX-License-Identifier: Apache-2.0
"""A plain recurrent network over a batch of sequences, for comparisons."""

import jax.numpy as jnp
from jax import lax

from memjax import _checks
from memjax.lstmn._attention import wide
from memjax.lstmn._cell import plus
from memjax.lstmn._sequence import batch_major, keep, time_major
from memjax.lstmn._tape import Steps, Tape, empty_tape, initial
from memjax.typing import Array


def rnn_scan(
    weights_input: Array,
    weights_read: Array,
    bias: Array | None,
    inputs: Array,
    lengths: Array | None = None,
    initial_tape: Tape | None = None,
) -> Steps:
    """Runs h_t = tanh(x_t W_x + h_{t-1} W_h + b) over a batch of sequences, called as `lstm_scan` but for `reverse`.

    Args:
        weights_input: W_x, `[D, H]`.
        weights_read: W_h, `[H, H]`.
        bias: `[H]`, or None.
        inputs: `[B, T, D]`.
        lengths: int `[B]`, steps that count; None for all.
        initial_tape: the hidden state of its last slot is h_0; None for zeros.

    Returns:
        as `tape_scan`; `read` is h_{t-1}, and `cell` is h_t again.

    Raises:
        ValueError: if a shape, dtype or size does not fit.

    Example:
        >>> ones = jnp.ones((1, 2, 3))
        >>> rnn_scan(jnp.ones((3, 4)), jnp.zeros((4, 4)), None, ones).hidden.shape
        (1, 2, 4)

    Reference: Elman 1990; Weston et al. 2015, section 5.2 (the RNN of its tables).
    """
    batch, count, lengths = _checks.sequences("inputs", inputs, weights_input.shape[0], lengths)
    features, dtype = weights_read.shape[0], inputs.dtype
    tape = initial("initial_tape", initial_tape, batch, features, dtype)
    if not tape.hidden.shape[1]:
        tape = empty_tape(batch, 1, features, dtype)
    start = jnp.where((tape.length > 0)[:, None], tape.hidden[:, -1], 0)
    in_time = time_major(keep(inputs, lengths), lengths, reverse=False).reshape(count * batch, -1)
    projected = plus(in_time @ weights_input.astype(dtype), bias).astype(dtype).reshape(count, batch, features)
    read = weights_read.astype(dtype)

    def step(hidden: Array, x: Array) -> tuple[Array, Array]:
        hidden = jnp.tanh(x + jnp.matmul(hidden, read, preferred_element_type=wide(dtype))).astype(dtype)
        return hidden, hidden

    hiddens = lax.scan(step, start, projected)[1]  # [T, B, H]
    reads = jnp.concatenate([start[None], hiddens[:-1]])
    hidden = batch_major(hiddens, lengths, reverse=False)
    return Steps(hidden, hidden, batch_major(reads, lengths, reverse=False))
