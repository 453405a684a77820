# SPDX-License-Identifier: Apache-2.0
"""The corpora as TFDS builders: prepared once on disk, read at random without TensorFlow.

The one file that imports tensorflow_datasets; import it only where a prepared corpus is wanted.
"""

import contextlib
import dataclasses
import difflib
import os
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from memjax.data import babi, simulation
from memjax.data.stories import Example
from memjax.errors import DataError


def _info(builder: Any, description: str, citation: str) -> Any:
    """Returns the description of a corpus of `Example`s, written in the order they are generated."""
    features = {
        "statements": tfds.features.Sequence(tfds.features.Text()),
        "question": tfds.features.Text(),
        "answers": tfds.features.Sequence(tfds.features.Text()),
        "supports": tfds.features.Sequence(np.int32),
        "response": tfds.features.Text(),
    }
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict(features),
        citation=citation,
        disable_shuffling=True,
    )


def _records(examples: list[Example]) -> Iterator[tuple[int, dict[str, Any]]]:
    for key, example in enumerate(examples):
        yield key, dataclasses.asdict(example)


@dataclasses.dataclass
class BabiConfig(tfds.core.BuilderConfig):
    """One task of one variant.

    Args:
        variant: one of `memjax.data.babi.VARIANTS`.
        task: 1 to 20.
    """

    variant: str = "en"
    task: int = 1


