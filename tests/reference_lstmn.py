# SPDX-License-Identifier: Apache-2.0
"""The LSTMN's equations as plain NumPy loops: the oracle that golden values come from.

It imports nothing of memjax and nothing of JAX, is slow, and is written to be compared with the paper line by line:
Cheng, Dong and Lapata 2016 (arXiv 1601.06733 v7), whose equation numbers stand beside the lines. Everything is for one
sequence, unbatched, in float64.

The paper writes W x with columns; here vectors are rows and weights stand on the right, x @ W. Letters: T and J words
of the target and of the source, D features of an input, H of a hidden state, A of the attention, N slots that a tape
starts with. Where no slot can be read (t = 1 of a tape that starts empty), what is read is zeros; the paper is silent.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

Array = np.ndarray


@dataclasses.dataclass
class LSTMNWeights:
    """One layer: intra-attention and gates. The paper writes no biases; None leaves one out.

    Attributes:
        key: `[H, A]`, W_h.
        query_input: `[D, A]`, W_x, or W_l in an upper layer.
        query_read: `[H, A]`, W_h~.
        score: `[A]`, v.
        gates_input: `[D, 4H]`, the part of equation 7's W that multiplies x_t; columns in the order i, f, o, c^.
        gates_read: `[H, 4H]`, the part that multiplies h~_t.
        attention_bias: `[A]`, inside the tanh of equation 4.
        gates_bias: `[4H]`, inside equation 7.
    """

    key: Array
    query_input: Array
    query_read: Array
    score: Array
    gates_input: Array
    gates_read: Array
    attention_bias: Array | None = None
    gates_bias: Array | None = None

    def __post_init__(self) -> None:
        to_float64(self)


@dataclasses.dataclass
class SourceWeights:
    """Attention of one sequence to the tapes of another.

    Attributes:
        key: `[Hs, A]`, W_g.
        query_input: `[D, A]`, W_x of equation 11.
        query_read: `[Hs, A]`, W_g~; None leaves the term out.
        score: `[A]`, u.
        bias: `[A]`, inside the tanh of equation 11; None leaves it out.
    """

    key: Array
    query_input: Array
    query_read: Array | None
    score: Array
    bias: Array | None = None

    def __post_init__(self) -> None:
        to_float64(self)


def to_float64(weights: LSTMNWeights | SourceWeights) -> None:
    """Takes weights to float64, whatever they came in."""
    for name, value in vars(weights).items():
        if value is not None:
            setattr(weights, name, np.asarray(value, np.float64))


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x).

    Example:
        >>> sigmoid(np.array([0.0, np.log(3.0)])).round(6).tolist()
        [0.5, 0.75]
    """
    return 1.0 / (1.0 + np.exp(-x))


def softmax(scores: Sequence[float]) -> Array:
    """e^s_i / sum_j e^s_j; nothing of nothing.

    Example:
        >>> softmax([0.0, float(np.log(3.0))]).round(6).tolist()
        [0.25, 0.75]
    """
    if not len(scores):
        return np.zeros(0)
    exponentials = np.array([np.exp(score - max(scores)) for score in scores])
    return exponentials / exponentials.sum()


# One sequence


def gates(before: Array) -> tuple[Array, Array, Array, Array]:
    """[i; f; o; c^] = [sig; sig; sig; tanh] of `[4H]`: the left of equation 7."""
    i, f, o, c_hat = np.split(before, 4)
    return sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(c_hat)


def lstm(
    gates_input: Array, gates_read: Array, gates_bias: Array | None, x: Array, h0: Array, c0: Array
) -> tuple[Array, Array]:
    """The LSTM that the paper starts from (equations 1-3): what is read is the previous state.

    Args:
        gates_input: `[D, 4H]`; columns in the order i, f, o, c^.
        gates_read: `[H, 4H]`.
        gates_bias: `[4H]` or None.
        x: `[T, D]`.
        h0: `[H]`.
        c0: `[H]`.

    Returns:
        Hidden states and cells, `[T, H]` each.
    """
    x, h, c = np.asarray(x, np.float64), np.asarray(h0, np.float64), np.asarray(c0, np.float64)
    hidden, cell = np.zeros((len(x), len(h0))), np.zeros((len(x), len(h0)))
    for t in range(len(x)):
        before = x[t] @ np.asarray(gates_input, np.float64) + h @ np.asarray(gates_read, np.float64)
        if gates_bias is not None:
            before = before + np.asarray(gates_bias, np.float64)
        i, f, o, c_hat = gates(before)  # (1)
        c = f * c + i * c_hat  # (2)
        h = o * np.tanh(c)  # (3)
        hidden[t], cell[t] = h, c
    return hidden, cell


