# SPDX-License-Identifier: Apache-2.0
"""What needs several devices, in processes of its own: their number is fixed when JAX starts."""

import os
import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).parent
EIGHT = "--xla_force_host_platform_device_count=8"


def test_on_eight_simulated_devices():
    """Runs the files named `eight_devices.py`."""
    files = sorted(map(str, TESTS.rglob("eight_devices.py")))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
    env = os.environ | {"XLA_FLAGS": EIGHT, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=TESTS.parent, env=env, capture_output=True, text=True, timeout=600)
    assert len(files) > 1 and done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
