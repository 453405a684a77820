# SPDX-License-Identifier: Apache-2.0
"""Hops that search a memory, against hops that score all of it; other tests of hops are in the contract."""

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
    assert f"[{Q},20000]" not in str(program)


def test_a_search_that_gives_too_few_hits_is_refused(asked):
    with pytest.raises(ValueError, match="search_fn: expected at least 3 hits, one for each hop, .* got 2"):
        hops_of(*asked, P - 1, True)