def lstmn(
    weights: LSTMNWeights,
    x: Array,
    hidden0: Array | None = None,
    cell0: Array | None = None,
    read0: Array | None = None,
    span: int | None = None,
    reverse: bool = False,
    extra: Array | None = None,
) -> tuple[Array, Array, Array, Array, Array]:
    """One layer over one sequence: equations 4-9.

    Args:
        weights: of the layer.
        x: `[T, D]`.
        hidden0: `[N, H]`, hidden states of the slots that the tape starts with, the oldest first; None: it is empty.
        cell0: `[N, H]`, their cells.
        read0: `[H]`, h~_0; None: zeros.
        span: a step reads only the last `span` slots; None: all.
        reverse: the steps run from the last word to the first. Outputs and the columns of the attention stay at the
            position of their word.
        extra: `[T, H]`, added to c_t: the r_t . alpha~_t of equation 15.

    Returns:
        h, c, h~ and c~, `[T, H]` each, and s, `[T, N + T]`: row t has the weights over the N slots that were there
        and over the words.
    """
    x, size = np.asarray(x, np.float64), weights.key.shape[0]
    slots_h = [] if hidden0 is None else [np.asarray(h, np.float64) for h in hidden0]
    slots_c = [] if cell0 is None else [np.asarray(c, np.float64) for c in cell0]
    assert len(slots_h) == len(slots_c)
    started = len(slots_h)
    columns = list(range(started))  # where the attention to each slot of the tape is written down
    hidden, cell = np.zeros((len(x), size)), np.zeros((len(x), size))
    read_hidden, read_cell = np.zeros((len(x), size)), np.zeros((len(x), size))
    attention = np.zeros((len(x), started + len(x)))
    h_read = np.zeros(size) if read0 is None else np.asarray(read0, np.float64)
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        first = 0 if span is None else max(len(slots_h) - span, 0)
        a = []
        for i in range(first, len(slots_h)):
            inside = slots_h[i] @ weights.key + x[t] @ weights.query_input + h_read @ weights.query_read
            if weights.attention_bias is not None:
                inside = inside + weights.attention_bias
            a.append(float(weights.score @ np.tanh(inside)))  # (4)
        s = softmax(a)  # (5)
        h_read, c_read = np.zeros(size), np.zeros(size)
        for i in range(first, len(slots_h)):
            h_read = h_read + s[i - first] * slots_h[i]  # (6)
            c_read = c_read + s[i - first] * slots_c[i]  # (6)
            attention[t, columns[i]] = s[i - first]
        before = h_read @ weights.gates_read + x[t] @ weights.gates_input
        if weights.gates_bias is not None:
            before = before + weights.gates_bias
        i_t, f_t, o_t, c_hat = gates(before)  # (7)
        c = f_t * c_read + i_t * c_hat  # (8)
        if extra is not None:
            c = c + np.asarray(extra[t], np.float64)  # (15)
        h = o_t * np.tanh(c)  # (9), (16)
        slots_h.append(h)
        slots_c.append(c)
        columns.append(started + t)
        hidden[t], cell[t], read_hidden[t], read_cell[t] = h, c, h_read, c_read
    return hidden, cell, read_hidden, read_cell, attention


