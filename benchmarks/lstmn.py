# SPDX-License-Identifier: Apache-2.0
"""How much more than an LSTM does an LSTMN cost?

    python -m benchmarks.lstmn [--json FILE] [--quick] [--sizes BxT ...] [--threads N]

Forward and backward: the gradient of sum(hidden * w), for fixed random w, with respect to all parameters and the input.
float32 (no TF32), H = D = A = 300, no padding. All rows of a size are timed in turn in one process, compilation apart;
temporary memory is what XLA counts. Ratios are to "lax.scan LSTM", a plain LSTM as users of JAX write it: inputs
projected for all steps before the scan, one product a step, `jax.nn.sigmoid`, JAX's own gradient.

    memjax.LSTM, memjax.LSTMN                the layers; attention is recomputed in the reverse pass
    memjax.LSTMN, autodiff                   JAX's gradient of the same forward pass: keys cached, T^2 A numbers kept
    lax.scan LSTMN, autodiff                 as the equations read: keys projected anew at each step, a masked tape
    nnx.RNN, LSTMCell | OptimizedLSTMCell    Flax's own
    nnx.RNN, memjax.LSTMNCell                at the smallest size only
    memjax.ShallowFusion, memjax.DeepFusion  two sequences, source and target, of T steps each
    torch eager LSTMN                        a batch at once; inputs projected before the loop, keys once for each slot;
                                             one product a step for all that reads h~; slots written to one buffer
    torch compiled LSTMN                     the same with each step under torch.compile; not with --quick
    torch.nn.LSTM                            PyTorch's own LSTM

PyTorch has as many threads as JAX. Outputs and gradients of all rows but the fusions agree with memjax's LSTMN, or with
the baseline for an LSTM, to 1e-4 of the largest number, checked before anything is timed. Autodiff rows that keep more
than 1 GiB for one array of T^2 A numbers are timed apart, twice, and not at all with --quick.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _harness
from benchmarks import _lstmn_peers as peers
from benchmarks._torch_lstmn import TorchRun

FEATURES = 300
TOLERANCE = 1e-4
SIZES = [(32, 25), (16, 100), (8, 400)]
BASELINE, OURS, EAGER = "lax.scan LSTM", "memjax.LSTMN", "torch eager LSTMN"
# Floor and goal by (B, T): at most, for time and memory over the LSTM's and for compilation; at least, over PyTorch.
TIME = {(32, 25): (1.3, 1.2), (16, 100): (1.8, 1.6), (8, 400): (2.8, 2.5)}
MEMORY = {(8, 400): (1.35, 1.2)}
COMPILE = {(8, 400): (10.0, 10.0)}
TORCH = {(32, 25): (2.0, 3.0), (16, 100): (3.5, 5.0), (8, 400): (6.0, 9.0)}
LINEAR_BATCH, LINEAR_STEPS = 8, (400, 800, 1600, 3200)
HEAVY_BYTES, HEAVY_REPEATS = 2**30, 2


class Case(NamedTuple):
    """A row at one size: what is timed, seconds to compile, bytes of temporary memory (None: not known), if heavy."""

    run: Callable[[], Any]
    compile_seconds: float | None
    temp_bytes: int | None
    heavy: bool


def compile_run(run: peers.Run, *shapes: Any) -> tuple[Any, float, int]:
    """Returns forward and backward, compiled; the seconds this took; the bytes of temporary memory."""
    start = time.perf_counter()
    compiled = jax.jit(peers.gradient_fn(run)).lower(run.params, *shapes).compile()
    seconds = time.perf_counter() - start
    return compiled, seconds, compiled.memory_analysis().temp_size_in_bytes


def check_agreement(name: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raises unless hidden and gradients are those of the first row of the same model."""
    if expected.keys() != found.keys():
        raise AssertionError(f"{name}: expected gradients of {sorted(expected)}, got {sorted(found)}")
    apart = {key: float(np.max(np.abs(found[key] - a)) / np.max(np.abs(a))) for key, a in expected.items()}
    worst = max(apart, key=lambda key: apart[key])
    if not apart[worst] <= TOLERANCE:
        raise AssertionError(f"{name}: expected {worst} to {TOLERANCE} of its maximum, got {apart[worst]:.2g} apart")


