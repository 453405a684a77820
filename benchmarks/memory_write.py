# SPDX-License-Identifier: Apache-2.0
"""Does a write cost the same at 1,000 slots as at 1,000,000?

    python -m benchmarks.memory_write [--json FILE]

One write of a key and a value, float32 [128] each, to a donated memory under jit. "call" is a Python loop of
single writes, so a call's dispatch is part of it, as where facts come in one by one; "device" is the same writes in
one `jax.lax.fori_loop`, without the dispatch. Writes begin at a slot drawn anew each time, in arrays that were
written before, so that a large memory cannot rest in a cache. Ratios are to the smallest memory.

`next_slot` and `oldest_slot` promise O(1): floor, a call within 1.3 times. The other choosers are shown without a
floor; those that look at all slots get a tenth of the writes in one timing. The peer is the write that comes first to
mind, `jnp.where(arange == slot, new, old)`: it compares every slot, and copies every slot as well unless the compiler
sees that all others stay (XLA's CPU compiler does, in a donated memory).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _harness
from memjax import memory as mm

FEATURES = 128
FLOOR = 1.3
FLOOR_HOLDS = ("next_slot", "oldest_slot")


def where_write(memory: mm.Memory, key: jax.Array, value: jax.Array) -> mm.Memory:
    """The peer: a write to the next slot by a select over all of them."""
    hit = jnp.arange(memory.num_slots) == memory.count  # [N]
    return memory.replace(
        keys=jnp.where(hit[:, None], key[None], memory.keys),
        values=jnp.where(hit[:, None], value[None], memory.values),
        times=jnp.where(hit, memory.count, memory.times),
        usage=jnp.where(hit, 0.0, memory.usage),
        count=memory.count + 1,
    )


def writer(slot_fn: Any) -> Callable[..., mm.Memory]:
    """Returns memjax's write with a chooser."""
    return lambda memory, key, value: mm.write(memory, key, value, slot_fn)


# Name, write, and whether its cost does not depend on the number of slots.
WRITES = [
    ("next_slot", writer(mm.next_slot), True),
    ("oldest_slot", writer(mm.oldest_slot), True),
    ("hashed_slot, 8 in a bucket", writer(mm.hashed_slot(lambda key: key[0].astype(jnp.int32), 8)), True),
    ("next_free_slot", writer(mm.next_free_slot), False),
    ("least_used_slot", writer(mm.least_used_slot), False),
    ("peer: jnp.where", where_write, False),
]


def measure(write: Callable[..., mm.Memory], sizes: list[int], writes: int, repeats: int, seed: int) -> dict[Any, Any]:
    """Times one kind of write at all sizes, in turn; returns (compile seconds, call, device) of each size."""
    rng = np.random.default_rng(seed)
    spec = jax.ShapeDtypeStruct((FEATURES,), jnp.float32)
    keys = {size: jnp.ones((writes, FEATURES)) for size in sizes}
    rows = {size: list(keys[size]) for size in sizes}
    value = jnp.ones(FEATURES)

    def many(memory: mm.Memory, keys: jax.Array, value: jax.Array) -> mm.Memory:
        return jax.lax.fori_loop(0, writes, lambda i, memory: write(memory, keys[i], value), memory)

    # Every slot empty but for what the run writes, in arrays that are in memory already.
    def restart(memory: mm.Memory, start: jax.Array) -> mm.Memory:
        times = jnp.full_like(memory.times, -1)
        return memory.replace(times=times, usage=jnp.zeros_like(memory.usage), count=start)

    restart = jax.jit(restart, donate_argnums=0)
    memories, cases, compile_seconds = {}, {}, {}
    for size in sizes:
        memory = mm.empty(size, spec, spec)
        memories[size] = memory.replace(keys=jnp.ones_like(memory.keys), values=jnp.ones_like(memory.values))
        step, compile_seconds[size] = _harness.compiled(write, memory, rows[size][0], value, donate=[0])
        loop, _ = _harness.compiled(many, memory, keys[size], value, donate=[0])
        del memory

        def calls(size: int = size, step: Any = step) -> mm.Memory:
            memory = memories[size]
            for key in rows[size]:
                memory = step(memory, key, value)
            memories[size] = memory
            return memory

        def on_device(size: int = size, loop: Any = loop) -> mm.Memory:
            memories[size] = loop(memories[size], keys[size], value)
            return memories[size]

        cases[size, "call"], cases[size, "device"] = calls, on_device

    def before(name: tuple[int, str]) -> Any:
        size, _ = name
        start = jnp.int32(rng.integers(0, size - writes + 1))
        memories[size] = restart(memories[size], start)
        # What `hashed_slot` goes by: buckets drawn anew from all of them.
        keys[size] = jnp.ones((writes, FEATURES)).at[:, 0].set(rng.integers(0, size, writes))
        rows[size] = list(keys[size])
        return memories[size], rows[size]

    times = _harness.interleaved(cases, repeats, before=before)
    one = {name: _harness.Timing(*(x / writes for x in timing[:3]), timing.repeats) for name, timing in times.items()}
    return {size: (compile_seconds[size], one[size, "call"], one[size, "device"]) for size in sizes}


def check_agreement() -> None:
    """Raises unless the peer writes what `next_slot` writes."""
    for count in (0, 7):
        start = mm.empty(8, jnp.zeros(FEATURES), jnp.zeros(FEATURES)).replace(count=jnp.int32(count))
        ours, peer = (
            write(start, jnp.ones(FEATURES), jnp.full(FEATURES, 2.0)) for write in (WRITES[0][1], where_write)
        )
        jax.tree.map(np.testing.assert_array_equal, ours, peer)


def main() -> None:
    """Measures, prints and writes the table."""
    flags = _harness.parser(__doc__)
    flags.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000, 1_000_000], help="slots")
    flags.add_argument("--writes", type=int, default=50, help="in one timing (default: %(default)s)")
    args = flags.parse_args()
    check_agreement()
    rows = []
    for seed, (name, write, constant) in enumerate(WRITES):
        writes = args.writes if constant else max(args.writes // 10, 1)
        measured = measure(write, args.sizes, writes, args.repeats, seed)
        _, smallest_call, smallest_device = measured[args.sizes[0]]
        for size, (seconds, call, device) in measured.items():
            ratio = call.median / smallest_call.median
            met = ("met" if ratio <= FLOOR else "MISSED") if name in FLOOR_HOLDS and size != args.sizes[0] else ""
            device_ratio = device.median / smallest_device.median
            rows.append([name, size, round(seconds, 3), call, round(ratio, 3), met, device, round(device_ratio, 3)])
    columns = ["write", "slots", "compile s", "call ms", "ratio", f"floor {FLOOR}", "device ms", "device ratio"]
    settings = {"features": FEATURES, "writes": args.writes, "repeats": args.repeats, "sizes": args.sizes}
    _harness.report(args.json, settings, columns, rows)


if __name__ == "__main__":
    main()
