# SPDX-License-Identifier: Apache-2.0
"""How many questions a second does a Memory Network train on, against the same model in PyTorch?

    python -m benchmarks.memnn_train [--json FILE] [--threads N] [--quick]

One epoch over 3,000 questions of the simulated world (actor and object, difficulty 5, 128 slots) in batches of 32:
k = 2 hops, signed time features, n = 50, softmax margin over all negatives, Adam at a constant rate. memjax runs it as
one jitted scan; for one seed, and for ten seeds on a `jax.vmap` axis. Every timing begins at the initial weights.

The peer is the same training in PyTorch, with as many threads, or with one where a trial shows that to be faster
(threads that wait for each other at every operation are slow on a busy machine): everything on the device before the
loop, no host synchronisation in it, masks and time features laid out before it (they depend on the data alone), the
epoch's order drawn once and the data gathered by it, the loss as a fused cross entropy, fused Adam. A hop scores the
slots in one of three ways:

    slots   each different sentence is embedded once a step, and gathered to the slots; queries times slots
    words   queries are taken to the words, and multiplied with the bags of words, gathered to the slots
    table   queries are taken to the words, then to each different sentence; the scores are gathered (as memjax)

each eagerly with `torch.optim.Adam`; the last two also as one `torch.compile`d function with Adam written in it. Ten
seeds lie on a leading axis of the weights, or run one after another, whichever is faster. Loss and gradients of the
first step (through Adam's first moment) must agree with memjax to 1e-4 before anything is timed.

Questions a second, memjax over the peers: over the fastest eager loop, with one model in it as in a script that trains
one; and over the fastest of all peers, those compiled or with seeds batched by hand included. Floor 3, goal 10.
"""

import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks import _harness
from benchmarks._torch_memnn import (
    BATCH,
    BETA1,
    BETA2,
    EPSILON,
    FEATURES,
    LEARNING_RATE,
    MARGIN,
    SEEDS,
    Torch,
    layout,
)
from memjax import data
from memjax.data import simulation
from memjax.models import MemNN
from memjax.training import StoryBatch, create_state, make_epoch, make_memnn_loss, make_step

TOLERANCE = 1e-4
FLOOR, GOAL = 3, 10
EAGER = ("slots", "words", "table")
COMPILED = ("words", "table")