class Babi(tfds.core.GeneratorBasedBuilder):
    """The bAbI tasks, from a local copy of the release.

    Configs are named `VARIANT-qaTASK`, as `en-qa1` or `en-valid-10k-qa20`. `manual_dir` is a folder that
    `memjax.data.babi.load` accepts. Splits are train and test, and valid for the variants with "valid" in their name.
    Use `prepare`, which has an example.

    Reference: Weston et al. 2015, "Towards AI-Complete Question Answering", section 3.
    Departs from the paper: nothing.
    """

    VERSION = tfds.core.Version("1.2.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Pass as manual_dir the folder of the unpacked release tasks_1-20_v1-2.tar.gz."
    BUILDER_CONFIGS: ClassVar = [
        BabiConfig(name=f"{variant}-qa{task}", description=name, variant=variant, task=task)
        for variant in babi.VARIANTS
        for task, name in babi.TASKS.items()
    ]

    def _info(self) -> Any:
        return _info(self, "bAbI tasks 1.2: questions about short stories.", "arXiv:1502.05698")

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        config = self.builder_config
        splits = [split for split in babi.SPLITS if split != "valid" or "valid" in config.variant]
        # Read all splits before any is written: a DataError then comes as it is.
        examples = {split: babi.load(dl_manager.manual_dir, config.task, split, config.variant) for split in splits}
        return {split: self._generate_examples(examples[split]) for split in splits}

    def _generate_examples(self, examples: list[Example]) -> Iterator[tuple[int, dict[str, Any]]]:
        return _records(examples)


@dataclasses.dataclass
class SimulationConfig(tfds.core.BuilderConfig):
    """One setting of the simulated world; see `memjax.data.simulation.generate`.

    A config of one's own needs a name of its own, since TFDS finds prepared files by the name.

    Args:
        difficulty: limit on the age, in time steps, of the sentence that is asked about.
        objects: whether objects are taken and dropped.
        before: whether "where was <actor> before <room>" is asked.
        seed: seed of the streams.
        num_statements: time steps of each stream.
        num_questions: examples of each split.
        window: statements that a question sees.
    """

    difficulty: int = 1
    objects: bool = False
    before: bool = False
    seed: int = 0
    num_statements: int = 7000
    num_questions: int = 3000
    window: int = 128


class Simulation(tfds.core.GeneratorBasedBuilder):
    """The simulated world, 7,000 statements and 3,000 questions in each of train, valid and test.

    Configs are named `dDIFFICULTY_actor[_object][_before]`, as `d1_actor` or `d5_actor_object_before`. Use `prepare`,
    which has an example.

    Reference: Weston et al. 2015, section 5.2 and Appendix A.
    Departs from the paper: as `memjax.data.simulation.generate`; a split for validation is added.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [
        SimulationConfig(
            name=f"d{difficulty}_actor{'_object' * objects}{'_before' * before}",
            description=f"difficulty {difficulty}",
            difficulty=difficulty,
            objects=objects,
            before=before,
        )
        for difficulty in (1, 5)
        for objects in (False, True)
        for before in (False, True)
    ]

    def _info(self) -> Any:
        return _info(self, "A simulated world of actors, objects and rooms.", "arXiv:1410.3916")

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in simulation.SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.builder_config
        names = ("num_statements", "num_questions", "difficulty", "objects", "before", "window")
        return _records(simulation.generate(config.seed, split, **{name: getattr(config, name) for name in names}))


_BUILDERS: dict[str, Any] = {"babi": Babi, "simulation": Simulation}


def prepare(
    builder: str | Any,
    config: str | Any,
    *,
    data_dir: str | os.PathLike[str],
    manual_dir: str | os.PathLike[str] | None = None,
) -> Any:
    """Prepares a corpus as array_record files, which need no TensorFlow; does nothing where it is prepared already.

    Args:
        builder: "babi", "simulation", or a class of a builder.
        config: name of a config, as "en-qa1", or a config object.
        data_dir: folder to write under; what lies there for the same builder, config and version is used as it is.
        manual_dir: folder with the corpus' own files, for builders that need them.

    Returns:
        The builder; read it with `examples` or `builder.as_data_source`.

    Raises:
        ValueError: if there is no such builder or config, or `manual_dir` is needed and not given.
        DataError: if `manual_dir` or a file in it is missing, or a file is not as it should be.

    Example:
        >>> import tempfile
        >>> config = SimulationConfig(name="small", num_statements=20, num_questions=5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     examples(prepare("simulation", config, data_dir=folder), "test")[0].answers
        ('office',)
    """
    if isinstance(builder, str):
        if builder not in _BUILDERS:
            raise ValueError(f"builder: expected one of {sorted(_BUILDERS)} or a class, got {builder!r}")
        builder = _BUILDERS[builder]
    choices = list(builder.builder_configs)
    if isinstance(config, str) and config not in choices:
        near = difflib.get_close_matches(config, choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"config: expected one of {choices[0]!r} ... {choices[-1]!r}, got {config!r}{hint}")
    made: Any = builder(config=config, data_dir=os.fspath(data_dir), file_format="array_record")
    if made.is_prepared():
        return made
    if manual_dir is None and made.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise ValueError(f"manual_dir: expected a folder, got None. {made.MANUAL_DOWNLOAD_INSTRUCTIONS}")
    if manual_dir is not None and not (os.path.isdir(manual_dir) and os.listdir(manual_dir)):
        raise DataError("expected a folder with the files of the corpus, got none or an empty one", manual_dir)
    options = {} if manual_dir is None else {"manual_dir": os.fspath(manual_dir)}
    with contextlib.redirect_stdout(sys.stderr):  # TFDS prints what it does.
        made.download_and_prepare(download_config=tfds.download.DownloadConfig(**options))
    return made


def examples(builder: Any, split: str) -> list[Example]:
    """Reads one split of a prepared corpus.

    Args:
        builder: what `prepare` returned.
        split: name of a split, or a slice as "train[:90%]".

    Returns:
        The examples, equal to those that were written and in their order.
    """
    return [
        Example(
            statements=tuple(text.decode() for text in record["statements"]),
            question=record["question"].decode(),
            answers=tuple(text.decode() for text in record["answers"]),
            supports=tuple(int(support) for support in record["supports"]),
            response=record["response"].decode(),
        )
        for record in builder.as_data_source(split=split)
    ]
