# SPDX-License-Identifier: Apache-2.0
"""How fast is search beside FAISS?

    python -m benchmarks.search [--json FILE] [--plot FILE.png] [--vectors FILE.npy] [--threads N] [--no-hnsw] [--quick]

The ten best of 1,000,000 memories of 128 features, for batches of 1, 64 and 512 queries. FAISS runs with as many
threads as JAX. It takes its matrix product for small batches only above a threshold, so it is timed with the default
one and with `faiss.cvar.distance_compute_blas_threshold = 20`, and the faster counts.

Exact: float32 keys, and 8-bit keys whose best are scored again in float32, against `IndexFlatIP`. That both find the
same slots is checked before timing, to 999 of 1,000: rounding decides near ties.

Approximate: inverted lists against `IndexIVFFlat` with the very same centroids and lists, `IndexIVFSQ8` and
`IndexHNSWFlat` beside them, over the number of probes (or HNSW's efSearch): recall at ten of the exact answer, and
time. The ratio is taken at the first number of probes at which both find 95 of 100. The vectors are drawn around 20,000
centers with noise, on the unit sphere; `--vectors` takes real ones, `[N, D]`, whose last rows are the queries.

Building: k-means and lists, ours from the vectors alone, against `train` and `add`.

"cpu ms" is the time of all cores together; "temp MiB" is XLA's scratch memory.
"""

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _harness
from benchmarks._memories import filled
from memjax import hashing, memory, search
from memjax.cli.pictures import save_picture

K = 10
#: Single queries that are timed in turn, so that recall may mean something.
SINGLES = 64
CENTERS = 20_000
#: Behind the name of a peer whose threads divide the lists of each query.
DIVIDED = ", lists divided"
PROBES = (2, 8, 32, 64, 128)
BREADTHS = (16, 64, 256)
#: Times faster than FAISS, by batch: floor and goal.
EXACT_GOALS = {("float32", 1): (1.4, 2), ("float32", 64): (1.8, 2.5), ("int8", 1): (2.3, 3.5), ("int8", 64): (2.3, 3.5)}
LIST_GOALS = {1: (0.9, 1.3), 64: (1.7, 3), 512: (3, 5)}
COLUMNS = ["queries", "search", "probes", "recall", "ms", "cpu ms", "x FAISS", "temp MiB"]


#: Recall, time and scratch memory of a search.
Measured = tuple[float, _harness.Timing, int | None]


