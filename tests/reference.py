# SPDX-License-Identifier: Apache-2.0
"""The Memory Network's equations as plain NumPy loops: the oracle that golden values come from.

It imports nothing of memjax and nothing of JAX, is slow, and is written to be compared with the paper line by line.
Everything is for one question, unbatched, in float64. "MemNN" is Weston et al. 2015 (arXiv 1410.3916), "bAbI" is Weston
et al. 2016 (arXiv 1502.05698).

Token ids: 0 is padding and 1 an unknown word, neither has features; id t >= 2 is word t - 2 of W words. A memory is a
list of token rows, one for each slot, with `times`, the write time of each slot (-1: empty). `STOP` stands for the stop
slot m_0 wherever a slot is expected, and for the stop word w_0 wherever a word is.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

STOP = -1
NUM_SPECIAL = 2

#: Dictionaries of O: one copy of the words for each role (MemNN 3.1, D = 3|W|).
QUESTION, SUPPORT, CANDIDATE = 0, 1, 2

#: Dictionaries of R. "last support" is not in the papers; "answered" are the words of the answer so far (bAbI A.2).
R_COPIES = ("question", "support", "last support", "answered", "response")

Tokens = Sequence[int] | np.ndarray
Memory = Sequence[Tokens] | np.ndarray


@dataclasses.dataclass
class Embedding:
    """E(x), of the sum z of word vectors; linear where nothing is given.

    Attributes:
        V: `[n, n]`, of E(x) = tanh(V tanh(z)): bAbI A.2, nonlinear embedding.
        P: `[p, n, n]`, of E(x) = tanh(sum_i P_p(i) U x_i): bAbI A.2, multilinear map.
        match: lambda, or `[W, n]`, the matching features of the words: MemNN 3.6; None: words do not match.
    """

    V: np.ndarray | None = None
    P: np.ndarray | None = None
    match: np.ndarray | float | None = None

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """E of the sum of word vectors."""
        if self.V is not None:
            return np.tanh(np.tanh(z) @ self.V)
        return z if self.P is None else np.tanh(z)

    def exact(self, vector: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
        """What words in both x and y add: lambda Phi_x(x)^T Phi_y(y), or a feature for each such word (MemNN 3.6)."""
        total = 0.0
        for word in range(len(x)) if self.match is not None else ():
            if np.ndim(self.match) == 0:
                total += self.match * x[word] * y[word]
            elif x[word] > 0:
                total += y[word] * float(vector @ self.match[word])
        return total


@dataclasses.dataclass
class Parameters:
    """U_O, U_R and what is learned beside them.

    Attributes:
        U_O: `[3, W, n]`, dictionaries in the order question, support, candidate.
        T: embeddings of the time features: `[3, n]` the printed ones, `[2, n]` signed ones, None without.
        stop: `[n]`, embedding of the stop slot m_0; None where memory is not adaptive.
        U_R: `[C, W, n]`, dictionaries in the order of `R_copies`; None where R is not used.
        stop_word: `[n]`, embedding of the stop word w_0; None where an answer is one word.
        R_copies: the roles that have a copy in U_R. Without "last support", the last one uses the support copy.
        E_O: the embedding of s_O.
        E_R: the embedding of s_R.
    """

    U_O: np.ndarray
    T: np.ndarray | None = None
    stop: np.ndarray | None = None
    U_R: np.ndarray | None = None
    stop_word: np.ndarray | None = None
    R_copies: tuple[str, ...] = R_COPIES
    E_O: Embedding = dataclasses.field(default_factory=Embedding)
    E_R: Embedding = dataclasses.field(default_factory=Embedding)

    def form(self) -> str:
        """The form of the time features: "none", "printed" or "signed"."""
        return "none" if self.T is None else {3: "printed", 2: "signed"}[len(self.T)]

    def response_copy(self, role: str) -> np.ndarray:
        """The dictionary `[W, n]` of one role of R."""
        if role == "last support" and role not in self.R_copies:
            role = "support"
        return self.U_R[self.R_copies.index(role)]


# Features and embeddings


def bag(tokens: Tokens, num_words: int) -> np.ndarray:
    """Phi: how often each of the W words occurs.

    Example:
        >>> bag([2, 4, 4, 1, 0], 3).tolist()
        [1.0, 0.0, 2.0]
    """
    phi = np.zeros(num_words)
    for token in tokens:
        if token >= NUM_SPECIAL:
            phi[token - NUM_SPECIAL] += 1.0
    return phi


def embed(tokens: Tokens, dictionary: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
    """U Phi(tokens): the sum of the words' embeddings in one dictionary `[W, n]`; each turned by its place's matrix.

    Word i of l words, from 1 on, has place ceil(i P / l) of P: bAbI A.2, multilinear map.
    """
    total = np.zeros(dictionary.shape[1])
    length = sum(token != 0 for token in tokens)
    i = 0
    for token in tokens:
        i += token != 0
        if token >= NUM_SPECIAL:
            vector = dictionary[token - NUM_SPECIAL]
            total += vector if places is None else vector @ places[math.ceil(i * len(places) / length) - 1]
    return total


def unseen_word(word: int, sentences: Sequence[Tokens], contexts: np.ndarray, known: Sequence[bool]) -> np.ndarray:
    """The vector of a word that was never met: those of the words to its left and right, each once (MemNN 3.5).

    Args:
        word: a token id.
        sentences: where it stands.
        contexts: `[2, W, n]`, dictionaries of words to the left and of words to the right.
        known: `[W]`, the words that were met.
    """
    sides: tuple[set[int], set[int]] = (set(), set())
    for tokens in sentences:
        for i, token in enumerate(tokens):
            if token == word and i > 0:
                sides[0].add(int(tokens[i - 1]))
            if token == word and i + 1 < len(tokens):
                sides[1].add(int(tokens[i + 1]))
    total = np.zeros(contexts.shape[2])
    for side, neighbours in enumerate(sides):
        for token in neighbours:
            if token >= NUM_SPECIAL and known[token - NUM_SPECIAL]:
                total += contexts[side, token - NUM_SPECIAL]
    return total


# O: scores


def embed_query(p: Parameters, question: Tokens, found: Sequence[Tokens]) -> np.ndarray:
    """E([x, m_o1, ...]): the question and the memories found, each with its own copy (MemNN 3.1)."""
    q = embed(question, p.U_O[QUESTION], p.E_O.P)
    for memory in found:
        q = q + embed(memory, p.U_O[SUPPORT], p.E_O.P)
    return p.E_O(q)


def s_O(p: Parameters, question: Tokens, found: Sequence[Tokens], candidate: Tokens | int) -> float:
    """s_O(x, y) = Phi_x(x)^T U^T U Phi_y(y): MemNN equations 2, 3 and 5.

    Args:
        p: the parameters.
        question: tokens of x.
        found: tokens of the memories found so far, in the order of the hops.
        candidate: tokens of y, or `STOP`.
    """
    q = embed_query(p, question, found)
    is_stop = np.ndim(candidate) == 0 and candidate == STOP
    if is_stop:
        return float(q @ p.stop)  # m_0 has an embedding of its own: bAbI A.2
    num_words = p.U_O.shape[1]
    x = sum((bag(tokens, num_words) for tokens in found), bag(question, num_words))
    y = p.E_O(embed(candidate, p.U_O[CANDIDATE], p.E_O.P))
    return float(q @ y) + p.E_O.exact(q, x, bag(candidate, num_words))


def s_Ot(
    p: Parameters,
    question: Tokens,
    memory: Memory,
    times: Sequence[int],
    found: Sequence[int],
    y: int,
    other: int,
) -> float:
    """s_Ot(x, y, y') = Phi_x(x)^T U^T U (Phi_y(y) - Phi_y(y') + Phi_t(x, y, y')): MemNN 3.4.

    Above 0 it prefers y, below 0 y'. What "x older than" looks at is the question at the first hop, which is newer than
    every memory, and the memory found last afterwards (MemNN 3.4). The stop slot is older than every memory.

    Args:
        p: the parameters; the number of rows of T says which form of Phi_t.
        question: tokens of x.
        memory: token rows, one for each slot.
        times: write time of each slot.
        found: slots found so far.
        y: a slot or `STOP`.
        other: y', a slot or `STOP`.
    """
    found_tokens = [memory[slot] for slot in found]
    score = s_O(p, question, found_tokens, STOP if y == STOP else memory[y])
    score -= s_O(p, question, found_tokens, STOP if other == STOP else memory[other])
    if p.T is None:
        return score

    now = max(times) + 1
    time_x = times[found[-1]] if len(found) else now
    time_y = -1 if y == STOP else times[y]
    time_other = -1 if other == STOP else times[other]
    x_older = 1.0 if time_x < time_y else 0.0
    x_older_other = 1.0 if time_x < time_other else 0.0
    y_older = 1.0 if time_y < time_other else 0.0
    if p.form() == "printed":  # the three features of MemNN 3.4
        phi_t = [x_older, x_older_other, y_older]
    else:  # not in the paper: antisymmetric, s(x, y, y') = -s(x, y', y)
        phi_t = [x_older - x_older_other, float(np.sign(time_y - time_other))]

    q = embed_query(p, question, found_tokens)
    for k in range(len(p.T)):
        score += float(q @ p.T[k]) * phi_t[k]
    return score


# O: the choice of a slot, and hops


def algorithm_1(
    p: Parameters,
    question: Tokens,
    memory: Memory,
    times: Sequence[int],
    found: Sequence[int],
    allowed: Sequence[bool],
    adaptive: bool,
) -> int:
    """O_t(x, m): MemNN appendix C, Algorithm 1, over the slots in the order of their write times.

    The newer of two wins only if s_Ot > 0. With `adaptive`, the walk starts from the stop slot, the oldest of all.

    Returns:
        The winner: a slot, or -1 where the stop slot won or no slot is allowed.
    """
    order = sorted((slot for slot in range(len(times)) if times[slot] >= 0 and allowed[slot]), key=lambda s: times[s])
    if adaptive:
        t = STOP
    elif order:
        t = order.pop(0)  # t = 1
    else:
        return -1
    for i in order:  # for i = 2, ..., N
        if s_Ot(p, question, memory, times, found, i, t) > 0:
            t = i
    return t


def argmax_slot(
    p: Parameters,
    question: Tokens,
    memory: Memory,
    times: Sequence[int],
    found: Sequence[int],
    allowed: Sequence[bool],
    adaptive: bool,
) -> int:
    """o = argmax_i s_O(x, m_i): MemNN equations 2 and 3, without time features.

    A tie between slots goes to the lower slot. A tie with the stop slot goes to the stop slot: it is the oldest, and
    so keeps its place as in Algorithm 1. (The papers leave ties open.)

    Returns:
        A slot, or -1 where the stop slot won or no slot is allowed.
    """
    found_tokens = [memory[slot] for slot in found]
    best, best_score = -1, s_O(p, question, found_tokens, STOP) if adaptive else -math.inf
    for i in range(len(times)):
        if times[i] < 0 or not allowed[i]:
            continue
        score = s_O(p, question, found_tokens, memory[i])
        if score > best_score:
            best, best_score = i, score
    return best


def best_slots(query: np.ndarray, keys: np.ndarray, allowed: np.ndarray, k: int) -> tuple[list[float], list[int]]:
    """The k slots with the highest s(x, m_i): equation 2, k times over; of equal scores the lower slot first.

    Returns:
        k scores and k slots; -inf and -1 where there are fewer.
    """
    scored = [(-float(np.dot(query, keys[i])), i) for i in range(len(keys)) if allowed[i]]
    found = sorted(scored)[:k]
    missing = k - len(found)
    return [-score for score, _ in found] + [-np.inf] * missing, [slot for _, slot in found] + [-1] * missing


def buckets(tokens: Tokens, bucket_of: Sequence[int]) -> set[int]:
    """The buckets that a sentence is hashed into, section 3.3; ids of another vocabulary have none."""
    found = {bucket_of[token] for token in tokens if 0 <= token < len(bucket_of)}
    return found - {-1}


def hops(
    p: Parameters,
    question: Tokens,
    memory: Memory,
    times: Sequence[int],
    k: int,
    adaptive: bool = False,
    exclude_found: bool = True,
    allowed: Sequence[bool] | None = None,
) -> list[int]:
    """The supporting memories m_o1, ..., m_ok, each conditioned on those before: MemNN 3.1 and 3.4, bAbI A.2.

    Args:
        p: the parameters. With T the choice is Algorithm 1's, without T the argmax.
        question: tokens of x.
        memory: token rows, one for each slot.
        times: write time of each slot, -1 where it is empty.
        k: number of hops; with `adaptive` the cap on it (10 in bAbI A.2).
        adaptive: whether the stop slot m_0 is a candidate at each hop and ends the chain when it wins.
        exclude_found: whether a slot can be found once only. (The papers do not say.)
        allowed: slots that may be found; all by default.

    Returns:
        Slots in the order found: at most k with `adaptive`; else exactly k, with -1 once no slot is left.
    """
    choose = argmax_slot if p.T is None else algorithm_1
    left = [True] * len(times) if allowed is None else [bool(a) for a in allowed]
    found: list[int] = []
    for _ in range(k):
        slot = choose(p, question, memory, times, found, left, adaptive)
        if slot == -1:
            break
        found.append(slot)
        if exclude_found:
            left[slot] = False
    if not adaptive:
        found += [-1] * (k - len(found))
    return found


# R: response


def embed_response_query(
    p: Parameters, question: Tokens, supports: Sequence[Tokens], answered: Sequence[int]
) -> np.ndarray:
    """U_R Phi_x([x, m_o1, ..., m_ok, answered]): MemNN equation 4; the words answered so far: bAbI A.2."""
    q = embed(question, p.response_copy("question"), p.E_R.P)
    for hop, support in enumerate(supports):
        role = "last support" if hop == len(supports) - 1 else "support"
        q = q + embed(support, p.response_copy(role), p.E_R.P)
    for word in answered:  # each is a sentence of one word
        q = q + embed([word], p.response_copy("answered"), p.E_R.P)
    return p.E_R(q)


def s_R(p: Parameters, question: Tokens, supports: Sequence[Tokens], answered: Sequence[int], word: int) -> float:
    """s_R([x, m_o1, ..., m_ok, answered], w): MemNN equations 4 and 5.

    Args:
        p: the parameters.
        question: tokens of x.
        supports: tokens of the supporting memories, in the order of the hops.
        answered: token ids of the answer so far.
        word: a token id, or `STOP`.
    """
    q = embed_response_query(p, question, supports, answered)
    if word == STOP:
        return float(q @ p.stop_word)
    num_words = p.U_R.shape[1]
    x = sum((bag(tokens, num_words) for tokens in supports), bag(question, num_words))
    y = p.E_R(embed([word], p.response_copy("response"), p.E_R.P))
    return float(q @ y) + p.E_R.exact(q, x, bag([word], num_words))


def respond_word(p: Parameters, question: Tokens, supports: Sequence[Tokens], answered: Sequence[int]) -> int:
    """r = argmax_w s_R([x, m_o1, ..., m_ok], w): MemNN equation 4.

    The stop word is a candidate where there is one (bAbI A.2). A tie goes to the lower word, and to any word before the
    stop word. (The papers leave ties open.)

    Returns:
        A token id, or `STOP`.
    """
    candidates = [word + NUM_SPECIAL for word in range(p.U_R.shape[1])]
    if p.stop_word is not None:
        candidates.append(STOP)
    best, best_score = candidates[0], -math.inf
    for word in candidates:
        score = s_R(p, question, supports, answered, word)
        if score > best_score:
            best, best_score = word, score
    return best


def respond(p: Parameters, question: Tokens, supports: Sequence[Tokens], max_words: int = 1) -> list[int]:
    """The answer: one word, or with a stop word as many as come before it, each conditioned on those so far (bAbI A.2).

    Returns:
        Token ids: at most `max_words`, none where the stop word wins at once; exactly one without a stop word.
    """
    if p.stop_word is None:
        return [respond_word(p, question, supports, [])]
    answered: list[int] = []
    for _ in range(max_words):
        word = respond_word(p, question, supports, answered)
        if word == STOP:
            break
        answered.append(word)
    return answered


# Losses, with teacher forcing


def margin_term(scores: Sequence[float], gamma: float, loss: str) -> float:
    """One ranking term. `scores` say by how much the right choice beats each wrong one.

    Args:
        scores: one for each wrong choice; none give 0.
        gamma: the margin.
        loss: "hinge", the sum of max(0, gamma - s), MemNN equations 6 to 8; or "softmax", log(1 + sum of
            exp(gamma - s)), which is not in the paper.
    """
    total = 0.0
    for s in scores:
        total += max(0.0, gamma - s) if loss == "hinge" else math.exp(gamma - s)
    return total if loss == "hinge" else math.log(1.0 + total)


def gold_chain(supports: Sequence[int], k: int, adaptive: bool = False, short: str = "no_loss") -> list[int]:
    """The right choice of each hop that has a loss.

    Args:
        supports: the question's supporting slots, in the order of the hops. Of a chain longer than k, the first k.
        k: number of hops.
        adaptive: the hop after the last support, if there is one among the k, has the stop slot as its right choice,
            and the chain ends there (bAbI A.2). A question whose supports are unknown teaches nothing.
        short: for chains shorter than k without `adaptive`: "no_loss" leaves the remaining hops without a loss,
            "repeat" repeats the last support. (The papers do not say.)

    Example:
        >>> gold_chain([4, 7], 3), gold_chain([4, 7], 3, short="repeat"), gold_chain([4, 7], 3, adaptive=True)
        ([4, 7], [4, 7, 7], [4, 7, -1])
    """
    chain = list(supports[:k])
    if adaptive:
        return chain + [STOP] if 0 < len(chain) < k else chain
    if short == "repeat" and chain:
        chain += [chain[-1]] * (k - len(chain))
    return chain


def loss_O(
    p: Parameters,
    question: Tokens,
    memory: Memory,
    times: Sequence[int],
    chain: Sequence[int],
    negatives: Sequence[Sequence[int]],
    gamma: float = 0.1,
    loss: str = "hinge",
) -> float:
    """The loss of O for one question: MemNN equations 6 and 7; with time features those of MemNN 3.4.

    Args:
        p: the parameters.
        question: tokens of x.
        memory: token rows, one for each slot.
        times: write time of each slot.
        chain: the right choice of each hop, from `gold_chain`; each hop is conditioned on those before it.
        negatives: for each hop the wrong choices, slots or `STOP`: all of them, or those that were sampled.
        gamma: the margin.
        loss: "hinge" or "softmax".
    """
    total = 0.0
    for hop, (gold, wrong) in enumerate(zip(chain, negatives, strict=True)):
        found = list(chain[:hop])  # the true ones, not those that O would find
        if p.T is None:
            found_tokens = [memory[slot] for slot in found]
            right = s_O(p, question, found_tokens, STOP if gold == STOP else memory[gold])
            scores = [right - s_O(p, question, found_tokens, STOP if f == STOP else memory[f]) for f in wrong]
            total += margin_term(scores, gamma, loss)  # sum of max(0, gamma - s_O(x, gold) + s_O(x, f))
        else:
            ahead = [s_Ot(p, question, memory, times, found, gold, f) for f in wrong]
            behind = [s_Ot(p, question, memory, times, found, f, gold) for f in wrong]
            total += margin_term(ahead, gamma, loss)  # sum of max(0, gamma - s_Ot(x, gold, f))
            total += margin_term([-s for s in behind], gamma, loss)  # sum of max(0, gamma + s_Ot(x, f, gold))
    return total


def gold_words(answers: Sequence[int], stop_word: bool, max_words: int = 1) -> list[int]:
    """The right choice of each word of the answer: the words, then the stop word (bAbI A.2).

    Args:
        answers: token ids. Without a stop word only the first counts; of more than `max_words`, the first ones.
        stop_word: whether R has a stop word. It follows the last word also where the cap makes it idle in answering.
        max_words: cap on the number of words.

    Example:
        >>> gold_words([5, 6], stop_word=True, max_words=3), gold_words([5, 6], stop_word=False)
        ([5, 6, -1], [5])
    """
    return list(answers[:max_words]) + [STOP] if stop_word else list(answers[:1])


def loss_R(
    p: Parameters,
    question: Tokens,
    supports: Sequence[Tokens],
    words: Sequence[int],
    negatives: Sequence[Sequence[int]],
    gamma: float = 0.1,
    loss: str = "hinge",
) -> float:
    """The loss of R for one question: MemNN equation 8.

    Args:
        p: the parameters.
        question: tokens of x.
        supports: tokens of the true supporting memories.
        words: the right choice of each word, from `gold_words`; each is conditioned on those before it.
        negatives: for each of them the wrong choices, token ids or `STOP`. An unknown word has no loss.
        gamma: the margin.
        loss: "hinge" or "softmax".
    """
    total = 0.0
    for position, (gold, wrong) in enumerate(zip(words, negatives, strict=True)):
        if 0 <= gold < NUM_SPECIAL:
            continue  # an unknown word has no features, so it cannot be ranked
        answered = list(words[:position])
        right = s_R(p, question, supports, answered, gold)
        scores = [right - s_R(p, question, supports, answered, w) for w in wrong]
        total += margin_term(scores, gamma, loss)  # sum of max(0, gamma - s_R(x, r) + s_R(x, r'))
    return total


def all_slots_but(gold: int, times: Sequence[int], adaptive: bool, exclude: Sequence[int] = ()) -> list[int]:
    """Every wrong choice of a hop: the valid slots, and with `adaptive` the stop slot, without `gold` and `exclude`."""
    candidates = [slot for slot in range(len(times)) if times[slot] >= 0] + ([STOP] if adaptive else [])
    return [slot for slot in candidates if slot != gold and slot not in exclude]


def all_words_but(gold: int, num_words: int, stop_word: bool) -> list[int]:
    """Every wrong word: all W words, and the stop word where there is one, without `gold`."""
    candidates = [word + NUM_SPECIAL for word in range(num_words)] + ([STOP] if stop_word else [])
    return [word for word in candidates if word != gold]


# R as a language model


@dataclasses.dataclass
class LanguageModel:
    """An RNN or LSTM that reads a prompt and writes a sentence; id W + 2 is the mark of the end.

    Attributes:
        words: `[W + 1, n]`, an embedding of each word and of the mark.
        weights_input: `[n, H]`, or `[n, 4H]` for an LSTM: its gates in the order i, f, o, c^.
        weights_read: `[H, H]`, or `[H, 4H]`.
        bias: `[H]`, or `[4H]`.
        output: `[H, W + 1]`.
        output_bias: `[W + 1]`.
    """

    words: np.ndarray
    weights_input: np.ndarray
    weights_read: np.ndarray
    bias: np.ndarray
    output: np.ndarray
    output_bias: np.ndarray

    @property
    def end(self) -> int:
        """The id of the mark."""
        return len(self.words) - 1 + NUM_SPECIAL


def read_word(p: LanguageModel, state: tuple[np.ndarray, np.ndarray], token: int) -> tuple[np.ndarray, np.ndarray]:
    """(h_t, c_t) of (h_(t-1), c_(t-1)) and a word; an unknown word is zeros. (MemNN states no equations.)"""
    h, c = state
    x = p.words[token - NUM_SPECIAL] if token >= NUM_SPECIAL else np.zeros(p.words.shape[1])
    z = x @ p.weights_input + h @ p.weights_read + p.bias
    if len(z) == len(h):
        return np.tanh(z), c  # h_t = tanh(W_x x_t + W_h h_(t-1) + b)
    i, f, o, u = np.split(z, 4)
    i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
    c = f * c + i * np.tanh(u)  # c_t = f c_(t-1) + i c^
    return o * np.tanh(c), c  # h_t = o tanh(c_t)


def reply_log_probabilities(p: LanguageModel, prompt: Tokens, reply: Tokens) -> list[float]:
    """log p(r_t | prompt, r_1, .., r_(t-1)) of each word of a reply and of its end: MemNN 3.1, [x, o1, o2, r].

    Args:
        p: the parameters.
        prompt: token ids, marks included, without padding.
        reply: token ids, without the mark. An unknown word counts 0.
    """
    size = p.output.shape[0]
    state = np.zeros(size), np.zeros(size)
    for token in prompt:
        state = read_word(p, state, token)
    found = []
    for token in [*reply, p.end]:
        logits = state[0] @ p.output + p.output_bias
        normalizer = math.log(sum(math.exp(logit) for logit in logits))
        found.append(float(logits[token - NUM_SPECIAL]) - normalizer if token >= NUM_SPECIAL else 0.0)
        state = read_word(p, state, token)
    return found


def best_sentence(p: LanguageModel, prompt: Tokens, max_words: int) -> tuple[float, list[int]]:
    """The sentence of the highest sum of log-probabilities among all; one of `max_words` needs no end."""
    best = (-math.inf, [0])
    for length in range(max_words + 1):
        for reply in itertools.product(range(NUM_SPECIAL, p.end), repeat=length):
            scores = reply_log_probabilities(p, prompt, reply)
            best = max(best, (sum(scores[: length + (length < max_words)]), list(reply)))
    return best


def greedy_sentence(p: LanguageModel, prompt: Tokens, max_words: int) -> list[int]:
    """The sentence of the likeliest next words, one after another, until the end is the likeliest."""
    reply: list[int] = []
    while len(reply) < max_words:
        nexts = {w: reply_log_probabilities(p, prompt, [*reply, w])[-2] for w in range(NUM_SPECIAL, p.end)}
        word = max(nexts, key=nexts.__getitem__)
        if reply_log_probabilities(p, prompt, reply)[-1] > nexts[word]:
            break
        reply.append(word)
    return reply


# Merging


def obsolete(times: Sequence[int], same: Sequence[bool], needs: Sequence[bool]) -> set[int]:
    """The slots that a new fact makes obsolete (MemNN 2, where G updates what is stored; how is left open).

    Args:
        times: write time of each slot, -1 where it is empty.
        same: whether the slot tells an older state of what the new fact tells.
        needs: whether the slot is read together with the last such fact before it.
    """
    gone = {i for i in range(len(times)) if times[i] >= 0 and same[i]}
    for k in range(len(times)):
        if times[k] >= 0 and needs[k] and not same[k]:
            before = [i for i in range(len(times)) if times[i] >= 0 and same[i] and times[i] < times[k]]
            if before:
                gone.discard(max(before, key=lambda i: times[i]))
    return gone


# Word streams


def seg(words: Tokens, U_S: np.ndarray, W_seg: np.ndarray) -> float:
    """seg(c) = W_seg^T U_S Phi_seg(c): MemNN 3.2. U_S is `[W, n]`, W_seg `[n]`."""
    return float(W_seg @ embed(words, U_S))


def segments(
    stream: Tokens, U_S: np.ndarray, W_seg: np.ndarray, gamma: float, longest: int
) -> tuple[list[list[int]], list[int], list[float]]:
    """Cuts a stream: c, the words since the last break, is a segment where seg(c) > gamma (MemNN 3.2).

    Not in the paper: `longest` words are a segment whatever their score, and padding is no word.

    Returns:
        The segments and what is left; the places of the cuts; seg(c) with each word.
    """
    found: list[list[int]] = [[]]
    ends, scores = [], []
    for place, token in enumerate(stream):
        if token != 0:
            found[-1].append(int(token))
        scores.append(seg(found[-1], U_S, W_seg))
        if token != 0 and (scores[-1] > gamma or len(found[-1]) == longest):
            ends.append(place)
            found.append([])
    return found, ends, scores


def wrong_segments(segment: Tokens, following: Tokens) -> list[list[int]]:
    """F' of one known segment: its first words, not all; and all of them with the first words of the next, not all.

    MemNN appendix B has "all other segments" of the stream.
    """
    unfinished = [list(segment[:n]) for n in range(1, len(segment))]
    return unfinished + [[*segment, *following[:n]] for n in range(1, len(following))]


def loss_seg(
    known: Sequence[Tokens], following: Sequence[Tokens], U_S: np.ndarray, W_seg: np.ndarray, gamma: float
) -> tuple[float, float]:
    """sum_F max(0, gamma - seg(f)) and sum_F' max(0, gamma + seg(f')): MemNN appendix B."""
    right = wrong = 0.0
    for segment, after in zip(known, following, strict=True):
        right += max(0.0, gamma - seg(segment, U_S, W_seg))
        for other in wrong_segments(segment, after):
            wrong += max(0.0, gamma + seg(other, U_S, W_seg))
    return right, wrong


# A knowledge base


def fact_score(
    embeddings: dict[str, np.ndarray],
    weights: dict[int, float],
    chain: Sequence[tuple[int, Tokens, Tokens]],
    question: Tokens,
    fact: Tokens,
    follow: tuple[float, float],
) -> float:
    """s([x, m_o1, ..], m) = [x, ..]^T U_x^T U_y Phi(m) + lambda [x, ..]^T Phi(m), for a fact of a knowledge base.

    MemNN 3.1 and 3.6 (exact matches); a fact that was found counts by its step, its open side and its known side.

    Args:
        embeddings: "question" and "memory", `[V, n]`, rows of all tokens; "steps" `[G, n]`.
        weights: lambda of each token, 0 where there is none.
        chain: step, open side and known side of each fact found.
        question: x.
        fact: m.
        follow: weights of the open and of the known side.
    """
    query = np.zeros(embeddings["question"].shape[1])
    matched = np.zeros(len(embeddings["question"]))  # lambda times the count of each token
    for tokens, weight, step in [
        (question, 1.0, None),
        *((found, follow[0], step) for step, found, _ in chain),
        *((known, follow[1], None) for _, _, known in chain),
    ]:
        if step is not None:
            query += embeddings["steps"][step]
        for token in tokens:
            if token >= NUM_SPECIAL:
                query += weight * embeddings["question"][token]
                matched[token] += weight * weights[token]
    total = 0.0
    for token in fact:
        if token >= NUM_SPECIAL:
            total += float(query @ embeddings["memory"][token]) + matched[token]
    return total


def answers(triples: Sequence[tuple[int, int, int]], start: int, steps: Sequence[int]) -> set[int]:
    """The entities that steps lead to, never `start`.

    Step 2 r goes from subject to object of relation r, step 2 r + 1 from object to subject.
    """
    current = {start}
    for step in steps:
        found = set()
        for subject, relation, obj in triples:
            if relation == step // 2:
                known, other = (obj, subject) if step % 2 else (subject, obj)
                if known in current and other != start:
                    found.add(other)
        current = found
    return current


# Dialogs: "dialog bAbI" is Bordes, Boureau and Weston 2017 (arXiv 1605.07683), appendix A and section 4.4


def response_scores(
    embeddings: dict[str, np.ndarray],
    R: np.ndarray,
    hops: int,
    told: Sequence[tuple[Tokens, int]],
    question: Tokens,
    candidates: Sequence[tuple[Tokens, Sequence[int]]],
) -> tuple[list[list[float]], list[float]]:
    """The weights of each hop, and the score of each response.

    Args:
        embeddings: "A" and "W" `[V, n]`, rows of all tokens; "places" and "types", rows of their words.
        R: `[n, n]`.
        hops: N.
        told: tokens and place of each utterance in memory.
        question: c^u_t.
        candidates: tokens of each response, and the types of the entities that it shares with the dialog.
    """

    def bag(rows: np.ndarray, tokens: Tokens) -> np.ndarray:
        total = np.zeros(rows.shape[1])
        for token in tokens:
            if token >= NUM_SPECIAL:
                total += rows[token]
        return total

    slots = [bag(embeddings["A"], tokens) + embeddings["places"][place] for tokens, place in told]  # m_i = A Phi(c_i)
    q = bag(embeddings["A"], question)  # q = A Phi(c^u_t)
    weights = []
    for _ in range(hops):
        parts = [math.exp(float(q @ m)) for m in slots]
        weights.append([part / sum(parts) for part in parts])  # p_i = softmax(q^T m_i)
        o = np.zeros(len(q))
        for p, m in zip(weights[-1], slots, strict=True):
            o += p * (R @ m)  # o = R sum_i p_i m_i
        q = q + o  # q_2 = q + o
    scores = []
    for tokens, types in candidates:
        y = bag(embeddings["W"], tokens)
        for type_ in types:
            y = y + embeddings["types"][type_]  # 4.4: the type word joins the response
        scores.append(float(q @ y))
    return weights, scores


# Images: Santoro et al. 2017 (Relation Networks).


def grid_slots(grid, span=1):
    """Features of each cell, and its place in [-span, span]."""
    rows, columns, size = grid.shape
    slots = np.zeros((rows * columns, size + 2))
    for row in range(rows):
        for column in range(columns):
            slot = slots[row * columns + column]
            slot[:size] = grid[row, column]
            slot[size] = span * ((column + 0.5) / columns * 2 - 1)
            slot[size + 1] = span * ((row + 0.5) / rows * 2 - 1)
    return slots


def object_slots(centers, colours, shapes, size, num_colours, num_shapes):
    """Colour, shape and place of each object."""
    slots = np.zeros((len(centers), num_colours + num_shapes + 2))
    for slot, (x, y), colour, shape in zip(slots, centers, colours, shapes, strict=True):
        slot[colour] = 1
        slot[num_colours + shape] = 1
        slot[-2:] = (x + 0.5) / size * 2 - 1, (y + 0.5) / size * 2 - 1
    return slots


def convolve(image, kernel, bias, stride):
    """ReLU of a convolution whose windows are centred: what a window needs beyond an edge is zeros, the odd one last.

    A window of a multiple of the stride is one of whole blocks, which begin at the image's corner.
    """
    height, width, channels = image.shape
    side = round((kernel.shape[0] // channels) ** 0.5)
    unit = stride if side % stride == 0 and stride > 1 else 1
    starts = []
    for size in (height, width):
        blocks = -(-size // unit)
        step, window = (1, side // unit) if unit > 1 else (stride, side)
        steps = -(-blocks // step)
        before = max((steps - 1) * step + window - blocks, 0) // 2
        starts.append([(i * step - before) * unit for i in range(steps)])
    out = np.zeros((len(starts[0]), len(starts[1]), kernel.shape[1]))
    for row, top in enumerate(starts[0]):
        for column, left in enumerate(starts[1]):
            total = bias.astype(float).copy()
            for (dy, dx), weights in zip(np.ndindex(side, side), _windows(kernel, side, unit, channels), strict=True):
                if 0 <= top + dy < height and 0 <= left + dx < width:
                    total += image[top + dy, left + dx] @ weights
            out[row, column] = np.maximum(total, 0)
    return out


def _windows(kernel, side, unit, channels):
    """The weights of each pixel of a window, row after row; those of a block lie side by side."""
    blocks = side // unit
    for y in range(side):
        for x in range(side):
            block = (y // unit) * blocks + x // unit
            at = (block * unit * unit + (y % unit) * unit + x % unit) * channels
            yield kernel[at : at + channels]


def scene_answer(question, asked, centers, shapes):
    """The answer to a question about the object `asked`, and the objects that it rests on."""
    others = [i for i in range(len(centers)) if i != asked]
    distances = {i: (centers[i][0] - centers[asked][0]) ** 2 + (centers[i][1] - centers[asked][1]) ** 2 for i in others}
    if "nearest" in question or "farthest" in question:
        best = (min if "nearest" in question else max)(others, key=distances.get)
        return shapes[best], [asked, best]
    if question.startswith("how many"):
        return str(sum(shape == shapes[asked] for shape in shapes)), [asked]
    if "left" in question:
        return "yes" if centers[asked][0] + 0.5 <= 37.5 else "no", [asked]
    if "top" in question:
        return "yes" if centers[asked][1] + 0.5 <= 37.5 else "no", [asked]
    return shapes[asked], [asked]
