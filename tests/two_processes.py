# SPDX-License-Identifier: Apache-2.0
"""One of several processes, with one device each, that write and search a memory together: run by `test_devices.py`.

python -m tests.two_processes NUMBER COUNT PORT FOLDER
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from memjax import memory as mm
from memjax import search
from memjax.training import load_pytree, save_pytree

N, D, Q, K, M = 16, 4, 3, 5, 21


def main(number: int, count: int, port: int, folder: str) -> None:
    """Does what one process does, and compares with this process alone."""
    jax.config.update("jax_disable_most_optimizations", True)
    address = f"127.0.0.1:{port}"
    jax.distributed.initialize(address, count, number, coordinator_bind_address=address if number == 0 else None)
    rng = np.random.default_rng(0)
    keys, vectors = (jnp.asarray(rng.integers(-2, 3, shape), jnp.float32) for shape in ((M, D), (Q, D)))
    values, queries = jnp.arange(M, dtype=jnp.int32), search.Queries(vectors)
    make = partial(mm.empty, N, keys[0], values[0])
    alone = mm.write_many(make(), keys, values, mm.oldest_slot)
    expected = search.exact(K)(queries, alone)

    mesh = jax.make_mesh((count,), ("slots",))
    shapes = search.shard_memory(mesh, "slots", jax.eval_shape(make))
    divided = jax.jit(make, out_shardings=jax.tree.map(lambda leaf: leaf.sharding, shapes))()
    store = jax.jit(search.sharded_write(mesh, "slots", mm.oldest_slot), donate_argnums=0)
    for step in range(M):
        divided = jax.block_until_ready(store(divided, keys[step], values[step]))
    find = jax.jit(search.sharded(mesh, "slots", K))
    got = jax.device_get(jax.block_until_ready(find(queries, divided)))
    jax.tree.map(np.testing.assert_array_equal, got, jax.device_get(expected))

    save_pytree(folder, divided)
    loaded = load_pytree(folder, shapes)
    mine = slice(number * N // count, (number + 1) * N // count)
    for memory in (divided, loaded):
        np.testing.assert_array_equal(memory.keys.addressable_shards[0].data, alone.keys[mine])
        np.testing.assert_array_equal(memory.values.addressable_shards[0].data, alone.values[mine])
        assert int(memory.count) == M and int(memory.dropped) == 0
    print("equal")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), sys.argv[4])
