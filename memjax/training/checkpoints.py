# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: the one file that knows Orbax."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from memjax.errors import DataError, RunError
from memjax.training.files import read_json, write_json
from memjax.typing import PyTree


def describe_difference(saved: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Lists where two nested dictionaries differ, as `name: saved .., asked for ..`.

    Example:
        >>> describe_difference({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
        ['b.c: saved 2, asked for 3']
    """
    lines = []
    for name in sorted(saved.keys() | asked.keys()):
        old, new = saved.get(name, "nothing"), asked.get(name, "nothing")
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += describe_difference(old, new, f"{prefix}{name}.")
        elif old != new:
            lines.append(f"{prefix}{name}: saved {old!r}, asked for {new!r}")
    return lines


def _shapes(tree: PyTree) -> dict[str, str]:
    """Shape and dtype of each array by its name; Orbax casts dtypes silently, so it cannot be left to it.

    Random keys are left out: Orbax describes them by the integers behind them.
    """
    leaves = jax.tree.leaves_with_path(tree)
    keys = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    return {
        name: f"{leaf.dtype}{list(leaf.shape)}" for name, (_, leaf) in zip(keys, leaves, strict=True) if name != "key"
    }


#: In the folder of each checkpoint: SHA-256 of its files. Orbax does not notice when numbers change on the disk.
_DIGESTS = "sha256.json"


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a checkpoint."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _DIGESTS:
            with path.open("rb") as file:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


class Checkpoints:
    """The checkpoints of a run: the last two of them, each written whole or not at all.

    Args:
        folder: where they lie; made if it is not there.
        metadata: JSON that belongs to every checkpoint: configuration and vocabulary. A checkpoint is restored only
            under the metadata it was saved with.
        read_only: to restore only. Otherwise what a killed save left behind is removed; a reader must not do that
            while the run goes on saving.

    Raises:
        RunError: if a checkpoint is so damaged that not even its step can be read.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> checkpoints = Checkpoints(Path(tempfile.mkdtemp()), {"config": {"features": 3}})
        >>> checkpoints.save(10, {"weights": jnp.arange(3.0)})
        >>> checkpoints.restore({"weights": jax.ShapeDtypeStruct((3,), jnp.float32)})["weights"]
        Array([0., 1., 2.], dtype=float32)
        >>> checkpoints.close()
    """

    def __init__(self, folder: Path, metadata: Mapping[str, Any], read_only: bool = False):
        from orbax.checkpoint import v1 as ocp

        self.folder = Path(folder).resolve()
        self.metadata = dict(metadata)
        policies = ocp.training
        try:
            self._checkpointer = policies.Checkpointer(
                self.folder,
                save_decision_policy=policies.save_decision_policies.FixedIntervalPolicy(1),
                preservation_policy=policies.preservation_policies.LatestN(2),
                cleanup_tmp_directories=not read_only,
            )
        except Exception:  # Orbax looks into every checkpoint; say which one it is.
            for step in self._steps():
                self._check_files(step)
            raise

    @property
    def step(self) -> int | None:
        """The step of the newest checkpoint; None without one."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    def save(self, step: int, state: PyTree) -> None:
        """Saves a state, and returns when it is on disk. A step that is saved already is left as it is.

        Args:
            step: number of the checkpoint.
            state: any pytree of arrays, typed random keys included; Orbax refuses arrays without elements.
        """
        if self.step is None or step > self.step:
            self._checkpointer.save(step, state, force=True, custom_metadata=self.metadata)
            path = self.folder / str(step)
            write_json(path / _DIGESTS, _digests(path))

    def restore(self, like: PyTree) -> PyTree:
        """Restores the newest checkpoint.

        Args:
            like: a pytree of arrays or `jax.ShapeDtypeStruct`s, as the state that was saved.

        Returns:
            The state, bit for bit.

        Raises:
            RunError: if there is no checkpoint; or it was saved under other metadata, or with other shapes or dtypes:
                the message names the difference; or it is damaged.
        """
        step = self.step
        if step is None:
            raise RunError(
                f"{self.folder}: expected a checkpoint, found none: the run was stopped before its first one; "
                "train on with --resume"
            )
        self._check_files(step)
        saved = self._read(self._checkpointer.metadata, step)
        difference = describe_difference(saved.custom_metadata or {}, self.metadata)
        if difference:
            raise RunError(f"{self.folder}: the checkpoint belongs to something else: " + "; ".join(difference))
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])

        def abstract(leaf: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None) or device)

        difference = describe_difference(_shapes(saved.metadata), _shapes(like))
        if difference:
            raise RunError(f"{self.folder}: the checkpoint does not fit the model: " + "; ".join(difference))
        return self._read(self._checkpointer.load, step, jax.tree.map(abstract, like))

    def _steps(self) -> list[int]:
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def _check_files(self, step: int) -> None:
        folder = self.folder / str(step)
        if not (folder / _DIGESTS).exists():
            return  # killed just after the save: Orbax's own checks must do
        try:
            saved = read_json(folder / _DIGESTS)
        except DataError as error:
            raise RunError(self._damaged(step, str(error))) from None
        found = _digests(folder)
        damaged = [name for name in saved if found.get(name) != saved[name]]
        if damaged:
            raise RunError(self._damaged(step, f"not as it was saved: {', '.join(damaged)}"))

    def _read(self, read: Callable[..., Any], step: int, *args: Any) -> Any:
        try:
            return read(step, *args)
        except Exception as error:  # Orbax, TensorStore and the system each raise their own, of any type.
            raise RunError(self._damaged(step, f"{type(error).__name__} in reading it")) from error

    def _damaged(self, step: int, what: str) -> str:
        others = [other for other in self._steps() if other != step]
        advice = f"remove that folder to use step {others[-1]}" if others else "there is no other one"
        return f"{self.folder / str(step)}: the checkpoint is damaged, {what}; {advice}"

    def close(self) -> None:
        """Waits for what is under way, and ends."""
        self._checkpointer.close()
