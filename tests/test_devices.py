# SPDX-License-Identifier: Apache-2.0
"""What needs several devices, in processes of its own: their number is fixed when JAX starts."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

TESTS = pathlib.Path(__file__).parent
ROOT = TESTS.parent
#: Seconds; many times what the machine needs, since it may be busy.
LIMIT = 500
EIGHT = "--xla_force_host_platform_device_count=8"


@pytest.mark.parametrize("tests", ["not thorough", pytest.param("thorough", marks=pytest.mark.thorough)])
def test_on_eight_simulated_devices(tests):
    """Runs the files named `eight_devices.py`."""
    files = sorted(map(str, TESTS.rglob("eight_devices.py")))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", tests, *files]
    env = os.environ | {"XLA_FLAGS": EIGHT, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=LIMIT)
    assert len(files) > 1 and done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]


@pytest.mark.thorough
def test_two_processes(tmp_path):
    """A memory that two processes divide, over the loopback device."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.two_processes"]
    arguments = [[str(number), "2", str(port), str(tmp_path)] for number in range(2)]
    logs = [tmp_path.with_name(f"{tmp_path.name}.{number}.log") for number in range(2)]
    processes = []
    try:
        for log, rest in zip(logs, arguments, strict=True):
            with log.open("w") as file:
                processes.append(subprocess.Popen([*command, *rest], cwd=ROOT, env=env, stdout=file, stderr=file))
        deadline = time.monotonic() + LIMIT
        codes = [process.wait(max(deadline - time.monotonic(), 0)) for process in processes]
    except subprocess.TimeoutExpired:
        codes = [f"none after {LIMIT} s"]
    finally:
        for process in processes:  # not terminate(): jax.distributed ignores SIGTERM
            process.kill()
            process.wait()
    assert codes == [0, 0], "\n".join([str(codes), *(log.read_text()[-4_000:] for log in logs)])
