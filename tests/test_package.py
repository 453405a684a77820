# SPDX-License-Identifier: Apache-2.0
"""The wheel: built and installed without the network, imported outside the checkout."""

import email
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

import memjax

ROOT = pathlib.Path(__file__).resolve().parents[1]

SCRIPT = """
import importlib.metadata
import memjax
print(memjax.__file__, memjax.__version__, importlib.metadata.version("memjax"), sep="\\n")
"""


def pip(*args: str | pathlib.Path) -> None:
    """Runs pip without an index; shows its output where it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, args)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A wheel of the checkout, built from a copy: a build leaves files beside what it builds."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "memjax", source / "memjax", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", source, "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", folder)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_the_package_and_nothing_else(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"memjax-{memjax.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"memjax", info}
    assert "memjax/py.typed" in names
    assert f"{info}/licenses/LICENSE" in names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "memjax").rglob("*.py")}
    assert modules <= names, f"left out, for want of an __init__.py beside them: {sorted(modules - names)}"


def test_metadata(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"memjax-{memjax.__version__}.dist-info"
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert metadata["Name"] == "memjax"
    assert metadata["Version"] == memjax.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "memjax = memjax.cli:main" in entry_points
    extras = {"app", "cuda", "tpu", "tensorboard", "benchmarks", "dev"}
    assert set(metadata.get_all("Provides-Extra")) == extras


def test_wheel_is_imported_outside_the_checkout(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    site = tmp_path / "site"
    pip("install", "--no-index", "--no-deps", "--target", site, wheel)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{SCRIPT}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    file, version, installed_version = done.stdout.split("\n")[:3]
    assert pathlib.Path(file).is_relative_to(site)
    assert version == installed_version == memjax.__version__
