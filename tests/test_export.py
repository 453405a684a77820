# SPDX-License-Identifier: Apache-2.0
"""The programs of the benchmarks outlive the Python that made them: exported for every platform, called on this one."""

import functools

import jax
import numpy as np
import pytest

from benchmarks._programs import PROGRAMS
from benchmarks.tpu_compile import round_trip

SIZES = {
    "LSTMN train step": {"batch": 3, "steps": 5, "features": 4, "hidden": 6},
    "MemNN train step": {"batch": 4, "features": 6, "num_statements": 60, "num_questions": 8, "window": 12},
    "memory write": {"slots": 7, "features": 3},
    "sharded write": {"slots": 7, "features": 3},
    "exact search": {"slots": 7, "features": 3, "queries": 2, "k": 3},
    "sharded search": {"slots": 7, "features": 3, "queries": 2, "k": 3},
}


@functools.cache
def program(name):
    return PROGRAMS[name](**SIZES[name])


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_exported_program_returns_what_the_jitted_one_does(name):
    got, expected, size = round_trip(program(name), ["tpu", "cuda", "cpu"])
    assert size > 0
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), got, expected)

    (before, _), (after, _) = program(name).arguments(), got
    if "search" in name:  # which changes nothing
        return
    counter, changed = ("count", "values") if "write" in name else ("step", "params")
    assert int(after[counter]) == int(before[counter]) + 1
    for old, new in zip(jax.tree.leaves(before[changed]), jax.tree.leaves(after[changed]), strict=True):
        assert not np.array_equal(old, new)


@pytest.mark.parametrize("name", PROGRAMS)
def test_shapes_are_those_of_the_arguments(name):
    jax.tree.map(
        lambda shape, array: np.testing.assert_equal((shape.shape, shape.dtype), (array.shape, array.dtype)),
        program(name).shapes(),
        program(name).arguments(),
    )
    state, inputs = program(name).shapes()
    assert program(name).divided <= state.keys() | inputs.keys()