def jax_cases(groups: list[dict[str, peers.Run]], data: tuple[Any, Any], quick: bool) -> tuple[dict[str, Case], Any]:
    """Compiles and checks; the rows of a group compute the same model. Returns cases and each group's result."""
    cases, results = {}, []
    inputs, cotangent = (jnp.asarray(array) for array in data)
    (batch, steps, _), compute = inputs.shape, jax.block_until_ready
    for runs in groups:
        first: dict[str, Any] = {}
        for name, run in runs.items():
            heavy = "autodiff" in name and 4 * batch * steps * steps * FEATURES > HEAVY_BYTES
            if heavy and quick:
                continue
            compiled, seconds, temp = compile_run(run, inputs, cotangent)
            cases[name] = Case(lambda c=compiled, p=run.params: c(p, inputs, cotangent), seconds, temp, heavy)
            if run.named is not None:
                _, (grads, input_grads) = compute(cases[name].run())
                named = {key: np.asarray(array) for key, array in run.named(grads).items()}
                hidden = np.asarray(jax.jit(run.apply)(run.params, inputs))
                result = {"hidden": hidden, **named, "inputs": np.asarray(input_grads)}
                first = first or result
                check_agreement(name, first, result)
        results.append(first)
    return cases, results


def torch_cases(
    torch: Any, device: str, weights: Any, data: Any, expected_lstm: Any, expected_lstmn: Any, quick: bool
) -> dict[str, Case]:
    """Builds and checks the peers in PyTorch."""
    cases = {}
    for kind, expected in (("eager", expected_lstmn), ("compiled", expected_lstmn), ("nn.LSTM", expected_lstm)):
        name = "torch.nn.LSTM" if kind == "nn.LSTM" else f"torch {kind} LSTMN"
        if kind == "compiled" and quick:
            continue
        start = time.perf_counter()
        try:
            peer = TorchRun(torch, device, kind, weights, data)
            result = peer.result()
        except Exception as error:  # The compiler wants a toolchain, which fails in many ways.
            if kind != "compiled":
                raise
            _harness.skipped(name, error)
            continue
        seconds = time.perf_counter() - start if kind == "compiled" else None
        check_agreement(name, expected, result)
        cases[name] = Case(lambda peer=peer: peer.run() and None, seconds, None, False)
    return cases


def measure(cases: Mapping[str, Case], repeats: int) -> dict[str, _harness.Timing]:
    """Times the cases in turn, the heavy ones apart and less often."""
    times = {}
    for heavy, count, warmup in ((False, repeats, 2), (True, HEAVY_REPEATS, 0)):
        runs = {name: case.run for name, case in cases.items() if case.heavy == heavy}
        if runs:  # Threads of the case before may still spin; they sleep soon.
            times |= _harness.interleaved(runs, count, warmup, before=lambda _: time.sleep(0.005))
    return times


def claims(size: tuple[int, int], cases: Mapping[str, Case], times: Mapping[str, Any]) -> list[list[Any]]:
    """Returns a row for each floor at this size: claim, size, measured, floor, goal, verdict."""
    ours, lstm, rows = cases[OURS], cases[BASELINE], []
    time_ratio = times[OURS].median / times[BASELINE].median
    found = [
        ("time, LSTMN / LSTM, at most", TIME, time_ratio, 1),
        ("temporary memory, LSTMN / LSTM, at most", MEMORY, ours.temp_bytes / max(lstm.temp_bytes, 1), 1),
        ("compile seconds of LSTMN, at most", COMPILE, ours.compile_seconds, 1),
    ]
    if EAGER in times:
        found.append(("time, torch eager LSTMN / LSTMN, at least", TORCH, times[EAGER].median / times[OURS].median, -1))
    for claim, bounds, value, sign in found:
        if size in bounds:
            floor, goal = bounds[size]
            met = "goal met" if sign * value <= sign * goal else "met" if sign * value <= sign * floor else "MISSED"
            rows.append([claim, "{}x{}".format(*size), round(value, 3), floor, goal, met])
    return rows


