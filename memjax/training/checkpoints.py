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


def _named_leaves(tree: PyTree) -> dict[str, Any]:
    """Each array by its name."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _misfits(saved: PyTree, asked: PyTree) -> list[str]:
    """Lists arrays of other shape or dtype; Orbax casts dtypes silently, so it cannot be left to it.

    Random keys are left out: Orbax describes them by the integers behind them.
    """
    leaves = _named_leaves(asked)
    keys = {name for name, leaf in leaves.items() if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)}
    old, new = (
        {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in each.items() if name not in keys}
        for each in (_named_leaves(saved), leaves)
    )
    return describe_difference(old, new)


#: In the folder of each checkpoint: SHA-256 of its files. Orbax does not notice when numbers change on the disk.
_DIGESTS = "sha256.json"

#: What Orbax puts in the folder of each checkpoint.
_CHECKPOINT = "_CHECKPOINT_METADATA"


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a checkpoint."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _DIGESTS:
            with path.open("rb") as file:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


class Checkpoints:
    """The checkpoints of a run: the last ones, each written whole or not at all.

    Args:
        folder: where they lie; made if it is not there.
        metadata: JSON that belongs to every checkpoint: configuration and vocabulary. A checkpoint is restored only
            under the metadata it was saved with.
        read_only: to restore only. Otherwise what a killed save left behind is removed; a reader must not do that
            while the run goes on saving.
        keep: so many checkpoints are kept.

    Raises:
        RunError: if a checkpoint is so damaged that not even its step can be read; or, where it is read only, there is
            no folder.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> checkpoints = Checkpoints(Path(tempfile.mkdtemp()), {"config": {"features": 3}})
        >>> checkpoints.save(10, {"weights": jnp.arange(3.0)})
        >>> checkpoints.restore({"weights": jax.ShapeDtypeStruct((3,), jnp.float32)})["weights"]
        Array([0., 1., 2.], dtype=float32)
        >>> checkpoints.close()
    """

    def __init__(self, folder: Path, metadata: Mapping[str, Any], read_only: bool = False, keep: int = 2):
        from orbax.checkpoint import v1 as ocp

        self.folder = Path(folder).resolve()
        self.metadata = dict(metadata)
        if read_only and not self.folder.is_dir():
            raise RunError(self._none())
        policies = ocp.training
        try:
            self._checkpointer = policies.Checkpointer(
                self.folder,
                save_decision_policy=policies.save_decision_policies.FixedIntervalPolicy(1),
                preservation_policy=policies.preservation_policies.LatestN(keep),
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
        """Saves a state, and returns when it is on disk. A step that is not after the newest one saved is left.

        Args:
            step: number of the checkpoint.
            state: any pytree of arrays, typed random keys included. Arrays may be divided among devices.

        Raises:
            ValueError: if an array has no elements.
        """
        for name, leaf in _named_leaves(state).items():
            if not leaf.size:
                raise ValueError(f"{name}: expected an array with elements, got shape {leaf.shape}; leave it out")
        if self.step is None or step > self.step:
            self._checkpointer.save(step, state, force=True, custom_metadata=self.metadata)
            path = self.folder / str(step)
            if jax.process_index() == 0:
                write_json(path / _DIGESTS, _digests(path))

    def restore(self, like: PyTree) -> PyTree:
        """Restores the newest checkpoint.

        Args:
            like: a pytree of arrays or `jax.ShapeDtypeStruct`s, as the state that was saved. Arrays come back to
                the devices of their `sharding`, whatever devices they were saved from; without one, to the first.

        Returns:
            The state, bit for bit.

        Raises:
            RunError: if there is no checkpoint; or it was saved under other metadata, or with other shapes or dtypes:
                the message names the difference; or it is damaged.
        """
        step = self.step
        if step is None:
            raise RunError(self._none())
        self._check_files(step)
        saved = self._read(self._checkpointer.metadata, step)
        difference = describe_difference(saved.custom_metadata or {}, self.metadata)
        if difference:
            raise RunError(f"{self.folder}: the checkpoint belongs to something else: " + "; ".join(difference))
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])

        def abstract(leaf: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None) or device)

        difference = _misfits(saved.metadata, like)
        if difference:
            raise RunError(f"{self.folder}: the checkpoint does not fit: " + "; ".join(difference))
        return self._read(self._checkpointer.load, step, jax.tree.map(abstract, like))

    def _none(self) -> str:
        why = "the run was stopped before its first one; train on with --resume"
        return f"{self.folder}: expected a checkpoint, found none: {why}"

    def _steps(self) -> list[int]:
        return sorted(int(path.name) for path in self.folder.glob("*") if path.name.isdigit())

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


def save_pytree(folder: Path | str, tree: PyTree, *, overwrite: bool = False) -> None:
    """Saves arrays, e.g. a memory and its index, and returns when they are on disk, whole or not at all.

    Args:
        folder: made if it is not there.
        tree: any pytree of arrays, as a dictionary of several things. Arrays may be divided among devices.
        overwrite: replace what was saved there. It stays until the new arrays are on disk.

    Raises:
        RunError: if something is saved there, and `overwrite` is False; or a folder with a number for its name is
            there that is none of what was saved.
        ValueError: if an array has no elements.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> from memjax import memory as mm
        >>> folder = tempfile.mkdtemp()
        >>> make = lambda: mm.empty(4, jnp.zeros(2), jnp.int32(0))
        >>> save_pytree(folder, mm.write(make(), jnp.ones(2), jnp.int32(7)))

        In another process:

        >>> load_pytree(folder, jax.eval_shape(make)).values
        Array([7, 0, 0, 0], dtype=int32)
    """
    path = Path(folder)
    numbered = [inner for inner in path.iterdir() if inner.name.isdigit()] if path.is_dir() else []
    strange = sorted(inner.name for inner in numbered if not (inner / _CHECKPOINT).exists())
    if strange:  # Orbax would take it for an old checkpoint, and remove it
        raise RunError(
            f"{path}: expected a folder of save_pytree or none, found {strange[0]} in it; name another folder"
        )
    checkpoints = Checkpoints(path, {}, keep=1)
    try:
        step = checkpoints.step
        if step is not None and not overwrite:
            raise RunError(f"{checkpoints.folder}: expected nothing saved there; pass overwrite=True to replace it")
        checkpoints.save(0 if step is None else step + 1, tree)
    finally:
        checkpoints.close()


def load_pytree(folder: Path | str, like: PyTree) -> PyTree:
    """Loads what `save_pytree` saved.

    Args:
        folder: where.
        like: the same pytree, of arrays or of `jax.ShapeDtypeStruct`s, as `jax.eval_shape` makes them. Arrays come to
            the devices of their `sharding`, e.g. from `memjax.search.shard_memory`, whatever devices they were saved
            from; without one, to the first.

    Returns:
        The arrays, bit for bit.

    Raises:
        RunError: if nothing is saved there; or shapes or dtypes differ, which the message names; or it is damaged.
    """
    path = Path(folder).resolve()
    checkpoints = Checkpoints(path, {}, read_only=True) if path.is_dir() else None
    try:
        if checkpoints is None or checkpoints.step is None:
            raise RunError(f"{path}: expected arrays of save_pytree, found nothing; check the folder's name")
        return checkpoints.restore(like)
    finally:
        if checkpoints is not None:
            checkpoints.close()
