# SPDX-License-Identifier: Apache-2.0
"""What does hashing save in a very large memory of text?

    python -m benchmarks.hashing [--json FILE] [--plot FILE.png] [--slots N] [--quick]

14,000,000 memories, as many as in the paper's large-scale question answering, of 6 to 8 words each, drawn from 500,000
words by Zipf's law. A question is the words of a random memory. Scores are those of an embedding model, s(x, m) =
x^T U^T U m; as U is fixed, a query is the score of each word, and a memory's score the sum over its word ids. The ten
best are found

- exactly, every memory scored, by word ids: the fastest exact search of this library here, and the base of the ratios;
- by the word hash and by the cluster hash (1,000 clusters of the rows of U, as in the paper), without the most frequent
  buckets (`max_bucket`), as key-value networks leave frequent words out. The paper's own hashes, without that bound,
  would score most of a memory whose words are drawn by Zipf's law; they are shown with `--unbounded`.

"candidates" are the postings scored for a question; "same best" is the share of questions whose best score is the exact
one's. Building is timed, and bytes a slot are those of word ids and write times, and of an index.

Cost against the number of memories, from 10^4 on, follows, with the slope of the fitted line in log-log scale: 1 is a
cost that grows with N. There the word hash skips buckets of more than 10,000 memories, so that its candidates stay
bounded.
"""

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
from memjax.typing import NUM_SPECIAL

K, WORDS, FEATURES, CLUSTERS = 10, 8, 64, 1000
#: Candidates of a question that the bounded hashes aim at, and how many times faster: floor and goal.
AIMS = {"word hash": (12_000, (40, 100)), "cluster hash": (190_000, (10, 20))}
COLUMNS = ["slots", "queries", "search", "candidates", "lost", "same best", "ms", "cpu ms", "x exact"]


def zipf_memory(count: int, vocabulary: int, seed: int) -> memory.Memory:
    """Returns a memory of sentences whose words follow Zipf's law."""
    rng = np.random.default_rng(seed)
    chances = np.cumsum(1 / np.arange(1, vocabulary + 1))
    chances /= chances[-1]
    ids = np.zeros((count, WORDS), np.int32)
    for start in range(0, count, 500_000):
        rows = ids[start : start + 500_000]
        rows[:] = np.searchsorted(chances, rng.random(rows.shape)) + NUM_SPECIAL
        rows[np.arange(WORDS)[None] >= rng.integers(6, WORDS + 1, (len(rows), 1))] = 0
    return filled(ids)


def bound_for(index: hashing.Index, questions: np.ndarray, candidates: int) -> int:
    """Returns the bucket size above which buckets are skipped so that questions have so many candidates on average."""
    buckets = np.asarray(index.buckets)[questions]
    sizes = np.diff(np.asarray(index.offsets))
    each = np.where(buckets >= 0, sizes[np.maximum(buckets, 0)], 0)
    low, high = 1, int(sizes.max())
    while low < high:
        middle = (low + high + 1) // 2
        mean = np.where(each <= middle, each, 0).sum(axis=1).mean()
        low, high = (middle, high) if mean <= candidates else (low, middle - 1)
    return low


def timed(fn: Any) -> tuple[Any, float]:
    """Returns what `fn` returns, and the seconds it took."""
    start = time.perf_counter()
    result = jax.block_until_ready(fn())
    return result, time.perf_counter() - start


def make_queries(table: jax.Array, questions: np.ndarray) -> search.Queries:
    """Returns the score of each word for each question, one question at a time."""

    def score(words: jax.Array) -> jax.Array:
        return table @ jnp.where((words >= NUM_SPECIAL)[:, None], table[words - NUM_SPECIAL], 0).sum(axis=0)

    words = jnp.asarray(questions)
    return search.Queries(jax.jit(lambda words: jax.lax.map(score, words))(words), words)


def searches(facts: memory.Memory, indexes: dict[str, tuple[hashing.Index, int | None, int]]) -> dict[str, Any]:
    """Returns a function from queries to hits for each search."""
    exact = jax.jit(search.exact(K))
    runs: dict[str, Any] = {"exact, word ids": lambda queries: exact(queries, facts)}
    for name, (index, bound, width) in indexes.items():

        def run(queries: search.Queries, index: Any = index, bound: Any = bound, width: int = width) -> Any:
            return _hashed(index, queries, facts, bound, width)

        runs[name] = run
    return runs


def _hashed_search(index: Any, queries: Any, facts: Any, bound: int | None, width: int) -> Any:
    return search.hashed(index, K, width, max_bucket=bound)(queries, facts)


_hashed = jax.jit(_hashed_search, static_argnums=(3, 4))


def measure(facts: memory.Memory, runs: dict[str, Any], table: jax.Array, batch: int, repeats: int) -> list[list[Any]]:
    """Times all searches in turn over questions that change from round to round; returns rows."""
    rng = np.random.default_rng(batch)
    rounds = [np.asarray(facts.keys[rng.integers(0, facts.num_slots, batch)]) for _ in range(repeats + 2)]
    queries = [make_queries(table, questions) for questions in rounds]
    found = {name: [run(each) for each in queries] for name, run in runs.items()}
    turns = dict.fromkeys(runs, 0)

    def case(name: str) -> Any:
        turns[name] += 1
        return runs[name](queries[(turns[name] - 1) % len(queries)])

    times = _harness.interleaved({name: lambda name=name: case(name) for name in runs}, repeats, warmup=2)
    exact, rows = found["exact, word ids"], []
    base = times["exact, word ids"].median
    for name, timing in times.items():
        same = np.mean(
            [np.asarray(h.scores[:, 0] >= e.scores[:, 0] - 1e-5) for h, e in zip(found[name], exact, strict=True)]
        )
        counts = [float(np.mean([hits.candidates.mean() for hits in found[name]]))]
        counts.append(float(np.mean([hits.lost.mean() for hits in found[name]])))
        ratio = round(base / timing.median, 2)
        row = [facts.num_slots, batch, name, *map(round, counts), round(float(same), 3), timing]
        rows.append([*row, round(1e3 * timing.cpu, 2), ratio])
    return rows