def stack(
    layers: Sequence[LSTMNWeights],
    x: Array,
    skip: bool = False,
    hidden0: Sequence[Array] | None = None,
    cell0: Sequence[Array] | None = None,
    read0: Sequence[Array] | None = None,
    span: int | None = None,
    reverse: bool = False,
) -> list[tuple[Array, Array, Array, Array, Array]]:
    """Layers on top of each other: layer k + 1 is fed h^k where layer 1 is fed x (equation 10).

    Args:
        layers: from the lowest to the highest.
        x: `[T, D]`.
        skip: upper layers are fed [h^k, x].
        hidden0: for each layer, as in `lstmn`; so are `cell0` and `read0`.
        cell0: for each layer.
        read0: for each layer.
        span: of every layer.
        reverse: of every layer.

    Returns:
        For each layer, what `lstmn` returns.
    """
    outputs = []
    fed = x = np.asarray(x, np.float64)
    for k, weights in enumerate(layers):
        of_layer = [None if start is None else start[k] for start in (hidden0, cell0, read0)]
        outputs.append(lstmn(weights, fed, *of_layer, span=span, reverse=reverse))
        h = outputs[-1][0]
        fed = np.concatenate([h, x], axis=1) if skip else h  # (10)
    return outputs


def classify(averages: Sequence[Array], kernels: Sequence[Array], biases: Sequence[Array]) -> Array:
    """Scores of classes: averages side by side go through two layers of ReLU (section 5.2 and 5.3).

    Args:
        averages: `[H]` each, of one sentence's hidden states, or of two sentences'.
        kernels: `[F, A]`, `[A, A]` and `[A, C]`.
        biases: `[A]`, `[A]` and `[C]`.

    Returns:
        `[C]`.
    """
    features = np.concatenate(averages)
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        features = np.maximum(features @ np.asarray(kernel, np.float64) + np.asarray(bias, np.float64), 0)
    return features @ np.asarray(kernels[-1], np.float64) + np.asarray(biases[-1], np.float64)


# Two sequences


def inter_attention(
    weights: SourceWeights, source_hidden: Array, source_cell: Array, queries: Array
) -> tuple[Array, Array, Array]:
    """What each word of the target reads from the source's tapes: equations 11-13, gamma~_0 = 0.

    Args:
        weights: of the attention.
        source_hidden: `[J, Hs]`, Y = (gamma_1 .. gamma_m).
        source_cell: `[J, Hs]`, A = (alpha_1 .. alpha_m).
        queries: `[T, D]`, x_t.

    Returns:
        gamma~ and alpha~, `[T, Hs]` each, and p, `[T, J]`.
    """
    source_hidden, source_cell = np.asarray(source_hidden, np.float64), np.asarray(source_cell, np.float64)
    queries, (source_length, size) = np.asarray(queries, np.float64), source_hidden.shape
    read_hidden, read_cell = np.zeros((len(queries), size)), np.zeros((len(queries), size))
    attention = np.zeros((len(queries), source_length))
    gamma_read = np.zeros(size)
    for t in range(len(queries)):
        b = []
        for j in range(source_length):
            inside = source_hidden[j] @ weights.key + queries[t] @ weights.query_input
            if weights.query_read is not None:
                inside = inside + gamma_read @ weights.query_read
            if weights.bias is not None:
                inside = inside + weights.bias
            b.append(float(weights.score @ np.tanh(inside)))  # (11)
        p = softmax(b)  # (12)
        gamma_read, alpha_read = np.zeros(size), np.zeros(size)
        for j in range(source_length):
            gamma_read = gamma_read + p[j] * source_hidden[j]  # (13)
            alpha_read = alpha_read + p[j] * source_cell[j]  # (13)
        read_hidden[t], read_cell[t], attention[t] = gamma_read, alpha_read, p
    return read_hidden, read_cell, attention


def start_tape(decoder_start: str, hidden: Array, cell: Array) -> tuple[Array | None, Array | None]:
    """The slots that the decoder's tape starts with: none ("empty"), or the encoder's last ("source")."""
    assert decoder_start in ("empty", "source")
    return (None, None) if decoder_start == "empty" else (hidden[-1:], cell[-1:])


