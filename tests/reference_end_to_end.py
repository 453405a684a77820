# SPDX-License-Identifier: Apache-2.0
"""The end-to-end Memory Network (Sukhbaatar et al. 2015, arXiv 1503.08895) as plain NumPy loops, for one question.

At the end of the file, the key-value Memory Network (Miller et al. 2016, arXiv 1606.03126).

It imports nothing of memjax and nothing of JAX. Token ids are those of `reference.py`.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

NUM_SPECIAL = 2


@dataclasses.dataclass
class EndToEnd:
    """Matrices by the paper's letters: A and C of each hop `[W, d]`, T_A and T_C `[ages, d]`, B, W, and H `[d, d]`."""

    A: Sequence[np.ndarray]
    C: Sequence[np.ndarray]
    T_A: Sequence[np.ndarray] | None
    T_C: Sequence[np.ndarray] | None
    B: np.ndarray
    W: np.ndarray
    H: np.ndarray | None = None
    position: str = "printed"
    longest: int = 1
    activation: str = "none"
    nil_slots: int = 0
    linear: bool = False


def position_weight(form: str, j: int, J: int, k: int, d: int, longest: int = 1) -> float:
    """l_kj, j and k from 1 on (section 4.1); "released" is what the authors' code has in its place."""
    if form == "printed":
        return (1 - j / J) - (k / d) * (1 - 2 * j / J)
    if form == "released":
        return 1 + 4 * (k - (d + 1) / 2) * (j - (longest + 1) / 2) / (d * longest)
    return 1.0


def embed(p: EndToEnd, tokens: Sequence[int], matrix: np.ndarray) -> np.ndarray:
    """sum_j l_j * A x_j."""
    d = matrix.shape[1]
    words = [token for token in tokens if token != 0]
    total = np.zeros(d)
    for j, token in enumerate(words, start=1):
        for k in range(1, d + 1):
            if token >= NUM_SPECIAL:
                weight = position_weight(p.position, j, len(words), k, d, p.longest)
                total[k - 1] += weight * matrix[token - NUM_SPECIAL][k - 1]
    return total


def answer(
    p: EndToEnd, question: Sequence[int], statements: Sequence[Sequence[int]], ages: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the words, before the softmax, and the weights p_i of each hop (equations 1 to 3, section 2.2)."""
    u = embed(p, question, p.B)
    weights = []
    for hop in range(len(p.A)):
        scores, outputs = [], []
        for statement, age in zip(statements, ages, strict=True):
            m = embed(p, statement, p.A[hop])
            c = embed(p, statement, p.C[hop])
            if p.T_A is not None and p.T_C is not None:
                oldest = min(age, len(p.T_A[hop]) - 1)
                m, c = m + p.T_A[hop][oldest], c + p.T_C[hop][oldest]
            scores.append(sum(u[k] * m[k] for k in range(len(u))))
            outputs.append(c)
        nil = max(p.nil_slots - len(statements), 0)
        total = sum(math.exp(score) for score in scores) + nil
        weights.append([score if p.linear else math.exp(score) / total for score in scores])
        u = u if p.H is None else u @ p.H
        for weight, output in zip(weights[-1], outputs, strict=True):
            u = u + weight * output
        rectified = {"none": 0, "half": len(u) // 2, "all": len(u)}[p.activation]
        u = np.array([max(x, 0.0) if k < rectified else x for k, x in enumerate(u)])
    return np.array([sum(w[k] * u[k] for k in range(len(u))) for w in p.W]), np.array(weights)


def add_up(tokens: Sequence[int], rows: np.ndarray) -> np.ndarray:
    """A Phi(x), x a bag of words: rows of all token ids `[V, d]`."""
    total = np.zeros(rows.shape[1])
    for token in tokens:
        if NUM_SPECIAL <= token < len(rows):
            total += rows[token]
    return total


def key_value(
    A: np.ndarray,
    A_values: np.ndarray,
    B: np.ndarray,
    R: Sequence[np.ndarray],
    question: Sequence[int],
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    candidates: Sequence[Sequence[int]],
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the candidates y, before the softmax, and the weights p_i of each hop (section 3.1).

    Args:
        A: of questions and keys, `[V, d]`.
        A_values: of values; the paper has A here.
        B: of answers.
        R: a matrix `[d, d]` for each hop.
        question: x.
        pairs: (k_i, v_i), what key hashing found.
        candidates: y.
    """
    q = add_up(question, A)
    weights = []
    for R_j in R:
        parts = []
        for key, _ in pairs:  # key addressing
            k = add_up(key, A)
            parts.append(math.exp(sum(q[d] * k[d] for d in range(len(q)))))
        weights.append([part / sum(parts) for part in parts])
        o = np.zeros(len(q))
        for p, (_, value) in zip(weights[-1], pairs, strict=True):  # value reading
            o += p * add_up(value, A_values)
        q = np.array([sum(R_j[i, d] * (q[d] + o[d]) for d in range(len(q))) for i in range(len(q))])
    return np.array([float(q @ add_up(y, B)) for y in candidates]), np.array(weights)


def key_value_loss(scores: Sequence[float], answers: Sequence[int], drawn: int | None = None) -> float:
    """-log softmax of an answer; `drawn`: of that one, without the others; otherwise of any."""
    right = [drawn] if drawn is not None else list(answers)
    wrong = [y for y in range(len(scores)) if y not in answers]
    parts = {y: math.exp(scores[y]) for y in [*right, *wrong]}
    return -math.log(sum(parts[y] for y in right) / sum(parts.values()))