def memory_by_length(weights: Any) -> list[list[Any]]:
    """Compiles at growing lengths; returns length, then KiB of temporary memory a step of LSTM and LSTMN, and ratio."""
    rows = []
    for steps in LINEAR_STEPS:
        shape = jax.ShapeDtypeStruct((LINEAR_BATCH, steps, FEATURES), jnp.float32)
        runs = (compile_run(run, shape, shape) for run in (peers.baseline(weights), peers.lstmn(weights)))
        (_, _, lstm), (_, seconds, lstmn) = runs
        rows.append([steps, *(round(b / 1024 / steps, 1) for b in (lstm, lstmn)), round(lstmn / lstm, 3)])
        rows[-1].append(round(seconds, 2))
    return rows


def main() -> None:
    """Measures, prints and writes the tables."""
    flags = _harness.parser(__doc__)
    flags.set_defaults(repeats=15)
    _harness.add_threads(flags)
    flags.add_argument("--quick", action="store_true", help="5 repeats, no torch.compile, no heavy autodiff row")
    flags.add_argument("--sizes", nargs="+", metavar="BxT", default=["{}x{}".format(*size) for size in SIZES])
    args = flags.parse_args()
    try:
        sizes = [(int(b), int(t)) for b, t in (size.split("x") for size in args.sizes)]
    except ValueError:
        flags.error(f"--sizes: expected batch x steps, as 32x25, got {' '.join(args.sizes)}")
    if args.quick:
        args.repeats = 5
    _harness.keep_threads(flags, args.threads)
    if jax.default_backend() != "cpu":
        jax.config.update("jax_default_matmul_precision", "highest")
    torch, device = _harness.load_torch(args.threads)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None

    rng = np.random.default_rng(0)
    weights = peers.draw_weights(rng, FEATURES, FEATURES)
    columns = ["row", "BxT", "compile s", "ms", "timed", "x LSTM", "x LSTMN", "temp MiB", "x LSTM temp"]
    rows, verdicts = [], []
    for size in sizes:
        inputs, cotangent = (rng.normal(size=(*size, FEATURES)).astype(np.float32) for _ in range(2))
        cell_steps = size[1] if size == min(sizes, key=lambda s: s[1]) else None
        groups = [peers.lstm_runs(weights), peers.lstmn_runs(weights, cell_steps), peers.fusion_runs(weights)]
        cases, (lstm, lstmn, _) = jax_cases(groups, (inputs, cotangent), args.quick)
        if torch is not None:
            cases |= torch_cases(torch, device, weights, (inputs, cotangent), lstm, lstmn, args.quick)
        times = measure(cases, args.repeats)
        verdicts += claims(size, cases, times)
        for name, case in cases.items():
            temp, base = case.temp_bytes, cases[BASELINE].temp_bytes
            rows.append(
                [
                    name,
                    "{}x{}".format(*size),
                    "" if case.compile_seconds is None else round(case.compile_seconds, 2),
                    times[name],
                    times[name].repeats,
                    round(times[name].median / times[BASELINE].median, 3),
                    round(times[name].median / times[OURS].median, 3),
                    "" if temp is None else round(temp / 2**20, 2),
                    "" if temp is None or not base else round(temp / base, 3),
                ]
            )
        # Shown as it comes: the longest size takes minutes.
        _harness.print_table(columns, [row for row in rows if row[1] == rows[-1][1]])
        print(flush=True)
        jax.clear_caches()

    claim_columns = ["claim", "BxT", "measured", "floor", "goal", "verdict"]
    length_columns = ["steps", "LSTM KiB/step", "LSTMN KiB/step", "LSTMN / LSTM", "compile s"]
    by_length = memory_by_length(weights)
    settings = {
        "features": FEATURES,
        "threads": args.threads,
        "repeats": args.repeats,
        "load before": load,
        "torch": torch and torch.__version__,
        "torch device": device,
        "claims": [dict(zip(claim_columns, row, strict=True)) for row in verdicts],
        "temporary memory by length": [dict(zip(length_columns, row, strict=True)) for row in by_length],
    }
    print(", ".join(f"{name} {value}" for name, value in settings.items() if not isinstance(value, list)))
    _harness.report(args.json, settings, columns, rows)
    print()
    _harness.print_table(claim_columns, verdicts)
    print(f"\nTemporary memory as XLA counts it, compiled only, B = {LINEAR_BATCH}:")
    _harness.print_table(length_columns, by_length)


if __name__ == "__main__":
    main()
