# SPDX-License-Identifier: Apache-2.0
"""The run folder: configuration, vocabulary, metrics, checkpoints, results."""

import contextlib
import dataclasses
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from memjax import data
from memjax.errors import DataError, RunError
from memjax.recipes import config as config_lib
from memjax.recipes.config import Config
from memjax.training.checkpoints import Checkpoints, describe_difference
from memjax.training.files import lock, read_json, write_json, write_text

Results = TypeVar("Results")
Kind = TypeVar("Kind")


@dataclasses.dataclass(frozen=True)
class Run:
    """A folder on disk that holds all of one training run.

    Attributes:
        folder: `config.json`, `vocabulary.json`, `metrics.jsonl`, `checkpoints/`, `results.json`.
        config: what was asked for.
        seeds: the seeds that train side by side.
        vocabulary: the words of the training questions.
    """

    folder: Path
    config: Config
    seeds: tuple[int, ...]
    vocabulary: data.Vocabulary

    @property
    def vocabulary_path(self) -> Path:
        """The words."""
        return self.folder / "vocabulary.json"

    @property
    def metrics_path(self) -> Path:
        """One JSON object a line."""
        return self.folder / "metrics.jsonl"

    @property
    def results_path(self) -> Path:
        """What evaluation found."""
        return self.folder / "results.json"

    def config_of(self, kind: type[Kind], what: str, data_folder: str | None = None) -> Kind:
        """The configuration, where it is of the kind that is asked for.

        Args:
            kind: of configurations.
            what: such a run is, in words.
            data_folder: where the corpora lie on this machine; a corpus that is made, and not read, has no place.

        Raises:
            RunError: if it is another kind.
        """
        if not isinstance(self.config, kind):
            raise RunError(f"{self.folder}: expected {what}, found one of {type(self.config).__name__}")
        config: Any = self.config
        if data_folder is not None and hasattr(config.corpus, "data"):
            config = dataclasses.replace(config, corpus=dataclasses.replace(config.corpus, data=data_folder))
        return cast(Kind, config)

    def checkpoints(self, read_only: bool = False) -> Checkpoints:
        """The run's checkpoints; close them after use. Read only where the run itself may be going on."""
        metadata = read_json(self.folder / "config.json")  # as it was written, maybe by a version with fewer settings
        return Checkpoints(self.folder / "checkpoints", {**metadata, "vocabulary": self.vocabulary.hash}, read_only)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps others from training in a run folder until the context ends; a kill ends it too.

    Raises:
        RunError: if a process trains there.

    Example:
        >>> import tempfile
        >>> with alone(Path(tempfile.mkdtemp())):
        ...     pass
    """
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"{folder}: expected a run that nobody trains, found a process that does; wait for its end or stop it"
            ) from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(held)


def _description(config: Config, seeds: tuple[int, ...]) -> dict[str, Any]:
    return {"config": config_lib.to_json(config), "seeds": list(seeds)}


def _is_description(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("config"), dict) and "seeds" in content


#: What a run that was killed at its very start can have left: nothing to go on with, and nothing to lose.
_LEFT_BY_A_START = {"vocabulary.json", ".vocabulary.json.partial", ".config.json.partial"}


def create_run(
    folder: Path, config: Config, seeds: tuple[int, ...], vocabulary: data.Vocabulary, overwrite: bool = False
) -> Run:
    """Starts a run folder.

    Raises:
        RunError: if the folder is there and `overwrite` is not asked for, it is no run folder, or somebody trains it.
    """
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - _LEFT_BY_A_START):
        if not (folder / "config.json").is_file():
            raise RunError(f"{folder}: expected a run folder or none, found no config.json in it; name another folder")
        if not _is_description(read_json(folder / "config.json")):
            raise RunError(
                f"{folder}: expected a run folder or none, found the config.json of no run; name another folder"
            )
        if not overwrite:
            raise RunError(f"{folder}: expected no such folder; go on with --resume, or replace it with --overwrite")
        with alone(folder):
            # config.json goes last: without it, what a kill leaves here would be no run folder.
            for path in sorted(folder.iterdir(), key=lambda path: path.name == "config.json"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder, config, seeds, vocabulary)
    write_text(run.vocabulary_path, vocabulary.to_json())
    write_json(folder / "config.json", _description(config, seeds))
    return run


def open_run(folder: Path) -> Run:
    """Opens a run folder that is there.

    Raises:
        RunError: if there is none.
        DataError: if a file in it is damaged.
    """
    if not (folder / "config.json").is_file():
        raise RunError(
            f"{folder}: expected a run folder with a config.json; make one with `memjax train`, see its --help"
        )
    path = folder / "config.json"
    content = read_json(path)
    if not _is_description(content):
        raise DataError("expected the keys config and seeds", path)
    seeds = content["seeds"]
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int for seed in seeds):
        raise DataError(f"seeds: expected a list of integers, got {seeds!r}", path)
    config = config_lib.from_json(content["config"], str(path))
    like = config_lib.to_json(config_lib.default_like(config))
    _check_types(config_lib.to_json(config), like, path)
    return Run(folder, config, tuple(seeds), _read_vocabulary(folder / "vocabulary.json"))


def _check_types(found: dict[str, Any], like: dict[str, Any], path: Path) -> None:
    for name, value in found.items():
        expected = type(like[name])
        if expected is dict:
            _check_types(value, like[name], path)
        elif type(value) is not expected and not (expected is float and type(value) is int):
            raise DataError(f"{name}: expected {expected.__name__}, got {value!r}", path)


def _read_vocabulary(path: Path) -> data.Vocabulary:
    read_json(path)  # a DataError where it is not JSON at all
    try:
        return data.Vocabulary.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"expected a vocabulary: {error}", path) from None


def resume_run(folder: Path, config: Config, seeds: tuple[int, ...], vocabulary: data.Vocabulary) -> Run:
    """Opens a run folder to go on with it.

    Raises:
        RunError: if it was started with another configuration, other seeds or other words; names the difference.
    """
    run = open_run(folder)
    difference = describe_difference(_description(run.config, run.seeds), _description(config, seeds))
    if difference:
        raise RunError(f"{folder}: was started with something else: " + "; ".join(difference))
    gone = sorted(set(run.vocabulary.words) - set(vocabulary.words))
    new = sorted(set(vocabulary.words) - set(run.vocabulary.words))
    if gone or new:
        raise RunError(
            f"{folder}: the corpus has other words than when the run was started: {len(gone)} gone {gone[:5]}, "
            f"{len(new)} new {new[:5]}; point --data to the same files"
        )
    if run.vocabulary.hash != vocabulary.hash:
        raise RunError(
            f"{folder}: the corpus has the words that it had when the run was started, but not as often or in another "
            "order; point --data to the same files"
        )
    return dataclasses.replace(run, config=config)  # with the place of the data on this machine


def read_results(run: Run) -> dict[str, Any]:
    """What evaluation found before; empty where it was not asked for yet.

    Raises:
        DataError: if the file is damaged.
    """
    if not run.results_path.exists():
        return {}
    results = read_json(run.results_path)
    if not isinstance(results, dict):
        raise DataError(
            "expected a JSON object; remove the file, and go on with --resume, which writes it again", run.results_path
        )
    return results


def keep_results(run: Run, split: str, measure: Callable[[], Results]) -> Results:
    """Measures a split, and writes what was found into `results.json`, beside what was found before.

    Args:
        run: the run.
        split: its name.
        measure: called when it is known that the file can be read.

    Returns:
        What `measure` returned.

    Raises:
        DataError: if the file is damaged.
        RunError: if nothing can be written in the folder.
    """
    read_results(run)  # a damaged file is found before the work, and others may write while it is done
    if not os.access(run.folder, os.W_OK):
        raise RunError(f"{run.folder}: expected a folder to keep results in, found one that is read only; copy it")
    results = measure()
    with run.vocabulary_path.open() as stays:
        lock(stays)  # who measures another split at the same time waits
        write_json(run.results_path, {**read_results(run), split: results})
    return results
