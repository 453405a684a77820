# SPDX-License-Identifier: Apache-2.0
"""The loss that a Memory Network is trained with: margin ranking of supports and answer words."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp

from memjax import _checks
from memjax.encoding import context_bags
from memjax.losses import hinge, sample_one, softmax_margin
from memjax.memory import Memory, gather, valid
from memjax.models import MemNN
from memjax.scoring import triple_score
from memjax.training.batches import NarrowStories, StoryBatch
from memjax.training.state import ModelLossFn
from memjax.typing import NUM_SPECIAL, PAD, Array, LossFn

#: `fn(advantages [K], where [K], key)` -> scalar: a `LossFn` that may draw which wrong choices count.
RankFn = Callable[[Array, Array, Array], Array]

LOSSES: dict[str, LossFn] = {"hinge": hinge, "softmax": softmax_margin}
NEGATIVES = ("sampled", "all")
SHORT_CHAINS = ("no_loss", "repeat")
SAME_TEXT = ("wrong", "ignored")


def gold_chain(supports: Array, hops: int, adaptive: bool, short_chains: str) -> tuple[Array, Array]:
    """What each hop should find.

    Args:
        supports: int32 `[P]`, slots in the order of the hops, -1 after the last.
        hops: H, the number of hops; supports beyond are left out.
        adaptive: whether the hop after the last support should find the stop slot. Where no support is known, no hop is
            taught.
        short_chains: `"no_loss"`, or `"repeat"`: the last support is found again by the hops that are left.

    Returns:
        int32 `[H]` slots, -1 = none (the stop slot, with `adaptive`), and bool `[H]`, the hops that have a loss.
    """
    missing = max(hops - supports.shape[0], 0)
    chain = jnp.pad(supports, (0, missing), constant_values=-1)[:hops]
    length = (chain >= 0).sum()
    if adaptive:
        return chain, (jnp.arange(hops) <= length) & (length > 0)
    if short_chains == "repeat":
        chain = jnp.where(chain >= 0, chain, chain[jnp.maximum(length - 1, 0)])
    return chain, chain >= 0


def make_memnn_loss(
    *,
    loss: Literal["hinge", "softmax"] = "hinge",
    negatives: Literal["sampled", "all"] = "sampled",
    margin: float = 0.1,
    short_chains: Literal["no_loss", "repeat"] = "no_loss",
    same_text: Literal["wrong", "ignored"] = "wrong",
    unseen: float = 0.0,
) -> ModelLossFn:
    """Makes the loss of a Memory Network that is told the supporting memories (strong supervision).

    Each hop ranks the right memory above the others, given the right memories before it; R ranks each word of the
    answer above the others, given the right memories and the words before it. With time features a hop has two
    terms, since the right memory stands on either side of s(x, y, y').

    Args:
        loss: of one ranking, `"hinge"` or `"softmax"` (`memjax.losses`).
        negatives: `"sampled"`, one wrong choice for each ranking; or `"all"`.
        margin: gamma.
        short_chains: what hops beyond a question's supports learn: nothing (`"no_loss"`), or to find the last
            support again (`"repeat"`). Adaptive memory learns to stop there. Questions with more supports than
            hops are taught the first ones.
        same_text: whether other memories with the text of the right one are wrong choices (only their time tells them
            apart), or none.
        unseen: d: with this probability a step takes a word for one that was never met, and knows it by a random half
            of the words around it in the statements. The model needs `contexts`.

    Returns:
        `fn(model, batch, key) -> (loss, metrics)`, for a `StoryBatch` or `NarrowStories`: the mean over the batch, and
        `{"hops": .., "answer": ..}`, the two parts of it.

    Raises:
        ValueError: if a switch has no such value.

    Example:
        >>> from flax import nnx
        >>> batch = StoryBatch(
        ...     sentences=jnp.array([[0, 0], [2, 3], [4, 5]]), slots=jnp.array([[1, 2, -1]]),
        ...     questions=jnp.array([[2, 0]]), supports=jnp.array([[0]]), answers=jnp.array([[3]]))
        >>> loss_fn = make_memnn_loss(negatives="all")
        >>> value, metrics = jax.jit(loss_fn)(MemNN(4, 8, rngs=nnx.Rngs(0)), batch, jax.random.key(0))
        >>> sorted(metrics)
        ['answer', 'hops']

    Reference: Weston et al. 2015, equations 6 to 8, sections 3.4 and 3.5.
    Departs from the paper: `loss="softmax"`, `negatives="all"` and `short_chains` are ours; the sum over questions
    is a mean. The paper does not say how words are drawn, and keeps all words around them: a new word is met a few
    times only, so a part of them is kept here.
    """
    _checks.one_of("loss", loss, LOSSES)
    _checks.one_of("negatives", negatives, NEGATIVES)
    _checks.one_of("short_chains", short_chains, SHORT_CHAINS)
    _checks.one_of("same_text", same_text, SAME_TEXT)
    rank = partial(LOSSES[loss], margin=margin)

    def one_ranking(advantages: Array, where: Array, key: Array) -> Array:
        return rank(advantages, sample_one(key, where) if negatives == "sampled" else where)

    def loss_fn(model: MemNN, batch: StoryBatch | NarrowStories, key: Array) -> tuple[Array, dict[str, Array]]:
        if short_chains == "repeat" and model.output.exclude_found and not model.output.adaptive:
            raise ValueError(
                "short_chains: expected 'no_loss' for a model with exclude_found=True, got 'repeat': a memory "
                "cannot be found again; build the model with exclude_found=False"
            )
        bags = None
        if isinstance(batch, NarrowStories):
            model, bags, batch = model.narrowed(batch.features), batch.bags, batch.stories
        if unseen:
            unseen_key, key = jax.random.split(key)
            model = _with_unseen(model, batch.sentences, unseen, unseen_key)
        sentences = jax.vmap(model.features)(batch.sentences) if bags is None else bags  # [M, F]
        words_first = _words_first(model, sentences.shape[1], batch)
        candidates = None if words_first else model.output.embed_memory(sentences)["candidate"]  # [M, n]
        questions = jax.vmap(model.features)(batch.questions)  # [B, F]
        memory = batch.memory()
        keys = jax.random.split(key, len(batch))
        example = partial(example_loss, model, one_ranking, short_chains, same_text, sentences, candidates)
        hops, answer = jax.vmap(example)(questions, memory, batch.supports, batch.answers, keys)
        metrics = {"hops": hops.mean(), "answer": answer.mean()}
        return metrics["hops"] + metrics["answer"], metrics

    return loss_fn


def _words_first(model: MemNN, num_features: int, batch: StoryBatch) -> bool:
    """Whether scoring words, and sentences as sums of them, is less work than embedding each different sentence."""
    words = model.output.words
    queries, size = len(batch) * model.output.hops, words.weights.shape[2]
    linear = words.layer is None and words.places is None
    return linear and queries * num_features < size * (num_features + queries)


def _with_unseen(model: MemNN, sentences: Array, unseen: float, key: Array) -> MemNN:
    """The model that takes some of the words for unseen ones."""
    word_key, context_key = jax.random.split(key)
    bags = context_bags(sentences, model.num_features)
    kept = jnp.where(jax.random.bernoulli(context_key, 0.5, bags.shape), bags, 0)
    return model.with_unseen(jax.random.bernoulli(word_key, unseen, bags.shape[1:2]), kept)


def example_loss(
    model: MemNN,
    rank: RankFn,
    short_chains: str,
    same_text: str,
    sentences: Array,
    candidates: Array | None,
    question: Array,
    memory: Memory,
    supports: Array,
    answers: Array,
    key: Array,
) -> tuple[Array, Array]:
    """The loss of one question: of its hops and of its answer.

    Args:
        model: a Memory Network.
        rank: `fn(advantages [K], where [K], key)`, the loss of one ranking.
        short_chains: see `make_memnn_loss`.
        same_text: likewise.
        sentences: `[M, F]`, features of the different sentences.
        candidates: `[M, n]`, their embeddings; None where words are scored first.
        question: `[F]`, features.
        memory: N slots with rows of `sentences` as keys.
        supports: int32 `[P]`.
        answers: int32 `[A]`, token ids.
        key: a random key.

    Returns:
        Two scalars.
    """
    adaptive = model.output.adaptive
    hops = min(model.output.hops, supports.shape[0] + 1) if adaptive else model.output.hops
    chain, taught = gold_chain(supports, hops, adaptive, short_chains)
    found = sentences[gather(memory, chain).keys]  # [H, F]; the empty sentence, row 0, where there is none
    hop_key, answer_key = jax.random.split(key)
    wrong = valid(memory)[None] & (jnp.arange(memory.num_slots)[None] != chain[:, None])  # [H, N]
    if same_text == "ignored":
        wrong = wrong & (memory.keys[None] != gather(memory, chain).keys[:, None])
    hop_losses = _hop_losses(model, rank, question, memory, sentences, candidates, chain, found, wrong, hop_key)
    answer_losses, spoken = _answer_losses(model, rank, question, found, chain >= 0, answers, answer_key)
    return jnp.where(taught, hop_losses, 0).sum(), jnp.where(spoken, answer_losses, 0).sum()


def _hop_losses(
    model: MemNN,
    rank: RankFn,
    question: Array,
    memory: Memory,
    sentences: Array,
    candidates: Array | None,
    chain: Array,
    found: Array,
    wrong: Array,
    key: Array,
) -> Array:
    """The loss of each hop, `[H]`, against the wrong slots `[H, N]`."""
    scores = model.output.score_hops(question, found, memory.keys, sentences, candidates)
    slots, times = scores.slots, memory.times
    if scores.stop is not None:  # the stop slot is candidate N, older than all
        slots = jnp.append(slots, scores.stop[:, None], axis=1)  # [H, N + 1]
        times = jnp.append(times, -1)
        gold = jnp.where(chain < 0, memory.num_slots, chain)
    else:
        gold = chain
    right = jnp.arange(slots.shape[1])[None] == gold[:, None]  # [H, N']
    if model.output.exclude_found:
        is_found = right[:, : memory.num_slots]
        wrong = wrong & ~(jnp.cumsum(is_found, axis=0) - is_found > 0)
    if scores.stop is not None:
        wrong = jnp.append(wrong, chain[:, None] >= 0, axis=1)
    gold_scores = jnp.sum(jnp.where(right, slots, 0), axis=1)  # [H]
    gold_times = jnp.sum(jnp.where(right, times[None], 0), axis=1)
    previous = jnp.append(memory.count, gold_times)[:-1]  # [H]: the hop before found the gold memory
    form = model.output.time

    def one_hop(
        weights: Array, previous: Array, gold: Array, gold_time: Array, others: Array, wrong: Array, key: Array
    ) -> Array:
        against = triple_score(form, weights, previous, gold, gold_time, others, times)
        if form != "printed":  # without time there is one term; signed features give the same term twice
            return (2 if form == "signed" else 1) * rank(against, wrong, key)
        swapped = -triple_score(form, weights, previous, others, times, gold, gold_time)
        return rank(against, wrong, key) + rank(swapped, wrong, key)

    keys = jax.random.split(key, chain.shape[0])
    return jax.vmap(one_hop)(scores.time_weights, previous, gold_scores, gold_times, slots, wrong, keys)


def _answer_losses(
    model: MemNN, rank: RankFn, question: Array, supports: Array, found: Array, answers: Array, key: Array
) -> tuple[Array, Array]:
    """The loss of each word of the answer, `[A']`, and which of them there are; the stop word is one of them."""
    words = model.response.max_words
    stops = int(words > 1)
    answers = answers[:words]
    num_answers = (answers != PAD).sum()
    spoken = jax.nn.one_hot(answers - NUM_SPECIAL, model.num_words, dtype=question.dtype)  # [A, W]
    answered = jnp.pad(jnp.cumsum(spoken, axis=0), ((1, 0), (0, 0)))[: words + stops]  # [A + 1, W]
    gold = jnp.append(answers - NUM_SPECIAL, 0)
    position = jnp.arange(gold.shape[0])
    gold = jnp.where(position == num_answers, model.num_words, gold)  # after the last word: the stop word
    length = answers.shape[0] + stops
    keys = jax.random.split(key, length)

    def one_word(gold: Array, answered: Array, key: Array) -> Array:
        scores = model.response.scores(question, supports, found, answered)
        right = jnp.arange(scores.shape[0]) == gold
        return rank(jnp.sum(jnp.where(right, scores, 0)) - scores, ~right, key)

    losses = jax.vmap(one_word)(gold[:length], answered[:length], keys)
    taught = (position < num_answers + stops) & ((gold >= 0) | (position == num_answers))
    return losses, taught[:length]
