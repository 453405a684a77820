# SPDX-License-Identifier: Apache-2.0
"""Importing memjax in a fresh process is light."""

import json
import subprocess
import sys

#: Slow to import, or needed by a few users only; memjax imports them where they are used.
HEAVY = ("tensorflow", "tensorflow_datasets", "orbax", "grain", "matplotlib", "tyro")

#: Flax's import includes its NNX. Processor time, so that a busy machine does not count against memjax.
SCRIPT = """
import json, sys, time
import flax, flax.nnx, jax
start = time.process_time()
import memjax
seconds = time.process_time() - start
loaded = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"seconds": seconds, "loaded": loaded}))
"""


def fresh_import() -> dict:
    """Imports memjax in a new process; says how long it took beyond JAX and Flax, and what is loaded then."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_import_loads_nothing_heavy() -> None:
    assert not set(HEAVY) & set(fresh_import()["loaded"])


def test_import_takes_under_a_second_beyond_jax_and_flax() -> None:
    assert any(fresh_import()["seconds"] < 1.0 for _ in range(3))
