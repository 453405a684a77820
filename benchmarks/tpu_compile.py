# SPDX-License-Identifier: Apache-2.0
"""Do the programs compile for TPUs, and is their state updated in place there?

    python -m benchmarks.tpu_compile [--json FILE] [--topology v5e:1x1 ...]

No TPU is needed: libtpu compiles ahead of time for a topology that is only named. The train step of an LSTMN, the
train step of `benchmarks.memnn_train`, and a write to and a search of a memory of 1,000,000 slots, each with its state
donated, are compiled for each topology. Where it has several devices (a chip is one or two), the batch, or the memory's
slots, are divided among them by `jax.sharding` and XLA's partitioner; the programs do not change. "Sharded" write and
search say themselves what each device does, by `shard_map`. A row tells the seconds of the
compile; the bytes on one device as XLA reports them (arguments, outputs, temporaries, outputs that alias an argument;
chips pad arrays); how many of the donated arrays an output aliases (in place means all of them, and no temporaries of
the state's size); and the kinds of communication between devices. A program too large for the device's memory fails to
compile, and the row says so.

Each program is also exported with `jax.export` for TPU, CUDA and CPU at once, serialized, deserialized, called on the
CPU and compared with the jitted function, bit for bit; the row tells the serialized size.

None of this measures speed. XLA's cost analysis is left out: it counts the body of a scan once, however many steps
the scan takes, and its seconds are estimates. Compile seconds are those of this machine's CPU. Without libtpu
(`pip install 'memjax[tpu]'`) only the export is done.
"""

import argparse
import importlib.metadata
import math
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from benchmarks import _harness
from benchmarks._programs import AXIS, PROGRAMS, Program

TOPOLOGIES = ("v5e:1x1", "v6e:2x2")
PLATFORMS = ("tpu", "cuda", "cpu")
COMMUNICATION = re.compile(r"\b(all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(")
COLUMNS = ["program", "target", "devices", "outcome", "compile s", "argument bytes", "output bytes", "temp bytes"]
COLUMNS += ["alias bytes", "aliased", "communication", "serialized bytes"]


def topology_devices(name: str) -> Sequence[Any]:
    """Returns the devices of a topology such as "v6e:2x2", to compile for; there is nothing behind them."""
    from jax.experimental import topologies

    # A host has four chips or more unless told otherwise, and they must divide the topology.
    chips = math.prod(int(size) for size in name.partition(":")[2].split("x"))
    options = {"chips_per_host_bounds": (1, 1, 1)} if chips == 1 else {}
    return topologies.get_topology_desc(platform="tpu", topology_name=name, **options).devices


def _mesh(devices: Sequence[Any]) -> Mesh:
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def compile_for(program: Program, devices: Sequence[Any]) -> dict[str, Any]:
    """Compiles a program for devices that need not exist; returns cells of its row."""
    mesh = _mesh(devices)

    def place(name: str, tree: Any) -> Any:
        spec = PartitionSpec(AXIS) if name in program.divided else PartitionSpec()
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)

    state, inputs = ({name: place(name, tree) for name, tree in each.items()} for each in program.shapes())
    shardings = (jax.tree.map(lambda leaf: leaf.sharding, state), NamedSharding(mesh, PartitionSpec()))
    lowered = jax.jit(program.fn(mesh), donate_argnums=0, out_shardings=shardings).lower(state, inputs)
    start = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - start
    sizes, text = compiled.memory_analysis(), compiled.as_text()
    aliased = len(re.findall(r"(?:may|must)-alias", text.partition("\n")[0]))
    donated = len(jax.tree.leaves(state))
    return {
        "devices": len(devices),
        "outcome": "compiled",
        "compile s": round(seconds, 2),
        "argument bytes": sizes.argument_size_in_bytes,
        "output bytes": sizes.output_size_in_bytes,
        "temp bytes": sizes.temp_size_in_bytes,
        "alias bytes": sizes.alias_size_in_bytes,
        "aliased": f"{aliased} of {donated}",
        "communication": ", ".join(sorted(set(COMMUNICATION.findall(text)))),
    }


def round_trip(program: Program, platforms: Sequence[str] = PLATFORMS) -> tuple[Any, Any, int]:
    """Exports, serializes, deserializes and calls a program.

    Returns:
        What the deserialized program returns, what the jitted function returns, and the bytes serialized.
    """
    jitted = jax.jit(program.fn(_mesh(jax.devices()[:1])), donate_argnums=0)
    serialized = export.export(jitted, platforms=platforms)(*program.shapes()).serialize()
    restored = export.deserialize(serialized)
    got = jax.jit(restored.call, donate_argnums=0)(*program.arguments())
    return got, jitted(*program.arguments()), len(serialized)


def export_row(program: Program) -> dict[str, Any]:
    """Exports a program and calls it on the CPU; returns cells of its row."""
    got, expected, size = round_trip(program)
    equal = jax.jit(lambda a, b: jax.tree.map(jnp.array_equal, a, b))(got, expected)
    outcome = "equal on the CPU" if jax.tree.all(equal) else "NOT equal on the CPU"
    return {"outcome": outcome, "serialized bytes": size}


def attempt(row: dict[str, Any], measure: Any, *args: Any) -> list[Any]:
    """Returns a row of the table, with the error where `measure` fails."""
    try:
        row |= measure(*args)
    except Exception as error:  # Compilers fail in many ways, and the other rows are wanted.
        row["outcome"] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return [row.get(column, "") for column in COLUMNS]


def libtpu_version() -> str | None:
    """Returns the version of libtpu, or None where it is not installed."""
    try:
        import libtpu  # noqa: F401
    except ImportError:
        return None
    return importlib.metadata.version("libtpu")


def main() -> None:
    """Compiles, exports, prints and writes the table."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--json", type=Path, metavar="FILE", help="write results, device and versions to FILE")
    flags.add_argument("--topology", nargs="+", default=TOPOLOGIES, help="kind of TPU and its chips, e.g. %(default)s")
    args = flags.parse_args()
    jax.config.update("jax_platforms", "cpu")  # as JAX_PLATFORMS=cpu: what runs here runs on the CPU, always

    libtpu = libtpu_version()
    topologies = args.topology if libtpu else ()
    if libtpu is None:
        print("TPU compiles are skipped: libtpu is not installed (pip install 'memjax[tpu]', which is jax[tpu])")
    rows, settings = [], {}
    for name, build in PROGRAMS.items():
        program = build()
        settings[name] = program.settings
        for topology in topologies:
            row = {"program": name, "target": topology}
            rows.append(attempt(row, lambda: compile_for(program, topology_devices(topology))))  # noqa: B023
        row = {"program": name, "target": f"export for {', '.join(PLATFORMS)}"}
        rows.append(attempt(row, export_row, program))
    settings |= {"TPU": "none: compiled ahead of time", "libtpu": libtpu}
    print(", ".join(f"{name} {value}" for name, value in settings.items()))
    _harness.report(args.json, settings, COLUMNS, rows)


if __name__ == "__main__":
    main()