class Ours:
    """The training in memjax; with `seeds` above 1 they lie along a leading axis.

    Attributes:
        weights: initial ones, as NumPy: of O [roles, W, n], of the time features [F, n], of R [roles, W, n].
        compile_seconds: of the epoch.
    """

    def __init__(self, stories: data.Stories, num_words: int, seeds: int):
        def model(key: Any) -> MemNN:
            return MemNN(num_words, FEATURES, hops=2, time="signed", exclude_found=False, rngs=nnx.Rngs(key))

        optimizer = optax.adam(LEARNING_RATE, BETA1, BETA2, EPSILON)
        loss = make_memnn_loss(loss="softmax", negatives="all", margin=MARGIN, short_chains="repeat")
        step = make_step(model(0), optimizer, loss)

        def init(seed: jax.Array) -> Any:
            return create_state(model(jax.random.key(seed)), optimizer, jax.random.key(seed + SEEDS))

        def first_step(state: Any, corpus: StoryBatch, indices: jax.Array) -> Any:
            return step(state, corpus.take(indices))

        epoch = make_epoch(step, BATCH)
        if seeds > 1:
            init, epoch = jax.vmap(init), jax.vmap(epoch, in_axes=(0, None))
            first_step = jax.vmap(first_step, in_axes=(0, None, 0))
        self.corpus = StoryBatch.from_stories(stories)
        self._first_step = first_step
        self._initial = jax.jit(init)(jnp.arange(seeds) if seeds > 1 else 0)
        self._epoch, self.compile_seconds = _harness.compiled(epoch, self._initial, self.corpus, donate=[0])
        self.weights = [np.asarray(leaf) for leaf in _leaves(self._initial.params)]
        self.restart()

    def restart(self) -> Any:
        """Goes back to the initial weights."""
        self._state = jax.tree.map(jnp.copy, self._initial)
        return self._state

    def epoch(self) -> jax.Array:
        """Trains for an epoch; returns its mean loss."""
        self._state, metrics = self._epoch(self._state, self.corpus)
        return metrics["loss"]

    def first(self, indices: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Returns loss and gradients of the first step, on the questions at `indices` (one row for each seed)."""
        with jax.default_matmul_precision("highest"):
            state, metrics = jax.jit(self._first_step)(self._initial, self.corpus, indices)
        moments = _leaves(optax.tree_utils.tree_get(state.opt_state, "mu"))
        return np.asarray(metrics["loss"]), [np.asarray(leaf) / (1 - BETA1) for leaf in moments]


def _leaves(params: Any) -> list[Any]:
    output, response = params["output"], params["response"]
    return [output["words"]["weights"], output["time_rows"], response["words"]["weights"]]


def check_agreement(name: str, ours: Ours, peer: Torch, indices: np.ndarray) -> None:
    """Raises unless loss and gradients of the first step are those of memjax."""
    loss, grads = ours.first(indices)
    peer_loss, peer_grads = peer.first(indices)
    pairs = [(loss.sum(), peer_loss), *zip(grads, peer_grads, strict=True)]
    worst = max(float(np.max(np.abs(a - b)) / np.max(np.abs(a))) for a, b in pairs)
    if not worst <= TOLERANCE:
        raise AssertionError(f"{name}: expected memjax's loss and gradients to {TOLERANCE}, got {worst:.2g} apart")


def faster_threads(peer: Torch, threads: int, trials: int = 5, steps: int = 10) -> int:
    """Returns 1 or `threads`, whichever trains faster."""
    seconds: dict[int, list[float]] = {1: [], threads: []}
    for _ in range(trials if len(seconds) > 1 else 0):
        for peer.threads in seconds:
            start = time.perf_counter()
            peer.epoch(steps)
            seconds[peer.threads].append(time.perf_counter() - start)
    return min(seconds, key=lambda count: sum(sorted(seconds[count])[: trials // 2 + 1]))


def build_peers(
    torch: Any, device: str, stories: data.Stories, ours: dict[int, Ours], compiled: bool, threads: int
) -> dict[tuple[str, int], Torch]:
    """Returns the peers that work and agree, by (name, seeds)."""
    num_words = ours[1].weights[0].shape[1]
    laid_out, peers = layout(stories, num_words), {}
    rng = np.random.default_rng(0)
    kinds = [(form, False) for form in EAGER] + [(form, True) for form in COMPILED if compiled]
    for seeds, mine in ours.items():
        indices = np.stack([rng.choice(len(stories), BATCH, replace=False) for _ in range(seeds)])
        for form, compile_it in kinds:
            name = f"torch {'compiled' if compile_it else 'eager'}, {form}"
            try:
                peer = Torch(torch, device, laid_out, mine.weights, seeds, form, compile_it, threads)
            except Exception as error:  # The compiler wants a toolchain, which fails in many ways.
                if not compile_it:
                    raise
                _harness.skipped(name, error)
                continue
            check_agreement(name, mine, peer, indices if seeds > 1 else indices[0])
            peer.restart()
            peer.threads = faster_threads(peer, threads)
            print(f"{name}: {seeds} seeds with {peer.threads} of {threads} threads")
            peers[name, seeds] = peer
    return peers


def main() -> None:
    """Measures, prints and writes the table."""
    flags = _harness.parser(__doc__)
    flags.set_defaults(repeats=15)
    _harness.add_threads(flags)
    flags.add_argument("--no-compile", action="store_true", help="leave torch.compile out: it takes about a minute")
    flags.add_argument("--quick", action="store_true", help="5 repeats, and --no-compile")
    args = flags.parse_args()
    if args.quick:
        args.repeats, args.no_compile = 5, True
    _harness.keep_threads(flags, args.threads)
    if args.no_compile:
        print("torch.compile is left out: the fastest peer may be missing")

    examples = simulation.generate(0, "train", difficulty=5, objects=True)
    vocabulary = data.Vocabulary.build(data.token_lists(examples))
    stories = data.encode(examples, vocabulary)
    cases: dict[tuple[str, int], Any] = {
        ("memjax", seeds): Ours(stories, vocabulary.num_words, seeds) for seeds in (1, SEEDS)
    }
    torch, device = _harness.load_torch(args.threads)
    if torch is not None:
        ours = {seeds: case for (_, seeds), case in cases.items()}
        cases |= build_peers(torch, device, stories, ours, not args.no_compile, args.threads)
        if device == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32, which JAX takes by default

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    losses: dict[tuple[str, int], Any] = {}

    def run(name: tuple[str, int]) -> Any:
        losses[name] = cases[name].epoch()
        return losses[name] if name[0] == "memjax" else None

    timed = {name: (lambda name=name: run(name)) for name in cases}
    times = _harness.interleaved(timed, args.repeats, before=lambda name: cases[name].restart())

    questions = len(stories) // BATCH * BATCH
    rates = {name: questions * name[1] / timing.median for name, timing in times.items()}
    rows = []
    for name, seeds in sorted(cases, key=lambda case: case[1]):
        # Seeds may also run one after another, at the rate of one.
        rivals = {case: rate for case, rate in rates.items() if case[0] != "memjax" and case[1] in (1, seeds)}
        loop = [rate for case, rate in rivals.items() if "eager" in case[0] and case[1] == 1]
        ratios = [round(rates[name, seeds] / max(others), 3) if others else "" for others in (loop, rivals.values())]
        met = ["", ""]
        if rivals and name == "memjax":
            met = ["goal met" if ratio >= GOAL else "met" if ratio >= FLOOR else "MISSED" for ratio in ratios]
        rows.append(
            [
                name,
                seeds,
                round(cases[name, seeds].compile_seconds, 2),
                times[name, seeds],
                round(rates[name, seeds]),
                ratios[0],
                met[0],
                ratios[1],
                met[1],
                round(float(np.mean(np.asarray(losses[name, seeds]))), 4),
            ]
        )
    columns = ["training", "seeds", "compile s", "epoch ms", "questions/s"]
    columns += ["x eager loop", f"floor {FLOOR}", "x fastest peer", f"floor {FLOOR} ", "loss"]
    settings = {
        "questions": questions,
        "batch": BATCH,
        "slots": stories.slots.shape[1],
        "words": vocabulary.num_words,
        "sentences": len(stories.sentences),
        "features": FEATURES,
        "threads": args.threads,
        "load before": load,
        "repeats": args.repeats,
        "torch": torch and torch.__version__,
        "torch device": device,
    }
    print(", ".join(f"{name} {value}" for name, value in settings.items()))
    _harness.report(args.json, settings, columns, rows)


if __name__ == "__main__":
    main()