def slopes(rows: list[list[Any]]) -> dict[str, float]:
    """Returns the exponent of N in each search's time."""
    fitted = {}
    for name in dict.fromkeys(row[2] for row in rows):
        points = [(row[0], row[6].median) for row in rows if row[2] == name]
        sizes, seconds = np.log(np.array(points)).T
        fitted[name] = round(float(np.polyfit(sizes, seconds, 1)[0]), 3)
    return fitted


def plot(rows: list[list[Any]], path: Path) -> None:
    """Draws time over the number of memories."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axis = figure.subplots()
    fitted = slopes(rows)
    for name in fitted:
        curve = [(row[0], 1e3 * row[6].median) for row in rows if row[2] == name]
        axis.plot(*zip(*curve, strict=True), marker="o", label=f"{name}, slope {fitted[name]:.2f}")
    axis.set(xscale="log", yscale="log", xlabel="memories", ylabel="ms for one question")
    axis.grid(alpha=0.3, which="both")
    axis.legend()
    save_picture(path, figure)


def main() -> None:
    """Measures, prints and writes the tables."""
    flags = _harness.parser(__doc__)
    flags.set_defaults(repeats=11)
    _harness.add_threads(flags)
    flags.add_argument("--slots", type=int, default=14_000_000, help="memories (default: %(default)s)")
    flags.add_argument("--words", type=int, default=500_000, help="of the vocabulary (default: %(default)s)")
    flags.add_argument("--unbounded", action="store_true", help="the paper's hashes too, without a bound on buckets")
    flags.add_argument("--plot", type=Path, metavar="FILE.png", help="draw cost over the number of memories")
    flags.add_argument("--quick", action="store_true", help="1,000,000 memories, 50,000 words, 5 repeats")
    args = flags.parse_args()
    if args.quick:
        args.slots, args.words, args.repeats = 1_000_000, 50_000, 5
    _harness.keep_threads(flags, args.threads)
    table = 0.1 * jax.random.normal(jax.random.key(0), (args.words, FEATURES))
    scaling = scaling_rows(table, args)
    facts, made = timed(lambda: zipf_memory(args.slots, args.words, seed=1))
    word_index, word_seconds = timed(lambda: hashing.build(facts, hashing.word_buckets(args.words + NUM_SPECIAL)))
    buckets, cluster_seconds = timed(lambda: hashing.cluster_buckets(jax.random.key(1), table, CLUSTERS))
    cluster_index, sort_seconds = timed(lambda: hashing.build(facts, buckets))
    sample = np.asarray(facts.keys[np.random.default_rng(2).integers(0, args.slots, 512)])
    indexes = {}
    for name, index in (("word hash", word_index), ("cluster hash", cluster_index)):
        candidates = min(AIMS[name][0], args.slots // 10)
        indexes[name] = (index, bound_for(index, sample, candidates), 8 * candidates)
        if args.unbounded:
            indexes[f"{name}, unbounded"] = (index, None, args.slots * 2)
    runs = searches(facts, indexes)
    rows = [row for batch in (1, 64) for row in measure(facts, runs, table, batch, args.repeats)]
    verdicts = []
    for name, (_, goals) in AIMS.items():
        ratio = next(row[-1] for row in rows if row[1:3] == [1, name])
        verdicts.append(_harness.verdict(f"{name}, one query", ratio, "exact search", *goals))
    bytes_of = lambda tree: sum(leaf.nbytes for leaf in jax.tree.leaves(tree))  # noqa: E731
    settings = {
        "words": args.words,
        "threads": args.threads,
        "seconds to draw the memory": round(made, 1),
        "seconds to build": {
            "word index": round(word_seconds, 1),
            "k-means of the words": round(cluster_seconds, 1),
            "cluster index": round(sort_seconds, 1),
        },
        "bytes a slot": {
            "memory": round(bytes_of((facts.keys, facts.times)) / args.slots, 1),
            "an index": round(bytes_of(word_index) / args.slots, 1),
        },
        "max_bucket": {name: bound for name, (_, bound, _) in indexes.items()},
        "slopes": slopes(scaling),
        "verdicts": verdicts,
        "peak GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    _harness.report(args.json, settings, COLUMNS, scaling + rows)
    for name in ("seconds to build", "bytes a slot", "max_bucket", "slopes", "peak GiB"):
        print(f"{name}: {settings[name]}")
    print("\n".join(verdicts))
    if args.plot:
        plot(scaling, args.plot)


def scaling_rows(table: jax.Array, args: Any) -> list[list[Any]]:
    """Measures one question over memories of growing size."""
    rows = []
    size = 10_000
    while size < args.slots:
        facts = zipf_memory(size, args.words, seed=size)
        index = hashing.build(facts, hashing.word_buckets(args.words + NUM_SPECIAL))
        runs = searches(facts, {"word hash": (index, 10_000, 80_000)})
        rows += measure(facts, runs, table, 1, args.repeats)
        size *= 10
    return rows


if __name__ == "__main__":
    main()
