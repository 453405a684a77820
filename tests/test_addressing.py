# SPDX-License-Identifier: Apache-2.0
"""Hops that search a memory, against hops that score all of it; other tests of hops are in the contract."""

import itertools
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import addressing, memory, scoring, search

N, D, P, Q = 40, 4, 3, 5


def hops_of(queries, facts, where, k, exclude):
    """Hops of each query; over all slots without `k`."""

    def search_fn(query, facts, where):
        return search.exact(k)(search.Queries(query[None]), facts, where)

    hop = partial(
        addressing.hard_hops,
        hops=P,
        score_fn=scoring.inner_product,
        follow_fn=lambda query, key: query + 0.1 * key,
        search_fn=None if k is None else search_fn,
        exclude_found=exclude,
    )
    return jax.vmap(lambda query, facts, where: hop(query, facts, where=where), in_axes=(0, None, None))(
        queries, facts, where
    )


@pytest.fixture(scope="module")
def asked():
    rng = np.random.default_rng(0)
    keys = jnp.asarray(rng.standard_normal((N, D)), jnp.float32)
    facts = memory.empty(N + 2, keys[0], jnp.int32(0))
    facts = jax.jit(memory.write_many)(facts, keys, jnp.arange(N, dtype=jnp.int32))
    return jnp.asarray(rng.standard_normal((Q, D)), jnp.float32), facts, jnp.asarray(rng.random(N + 2) < 0.5)


@pytest.mark.parametrize(("masked", "exclude"), [(False, True), (True, False)])
def test_a_search_of_one_hit_a_hop_is_enough(asked, masked, exclude):
    queries, facts, where = asked
    run = jax.jit(hops_of, static_argnums=(3, 4))
    where = where if masked else None
    expected = run(queries, facts, where, None, exclude)
    found = run(queries, facts, where, P if exclude else 1, exclude)
    np.testing.assert_array_equal(found.slots, expected.slots)
    np.testing.assert_allclose(found.query, expected.query, rtol=1e-6)


def test_no_array_has_questions_and_slots(asked):
    row = jax.ShapeDtypeStruct((D,), jnp.float32)
    large = jax.eval_shape(lambda: memory.empty(20_000, row, jnp.int32(0)))
    program = jax.make_jaxpr(lambda queries, facts: hops_of(queries, facts, None, P, True))(asked[0], large)
    shapes = [set(found.split(",")) for found in re.findall(r"\[([\d,]+)\]", str(program))]
    assert shapes and not any({str(Q), "20000"} <= shape for shape in shapes)


def test_a_search_that_gives_too_few_hits_is_refused(asked):
    with pytest.raises(ValueError, match="search_fn: expected at least 3 hits, one for each hop, .* got 2"):
        hops_of(*asked, P - 1, True)


STOP = 2.0


def follow(query, key):
    return 0.5 * query + key


def chains_of(width, tolerance, time, stop, query, facts, where=None):
    weights = lambda query: query[:2]  # noqa: E731
    return addressing.beam_hops(
        query,
        facts,
        hops=P,
        width=width,
        tolerance=tolerance,
        score_fn=scoring.inner_product,
        follow_fn=follow,
        select_fn=addressing.select_in_time_order("signed", weights) if time else addressing.select_highest,
        prefer_fn=addressing.prefer_in_time_order("signed", weights) if time else addressing.prefer_highest,
        stop_fn=(lambda query: STOP + 0 * query.sum()) if stop else (lambda query: None),
        where=where,
    )


@pytest.mark.parametrize("stop", [False, True])
def test_a_wide_beam_finds_the_best_of_all_chains(stop):
    rng = np.random.default_rng(1)
    queries, keys = rng.standard_normal((8, D)), rng.standard_normal((5, D))
    facts = memory.empty(6, jnp.zeros(D), jnp.int32(0))
    facts = jax.jit(memory.write_many)(facts, jnp.asarray(keys, jnp.float32), jnp.arange(5, dtype=jnp.int32))
    found = jax.jit(
        jax.vmap(partial(chains_of, 200, np.inf, False, stop), in_axes=(0, None)),
    )(jnp.asarray(queries, jnp.float32), facts)
    lengths = set()
    for i, query in enumerate(queries):
        best, slots = -np.inf, None
        for length in range(P + 1) if stop else [P]:
            for chain in itertools.permutations(range(5), length):
                now, total = query, 0.0
                for slot in chain:
                    total += now @ keys[slot] - (STOP if stop else 0)
                    now = follow(now, keys[slot])
                if total > best:
                    best, slots, last = total, chain, now
        lengths.add(len(slots))
        assert found.slots[i].tolist() == [*slots, *[-1] * (P - len(slots))]
        np.testing.assert_allclose(found.query[i], last, rtol=1e-5)
        now = query
        for hop, slot in enumerate(slots):
            shown = np.where(np.isin(np.arange(5), slots[:hop]), -np.inf, keys @ now)
            np.testing.assert_allclose(found.scores[i, hop, :5], shown, rtol=1e-5, atol=1e-5)
            now = follow(now, keys[slot])
    assert (min(lengths) < P) == stop


@pytest.mark.parametrize("stop", [False, True])
def test_without_tolerance_several_chains_are_the_one(asked, stop):
    queries, facts, where = asked
    one = partial(chains_of, 4, 0.0, True, stop)
    found = jax.jit(jax.vmap(one, in_axes=(0, None, None)))(queries, facts, where)
    weights = lambda query: query[:2]  # noqa: E731
    greedy = partial(
        addressing.hard_hops,
        hops=P,
        score_fn=scoring.inner_product,
        follow_fn=follow,
        select_fn=addressing.select_in_time_order("signed", weights),
        stop_fn=(lambda query: STOP + 0 * query.sum()) if stop else (lambda query: None),
    )
    expected = jax.jit(jax.vmap(lambda query: greedy(query, facts, where=where)))(queries)
    # The winner of a walk in time order may not be preferred to every other; a chain may then begin at both.
    same = np.mean(np.all(np.asarray(found.slots == expected.slots), axis=1))
    assert same >= 0.8


def test_a_memory_is_not_compared_with_itself():
    """By the printed time features any memory newer than the last one found is less than itself."""
    weights = lambda query: jnp.array([0.0, -5.0, 0.0])  # noqa: E731
    facts = memory.write_many(memory.empty(2, jnp.zeros(1), jnp.int32(0)), jnp.array([[9.0], [1.0]]), jnp.arange(2))
    options = {
        "hops": 2,
        "score_fn": scoring.inner_product,
        "follow_fn": lambda query, key: query,
        "select_fn": addressing.select_in_time_order("printed", weights),
    }
    prefer = addressing.prefer_in_time_order("printed", weights)
    chain = addressing.beam_hops(jnp.ones(1), facts, width=2, prefer_fn=prefer, **options)
    one = addressing.hard_hops(jnp.ones(1), facts, **options)
    assert chain.slots.tolist() == one.slots.tolist() == [0, 1]


def test_a_beam_says_what_is_wrong(asked):
    with pytest.raises(ValueError, match="width: expected an integer of at least 1, got 0"):
        chains_of(0, 2.0, False, False, asked[0][0], asked[1])
    with pytest.raises(ValueError, match=r"where: expected shape \(42,\)"):
        chains_of(2, 2.0, False, False, asked[0][0], asked[1], jnp.ones(3, bool))