def clustered(count: int, features: int, queries: int) -> np.ndarray:
    """Returns unit vectors `[count + queries, features]` around random centers."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((CENTERS, features), dtype=np.float32)
    vectors = np.empty((count + queries, features), np.float32)
    for start in range(0, len(vectors), 100_000):
        rows = vectors[start : start + 100_000]
        rows[:] = centers[rng.integers(0, CENTERS, len(rows))]
        rows += 0.8 * rng.standard_normal(rows.shape, dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return vectors


def recall(found: Any, expected: np.ndarray) -> float:
    """Returns the share of the expected slots that were found."""
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(np.asarray(found), expected, strict=True)]))


def in_batches(queries: np.ndarray, batch: int) -> np.ndarray:
    """Returns `[batches, batch, D]`: `SINGLES` of one query, or one of many."""
    count = SINGLES if batch == 1 else 1
    return queries[: batch * count].reshape(count, batch, -1)


def load_faiss(threads: int) -> Any:
    """Returns FAISS, or None where it is not installed."""
    try:
        import faiss
    except ImportError:
        print("faiss is not installed: no peer to compare with")
        return None
    faiss.omp_set_num_threads(threads)
    faiss.default_blas_threshold = faiss.cvar.distance_compute_blas_threshold  # before any peer sets it
    return faiss


class Case:
    """A search to time, over batches that take turns; `set_up` first, where the peer has global settings.

    `run(batch)` gives scores and slots.
    """

    def __init__(self, run: Any, batches: list[Any], temp: int | None = None, set_up: Any = None):
        self._run, self._batches, self._turn = run, batches, 0
        self.temp, self.set_up = temp, set_up or (lambda: None)

    def __call__(self) -> Any:
        """Searches for the next batch."""
        self._turn += 1
        return self._run(self._batches[self._turn % len(self._batches)])

    def all(self) -> np.ndarray:
        """Returns what is found for all batches, `[queries, K]`."""
        self.set_up()
        return np.concatenate([np.asarray(self._run(batch)[1]) for batch in self._batches])


def ours(search_fn: Any, facts: memory.Memory, index: Any, vectors: np.ndarray) -> Case:
    """A search of memjax; `search_fn(index)` makes it, so that the index is an argument of the program."""
    batches = [search.Queries(jnp.asarray(batch)) for batch in vectors]

    @jax.jit
    def jitted(index: Any, queries: search.Queries, facts: memory.Memory) -> tuple[jax.Array, jax.Array]:
        hits = search_fn(index)(queries, facts)
        return hits.scores, hits.slots

    temp = jitted.lower(index, batches[0], facts).compile().memory_analysis().temp_size_in_bytes
    return Case(lambda batch: jitted(index, batch, facts), batches, temp)


def peer(faiss: Any, index: Any, vectors: np.ndarray, threshold: int | None = None, **settings: int) -> Case:
    """A search of FAISS."""

    def set_up() -> None:
        faiss.cvar.distance_compute_blas_threshold = threshold or faiss.default_blas_threshold
        holder = getattr(index, "hnsw", index)
        for name, value in settings.items():
            setattr(holder, name, value)

    return Case(lambda batch: index.search(batch, K), list(vectors), None, set_up)


def measure(cases: dict[Any, Case], expected: np.ndarray, repeats: int) -> dict[Any, Measured]:
    """Checks what each finds, then times all in turn; returns recall, timing and scratch memory."""
    found = {}
    for name, case in cases.items():
        found[name] = recall(case.all(), expected)
    times = _harness.interleaved(cases, repeats, before=lambda name: cases[name].set_up())
    return {name: (found[name], times[name], cases[name].temp) for name in cases}


def row(queries: int, name: str, probes: Any, measured: Measured, peer_seconds: float | None) -> list:
    """Returns a row of the table."""
    found, timing, temp = measured
    ratio = "" if peer_seconds is None else round(peer_seconds / timing.median, 2)
    scratch = "" if temp is None else round(temp / 2**20, 1)
    return [queries, name, probes, round(found, 4), timing, round(1e3 * timing.cpu, 2), ratio, scratch]


def exact_rows(
    faiss: Any, keys: np.ndarray, queries: np.ndarray, batches: list[int], repeats: int
) -> tuple[list, list]:
    """Measures exact search; returns rows and verdicts."""
    facts = filled(keys)
    coded = jax.jit(lambda facts: memory.map_keys(facts, search.quantize))(facts)
    flat = None
    if faiss is not None:
        flat = faiss.IndexFlatIP(keys.shape[1])
        flat.add(keys)
    rows, verdicts = [], []
    for batch in batches:
        vectors = in_batches(queries, batch)
        cases = {
            "memjax float32": ours(lambda _: search.exact(K), facts, None, vectors),
            "memjax int8": ours(lambda _: search.exact(K), coded, None, vectors),
        }
        if flat is not None:
            cases |= {
                "FAISS Flat": peer(faiss, flat, vectors),
                "FAISS Flat, threshold 20": peer(faiss, flat, vectors, threshold=20),
            }
        expected = cases["FAISS Flat" if flat is not None else "memjax float32"].all()
        measured = measure(cases, expected, repeats)
        for name in ("memjax float32", "memjax int8"):
            if measured[name][0] < 0.999:
                raise AssertionError(f"{name}: finds {measured[name][0]:.4f} of what FAISS finds")
        peers = [timing.median for name, (_, timing, _) in measured.items() if name.startswith("FAISS")]
        fastest = min(peers) if peers else None
        rows += [row(batch, name, "", each, fastest) for name, each in measured.items()]
        for (kind, size), goals in EXACT_GOALS.items():
            if size == batch and fastest:
                ratio = fastest / measured[f"memjax {kind}"][1].median
                verdicts.append(_harness.verdict(f"exact {kind}, {batch} queries", ratio, "FAISS", *goals))
    return rows, verdicts


def build(faiss: Any, keys: np.ndarray, num_lists: int, hnsw: bool) -> tuple[dict[str, Any], dict[str, float]]:
    """Builds every index; returns them and the seconds each took."""
    features, indexes, seconds = keys.shape[1], {}, {}
    if faiss is None:
        return indexes, seconds
    inner = faiss.METRIC_INNER_PRODUCT
    quantizers = [faiss.IndexFlatIP(features) for _ in range(2)]
    indexes["IVFFlat"] = faiss.IndexIVFFlat(quantizers[0], features, num_lists, inner)
    eight = faiss.ScalarQuantizer.QT_8bit
    indexes["IVFSQ8"] = faiss.IndexIVFScalarQuantizer(quantizers[1], features, num_lists, eight, inner)
    if hnsw:
        indexes["HNSW"] = faiss.IndexHNSWFlat(features, 16, inner)
    for name, index in indexes.items():
        start = time.perf_counter()
        index.train(keys)
        index.add(keys)
        seconds[f"FAISS {name}"] = time.perf_counter() - start
    return indexes, seconds


def list_rows(
    faiss: Any, keys: np.ndarray, queries: np.ndarray, batches: list[int], repeats: int, hnsw: bool
) -> tuple[list, list, list, dict[str, float]]:
    """Measures approximate search; returns rows, verdicts, points of the curves and seconds of building."""
    num_lists = max(min(1024, len(keys) // 64), 1)
    facts = filled(keys)
    start = time.perf_counter()
    centroids = hashing.kmeans(jax.random.key(0), facts.keys, num_lists)
    jax.block_until_ready(hashing.build_lists(facts, centroids))
    seconds = {"memjax lists": time.perf_counter() - start}
    indexes, others = build(faiss, keys, num_lists, hnsw)
    seconds |= others
    if indexes:  # the same lists on both sides
        centroids = jnp.asarray(faiss.downcast_index(indexes["IVFFlat"].quantizer).reconstruct_n(0, num_lists))
    lists = hashing.build_lists(facts, centroids)
    lengths = np.sort(np.diff(np.asarray(lists.index.offsets)))[::-1]
    rows, verdicts, points = [], [], []
    for batch in batches:
        vectors = in_batches(queries, batch)
        expected = ours(lambda _: search.exact(K), facts, None, vectors).all()
        first = None
        for probes in (probes for probes in PROBES if probes <= num_lists):
            width = int(-(-lengths[:probes] // 512).sum() * 512)
            made = lambda lists, probes=probes, width=width: search.probed(lists, K, probes, width)  # noqa: E731
            cases = {"memjax lists": ours(made, facts, lists, vectors)}
            for name in [name for name in indexes if name != "HNSW"]:
                cases[f"FAISS {name}"] = peer(faiss, indexes[name], vectors, nprobe=probes, parallel_mode=0)
                if batch == 1:  # its threads divide queries, or the lists of each query
                    cases[f"FAISS {name}{DIVIDED}"] = peer(
                        faiss, indexes[name], vectors, nprobe=probes, parallel_mode=1
                    )
            measured = measure(cases, expected, repeats)
            for name in [name for name in measured if name.endswith(DIVIDED)]:  # the faster one counts
                pair = measured.pop(name), measured[name.removesuffix(DIVIDED)]
                measured[name.removesuffix(DIVIDED)] = min(pair, key=lambda each: each[1].median)
            flat = measured["FAISS IVFFlat"] if indexes else None
            rows += [row(batch, name, probes, each, flat and flat[1].median) for name, each in measured.items()]
            points += [(batch, name, each[0], each[1].median / batch) for name, each in measured.items()]
            enough = flat is not None and min(flat[0], measured["memjax lists"][0]) >= 0.95
            if enough and first is None and batch in LIST_GOALS:
                first = flat[1].median / measured["memjax lists"][1].median
                name = f"lists, {batch} queries, {probes} probes"
                verdicts.append(_harness.verdict(name, first, "FAISS", *LIST_GOALS[batch]))
        for breadth in BREADTHS if "HNSW" in indexes else ():
            cases = {"FAISS HNSW": peer(faiss, indexes["HNSW"], vectors, efSearch=breadth)}
            each = measure(cases, expected, repeats)["FAISS HNSW"]
            rows.append(row(batch, "FAISS HNSW", breadth, each, None))
            points.append((batch, "FAISS HNSW", each[0], each[1].median / batch))
    return rows, verdicts, points, seconds


def plot(points: list, path: Path) -> None:
    """Draws time for a query over recall, a panel for each batch."""
    from matplotlib.figure import Figure

    batches = sorted({batch for batch, *_ in points})
    figure = Figure(figsize=(4.2 * len(batches), 3.6), layout="constrained")
    for axis, batch in zip(figure.subplots(1, len(batches), squeeze=False)[0], batches, strict=True):
        for name in dict.fromkeys(name for _, name, _, _ in points):
            curve = [(found, 1e6 * each) for size, which, found, each in points if (size, which) == (batch, name)]
            style = {"linewidth": 2.2, "color": "#c0392b"} if name.startswith("memjax") else {"linewidth": 1}
            axis.plot(*zip(*curve, strict=True), marker="o", markersize=3, label=name, **style)
        title = "one query at a time" if batch == 1 else f"{batch} queries at once"
        axis.set(title=title, xlabel=f"recall at {K}", yscale="log")
        axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize=8)
    figure.axes[0].set_ylabel("microseconds a query")
    save_picture(path, figure)


def main() -> None:
    """Measures, prints and writes the tables."""
    flags = _harness.parser(__doc__)
    flags.set_defaults(repeats=7)
    _harness.add_threads(flags)
    flags.add_argument(
        "--vectors", type=Path, metavar="FILE.npy", help="real vectors, [N, D]; the last rows are the queries"
    )
    flags.add_argument(
        "--slots", type=int, default=1_000_000, help="of the vectors that are drawn (default: %(default)s)"
    )
    flags.add_argument("--features", type=int, default=128, help="of drawn vectors (default: %(default)s)")
    flags.add_argument("--batches", type=int, nargs="+", default=[1, 64, 512], help="queries (default: 1 64 512)")
    flags.add_argument("--no-hnsw", action="store_true", help="leave HNSW out: it takes minutes to build")
    flags.add_argument("--plot", type=Path, metavar="FILE.png", help="draw recall and time")
    flags.add_argument("--quick", action="store_true", help="100,000 slots, 3 repeats, and --no-hnsw")
    args = flags.parse_args()
    if args.quick:
        args.slots, args.repeats, args.no_hnsw = 100_000, 3, True
    _harness.keep_threads(flags, args.threads)
    num_queries = max(SINGLES, *args.batches)
    vectors = _vectors(flags, args, num_queries)
    keys, queries = vectors[:-num_queries], vectors[-num_queries:]
    faiss = load_faiss(args.threads)
    rows, verdicts = exact_rows(faiss, keys, queries, [batch for batch in args.batches if batch <= 64], args.repeats)
    more, other, points, seconds = list_rows(faiss, keys, queries, args.batches, args.repeats, not args.no_hnsw)
    settings = {
        "slots": len(keys),
        "features": keys.shape[1],
        "threads": args.threads,
        "repeats": args.repeats,
        "vectors": str(args.vectors or "drawn"),
        "faiss": getattr(faiss, "__version__", None),
        "build seconds": {name: round(value, 2) for name, value in seconds.items()},
        "verdicts": verdicts + other,
        "peak GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    _harness.report(args.json, settings, COLUMNS, rows + more)
    print("\n".join(["built in seconds: " + str(settings["build seconds"]), *settings["verdicts"]]))
    if args.plot:
        plot(points, args.plot)


def _vectors(flags: argparse.ArgumentParser, args: argparse.Namespace, num_queries: int) -> np.ndarray:
    if args.vectors is None:
        return clustered(args.slots, args.features, num_queries)
    vectors = np.load(args.vectors, mmap_mode="r")
    if vectors.ndim != 2 or len(vectors) <= 2 * num_queries:
        flags.error(f"--vectors: expected an array [N, D] of more than {2 * num_queries} rows, got {vectors.shape}")
    return np.ascontiguousarray(vectors, dtype=np.float32)


if __name__ == "__main__":
    main()
