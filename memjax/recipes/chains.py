# SPDX-License-Identifier: Apache-2.0
"""Chains of facts from a question to an answer: hops over a knowledge base, several chains side by side."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from memjax.memory import Memory
from memjax.models import FactMemNN
from memjax.search import Queries, exact
from memjax.training import Facts
from memjax.typing import NUM_SPECIAL, Array, SearchFn

#: `fn(k)` makes the search for the k best slots, as `memjax.search.exact` does.
MakeSearch = Callable[[int], SearchFn]


@struct.dataclass
class Chains:
    """The best chain of each of Q questions.

    Attributes:
        slots: the fact found at each hop; -1 = none.
        steps: relation and side of each.
        scores: of each.
        candidates: how many facts were scored, at all hops and for all chains followed.
        starts: the entity that the first fact was found by.
        ends: the entity that the last fact leads to.
    """

    slots: Array  # int32 [Q, P]
    steps: Array  # int32 [Q, P]
    scores: Array  # [Q, P]
    candidates: Array  # int32 [Q]
    starts: Array  # int32 [Q]
    ends: Array  # int32 [Q]


def find_chains(
    model: FactMemNN,
    facts: Facts,
    memory: Memory,
    questions: Array,
    entities: Array,
    *,
    hops: int,
    width: int,
    tolerance: float,
    make_search: MakeSearch = exact,
) -> Chains:
    """Finds for each question the chain of facts with the highest sum of scores.

    A fact that scores best may be a dead end: nothing is known of the film that it leads to. So the `width` best
    chains are followed side by side. No fact is found twice in a chain.

    Args:
        model: scores facts.
        facts: the knowledge base.
        memory: N slots, its triples: keys are token ids.
        questions: int `[Q, S]`, token ids.
        entities: int `[Q]`, the entity that each is about; -1 where it is not known, and the side of the first fact
            whose name the question matches better counts.
        hops: P.
        width: chains kept at each hop but the last.
        tolerance: a chain is given up at a hop whose score is lower by more than this than that of the best one.
        make_search: makes the search for the k best slots.

    Returns:
        The chains. Without any valid slot, slots are -1.

    Reference: Weston et al. 2015, equations 2 and 3.
    Departs from the paper: several chains (a beam); one is what the paper does, `width=1`.
    """
    num_questions = questions.shape[0]
    query = jax.tree.map(lambda leaf: leaf[:, None], jax.vmap(model.query)(questions))  # leaves [Q, K, ..], K = 1
    here = entities[:, None]  # [Q, K]
    total = jnp.zeros((num_questions, 1))
    nothing = jnp.full((num_questions, 1, 0), -1, jnp.int32)
    slots, steps, scores = nothing, nothing, nothing.astype(total.dtype)
    starts, candidates = here, jnp.zeros(num_questions, jnp.int32)
    for hop in range(hops):
        last = hop + 1 == hops
        kept = 1 if last else width
        vectors = jax.vmap(jax.vmap(model.vector))(query)  # [Q, K, W]
        # As many more as the chain holds already: these may be among the best.
        words = query.tokens.reshape(-1, query.tokens.shape[-1])
        search = make_search(min(kept + hop, memory.num_slots))
        hits = search(Queries(vectors.reshape(-1, vectors.shape[-1]), words), memory)
        chains = total.shape  # [Q, K]
        hits = jax.tree.map(lambda leaf, chains=chains: leaf.reshape(*chains, -1), hits)  # [Q, K, K']
        alive = (total > -jnp.inf)[..., None]
        candidates = candidates + jnp.where(alive, hits.candidates, 0).sum(axis=(1, 2))
        again = jnp.any(hits.slots[..., None] == slots[:, :, None], axis=-1)
        value = jnp.where(hits.valid & ~again & alive, hits.scores, -jnp.inf)
        value = jnp.where(value >= value.max(axis=(1, 2), keepdims=True) - tolerance, value, -jnp.inf)
        sums = (total[..., None] + value).reshape(num_questions, -1)
        kept = min(kept, sums.shape[1])
        total, places = jax.lax.top_k(sums, kept)  # [Q, kept]
        parents = places // value.shape[2]

        def pick(leaf: Array, parents: Array = parents) -> Array:
            return jax.vmap(lambda rows, row: rows[row])(leaf, parents)

        found = jnp.take_along_axis(hits.slots.reshape(num_questions, -1), places, axis=1)
        score = jnp.take_along_axis(value.reshape(num_questions, -1), places, axis=1)
        query, here, starts = jax.tree.map(pick, (query, here, starts))
        as_object = _stands_as_object(facts, found, here, pick(vectors))
        subjects, relations, objects = jnp.moveaxis(facts.triples[found], -1, 0)
        known, there = jnp.where(as_object, objects, subjects), jnp.where(as_object, subjects, objects)
        step = 2 * relations + as_object
        starts = known if hop == 0 else starts
        found = jnp.where(total > -jnp.inf, found, -1)
        slots, steps, scores = (
            jnp.concatenate([pick(before), now[..., None]], axis=-1)
            for before, now in ((slots, found), (steps, step), (scores, score))
        )
        if not last:
            query = jax.vmap(jax.vmap(model.follow))(query, step, facts.names[there], facts.names[known])
        here = there
    return Chains(slots[:, 0], steps[:, 0], scores[:, 0], candidates, starts[:, 0], here[:, 0])


def _stands_as_object(facts: Facts, found: Array, here: Array, vectors: Any) -> Array:
    """Whether the entity that a fact was found by is its object: `[Q, K]`, of facts `[Q, K]` and entities `[Q, K]`."""
    subjects, objects = facts.triples[found, 0], facts.triples[found, 2]

    def named(entities: Array) -> Array:
        tokens = facts.names[entities]  # [Q, K, S']
        scores = jnp.take_along_axis(vectors, jnp.maximum(tokens - NUM_SPECIAL, 0), axis=-1)
        return jnp.where(tokens >= NUM_SPECIAL, scores, 0).sum(axis=-1)

    by_name = named(objects) > named(subjects)
    return jnp.where(subjects == here, False, jnp.where(objects == here, True, by_name))