def shallow_fusion(
    encoder_weights: LSTMNWeights,
    decoder_weights: LSTMNWeights,
    source_weights: SourceWeights,
    source: Array,
    target: Array,
    query: str = "input",
    combine: str = "sum",
    decoder_start: str = "empty",
) -> tuple[Array, Array, tuple[Array, Array, Array]]:
    """Encoder and decoder are LSTMNs, and attention between their tapes is computed on top (figure 3a).

    The paper prints no equation for how gamma~_t enters the prediction.

    Args:
        encoder_weights: of the source's layer.
        decoder_weights: of the target's layer.
        source_weights: of the attention between them.
        source: `[J, D]`.
        target: `[T, D]`.
        query: what stands for x_t in equation 11: the decoder's "input" x_t, or its "hidden" h_t.
        combine: gamma~_t is added to h_t ("sum"), or follows it ("concat").
        decoder_start: the decoder's tape starts "empty", or with one slot, the last of the "source".

    Returns:
        Hidden states of the source, `[J, H]`; the output at each word of the target, `[T, H]` or `[T, 2H]`; and the
        weights source to source `[J, J]`, target to target `[T, T]` (`[T, 1 + T]` from "source"), target to source
        `[T, J]`.
    """
    assert query in ("input", "hidden") and combine in ("sum", "concat")
    gamma, alpha, _, _, source_map = lstmn(encoder_weights, source)
    hidden, _, _, _, target_map = lstmn(decoder_weights, target, *start_tape(decoder_start, gamma, alpha))
    queries = target if query == "input" else hidden
    gamma_read, _, inter_map = inter_attention(source_weights, gamma, alpha, queries)
    output = hidden + gamma_read if combine == "sum" else np.concatenate([hidden, gamma_read], axis=1)
    return gamma, output, (source_map, target_map, inter_map)


def deep_fusion(
    encoder_weights: LSTMNWeights,
    decoder_weights: LSTMNWeights,
    source_weights: SourceWeights,
    gate_read: Array,
    gate_input: Array,
    gate_bias: Array | None,
    source: Array,
    target: Array,
    decoder_start: str = "empty",
) -> tuple[Array, Array, tuple[Array, Array, Array]]:
    """What is read from the source's tapes goes through a gate into the decoder's cell: equations 14-16.

    Args:
        encoder_weights: of the source's layer.
        decoder_weights: of the target's layer.
        source_weights: of the attention between them.
        gate_read: `[H, H]`, the part of W_r that multiplies gamma~_t.
        gate_input: `[D, H]`, the part that multiplies x_t.
        gate_bias: `[H]` or None.
        source: `[J, D]`.
        target: `[T, D]`.
        decoder_start: as in `shallow_fusion`.

    Returns:
        As `shallow_fusion`; the output is h_t, `[T, H]`.
    """
    target = np.asarray(target, np.float64)
    gamma, alpha, _, _, source_map = lstmn(encoder_weights, source)
    gamma_read, alpha_read, inter_map = inter_attention(source_weights, gamma, alpha, target)
    extra = np.zeros(alpha_read.shape)
    for t in range(len(target)):
        before = gamma_read[t] @ np.asarray(gate_read, np.float64) + target[t] @ np.asarray(gate_input, np.float64)
        if gate_bias is not None:
            before = before + np.asarray(gate_bias, np.float64)
        r = sigmoid(before)  # (14)
        extra[t] = r * alpha_read[t]  # (15)
    start = start_tape(decoder_start, gamma, alpha)
    hidden, _, _, _, target_map = lstmn(decoder_weights, target, *start, extra=extra)  # (4)-(9) with (15), (16)
    return gamma, hidden, (source_map, target_map, inter_map)


# Words


def word_loss(hidden: Array, kernel: Array, bias: Array, targets: Array, weights: Array) -> float:
    """NLL of language modelling: the weighted sum of -log p of the right words (section 5.1: PPL = exp(NLL / T)).

    Args:
        hidden: `[M, H]`.
        kernel: `[H, V]`.
        bias: `[V]`.
        targets: int `[M]`.
        weights: `[M]`.
    """
    loss = 0.0
    for h, target, weight in zip(hidden, targets, weights, strict=True):
        scores = np.asarray(h, np.float64) @ np.asarray(kernel, np.float64) + np.asarray(bias, np.float64)
        loss -= float(weight) * float(np.log(softmax(list(scores))[target]))
    return loss
