# SPDX-License-Identifier: Apache-2.0
"""The corpora as TFDS builders: prepared once on disk, read at random without TensorFlow.

They stand on tensorflow_datasets, which takes its time to import; import them only where a prepared corpus is wanted.
"""

import dataclasses
import difflib
import os
from typing import Any, ClassVar

from memjax import _checks
from memjax.data import _tfds, babi, dialog, ptb, simulation, snli, sort_of_clevr, sst
from memjax.data._tfds import Config, Corpus, Version
from memjax.data.stories import Example
from memjax.errors import DataError


@dataclasses.dataclass
class BabiConfig(Config):
    """One task of one variant.

    Args:
        variant: one of `memjax.data.babi.VARIANTS`.
        task: 1 to 20.
    """

    variant: str = "en"
    task: int = 1


class Babi(Corpus):
    """The bAbI tasks, from a local copy of the release.

    Configs are named `VARIANT-qaTASK`, as `en-qa1` or `en-valid-10k-qa20`. `manual_dir` is a folder that
    `memjax.data.babi.load` accepts. Splits are train and test, and valid for the variants with "valid" in their name.
    Use `prepare`, which has an example.

    Reference: Weston et al. 2015, "Towards AI-Complete Question Answering", section 3.
    Departs from the paper: nothing.
    """

    VERSION = Version("1.2.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Pass as manual_dir the folder of the unpacked release tasks_1-20_v1-2.tar.gz."
    BUILDER_CONFIGS: ClassVar = [
        BabiConfig(name=f"{variant}-qa{task}", description=name, variant=variant, task=task)
        for variant in babi.VARIANTS
        for task, name in babi.TASKS.items()
    ]

    SPLITS = babi.SPLITS
    ABOUT = "bAbI tasks 1.2: questions about short stories.", "arXiv:1502.05698"

    def _splits(self) -> tuple[str, ...]:
        return tuple(split for split in self.SPLITS if split != "valid" or "valid" in self.builder_config.variant)

    def _load(self, dl_manager: Any, split: str) -> list[Example]:
        return babi.load(dl_manager.manual_dir, self.builder_config.task, split, self.builder_config.variant)


@dataclasses.dataclass
class SimulationConfig(Config):
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


class Simulation(Corpus):
    """The simulated world, 7,000 statements and 3,000 questions in each of train, valid and test.

    Configs are named `dDIFFICULTY_actor[_object][_before]`, as `d1_actor` or `d5_actor_object_before`. Use `prepare`,
    which has an example.

    Reference: Weston et al. 2015, section 5.2 and Appendix A.
    Departs from the paper: as `memjax.data.simulation.generate`; a split for validation is added.
    """

    VERSION = Version("1.0.0")
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

    SPLITS = simulation.SPLITS
    ABOUT = "A simulated world of actors, objects and rooms.", "arXiv:1410.3916"

    def _load(self, dl_manager: Any, split: str) -> list[Example]:
        names = ("num_statements", "num_questions", "difficulty", "objects", "before", "window")
        options = {name: getattr(self.builder_config, name) for name in names}
        return simulation.generate(self.builder_config.seed, split, **options)


class Ptb(Corpus):
    """Sentences of the Penn Treebank, from local files: lists of words without a mark of the end.

    `manual_dir` is a folder that `memjax.data.ptb.load` accepts. Splits are train, valid and test.

    Reference: Cheng et al. 2016, section 5.1.
    Departs from the paper: nothing.
    """

    VERSION = Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Pass as manual_dir a folder with ptb.train.txt, ptb.valid.txt and ptb.test.txt."
    KIND = tuple[str, ...]
    SPLITS = ptb.SPLITS
    ABOUT = "Penn Treebank for language models, as Mikolov et al. prepared it.", "Marcus et al. 1993"

    def _load(self, dl_manager: Any, split: str) -> list[tuple[str, ...]]:
        return ptb.load(dl_manager.manual_dir, split)


@dataclasses.dataclass
class SstConfig(Config):
    """Which labels, and what has them; see `memjax.data.sst.load`.

    Args:
        fine: five labels, or two.
        phrases: the split for training holds phrases; dev and test hold sentences all the same.
    """

    fine: bool = True
    phrases: bool = False


class Sst(Corpus):
    """The Stanford Sentiment Treebank, from local files.

    Configs are named "fine" or "binary", "-sentences" or "-phrases", as `fine-phrases`. `manual_dir` is a folder that
    `memjax.data.sst.load` accepts. Splits are train, dev and test.

    Reference: Cheng et al. 2016, section 5.2.
    Departs from the paper: as `memjax.data.sst.load`.
    """

    VERSION = Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Pass as manual_dir a folder with trees/train.txt, trees/dev.txt and trees/test.txt."
    BUILDER_CONFIGS: ClassVar = [
        SstConfig(
            name=f"{'fine' if fine else 'binary'}-{'phrases' if phrases else 'sentences'}",
            description=f"{5 if fine else 2} labels",
            fine=fine,
            phrases=phrases,
        )
        for fine in (True, False)
        for phrases in (False, True)
    ]
    KIND = sst.Labelled
    SPLITS = sst.SPLITS
    ABOUT = "Stanford Sentiment Treebank.", "Socher et al. 2013"

    def _load(self, dl_manager: Any, split: str) -> list[sst.Labelled]:
        config = self.builder_config
        phrases = config.phrases and split == "train"
        return sst.load(dl_manager.manual_dir, split, fine=config.fine, phrases=phrases)


class LocalSnli(Corpus):
    """Stanford Natural Language Inference, from local files: the release, or the part of it that is there.

    `manual_dir` is a folder that `memjax.data.snli.load` accepts. Splits are train, dev and test. Where there is a
    network, `download_snli` has the whole corpus.

    Reference: Cheng et al. 2016, section 5.3.
    Departs from the paper: as `memjax.data.snli.load`.
    """

    VERSION = Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Pass as manual_dir the folder of the unpacked release snli_1.0.zip, or a part of it."
    )
    KIND = snli.Pair
    SPLITS = snli.SPLITS
    ABOUT = "Stanford Natural Language Inference: pairs of sentences.", "arXiv:1508.05326"

    def _load(self, dl_manager: Any, split: str) -> list[snli.Pair]:
        return snli.load(dl_manager.manual_dir, split)


@dataclasses.dataclass
class DialogConfig(Config):
    """One task of the dialog bAbI tasks.

    Args:
        task: 1 to 6.
    """

    task: int = 1


class DialogBabi(Corpus):
    """The dialog bAbI tasks, from local files: dialogs, as who spoke and what was said.

    Configs are named `task1` to `task6`. `manual_dir` is a folder that `memjax.data.dialog.load` accepts. Splits are
    named as the files, `tst_OOV` with an underscore; task 6 has none of that.

    Reference: Bordes, Boureau and Weston 2017, "Learning End-to-End Goal-Oriented Dialog", section 3.
    Departs from the paper: nothing.
    """

    VERSION = Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Pass as manual_dir the folder of the unpacked release dialog-bAbI-tasks.tgz."
    BUILDER_CONFIGS: ClassVar = [
        DialogConfig(name=f"task{task}", description=name, task=task) for task, name in dialog.TASKS.items()
    ]
    KIND = dialog.Dialog
    SPLITS = tuple(split.replace("-", "_") for split in dialog.SPLITS)
    ABOUT = "Dialog bAbI tasks: dialogs in which a bot books a table.", "arXiv:1605.07683"

    def _splits(self) -> tuple[str, ...]:
        return self.SPLITS if self.builder_config.task != 6 else self.SPLITS[:-1]

    def _load(self, dl_manager: Any, split: str) -> list[dialog.Dialog]:
        return dialog.load(dl_manager.manual_dir, self.builder_config.task, split.replace("_", "-"))


@dataclasses.dataclass
class SortOfClevrConfig(Config):
    """How many images, and which; see `memjax.data.sort_of_clevr.generate`.

    A config of one's own needs a name of its own, since TFDS finds prepared files by the name.

    Args:
        seed: of the images.
        num_images: of each split; 0 for as many as there should be.
    """

    seed: int = 0
    num_images: int = 0


class SortOfClevr(Corpus):
    """Images of six objects, twenty questions about each: 9,800 images to train on, 200 each for valid and test.

    The config is named "default". Use `prepare`, which has an example.

    Reference: Santoro et al. 2017 (Relation Networks), section 3.2.
    Departs from the paper: as `memjax.data.sort_of_clevr.generate`.
    """

    VERSION = Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [SortOfClevrConfig(name="default", description="as in the paper")]
    KIND = sort_of_clevr.Scene
    SPLITS = sort_of_clevr.SPLITS
    ABOUT = "Sort-of-CLEVR: images of six objects, questions about one of them and about relations.", "arXiv:1706.01427"

    def _load(self, dl_manager: Any, split: str) -> list[sort_of_clevr.Scene]:
        config = self.builder_config
        return list(sort_of_clevr.generate(config.seed, split, config.num_images or None))


_BUILDERS: dict[str, Any] = {
    "babi": Babi,
    "dialog": DialogBabi,
    "ptb": Ptb,
    "simulation": Simulation,
    "snli": LocalSnli,
    "sort_of_clevr": SortOfClevr,
    "sst": Sst,
}


def prepare(
    builder: str | Any,
    config: str | Any = None,
    *,
    data_dir: str | os.PathLike[str],
    manual_dir: str | os.PathLike[str] | None = None,
) -> Any:
    """Prepares a corpus as array_record files, which need no TensorFlow; does nothing where it is prepared already.

    Args:
        builder: "babi", "dialog", "ptb", "simulation", "snli", "sort_of_clevr", "sst", or the class of one.
        config: name of a config, as "en-qa1", or a config object; None for a builder that has none, as "ptb".
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
    if (config is None) == bool(choices) or (isinstance(config, str) and config not in choices):
        near = difflib.get_close_matches(str(config), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        expected = f"one of {choices[0]!r} ... {choices[-1]!r}" if choices else "None"
        raise ValueError(f"config: expected {expected}, got {config!r}{hint}")
    made: Any = builder(config=config, data_dir=os.fspath(data_dir), file_format="array_record")
    if made.is_prepared():
        return made
    if manual_dir is None and made.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise ValueError(f"manual_dir: expected a folder, got None. {made.MANUAL_DOWNLOAD_INSTRUCTIONS}")
    if manual_dir is not None and not (os.path.isdir(manual_dir) and os.listdir(manual_dir)):
        raise DataError("expected a folder with the files of the corpus, got none or an empty one", manual_dir)
    made.write(manual_dir)
    return made


def examples(builder: Any, split: str) -> list[Any]:
    """Reads one split of a prepared corpus.

    Args:
        builder: what `prepare` returned.
        split: name of a split, or a slice as "train[:90%]".

    Returns:
        What the corpus' `load` or `generate` returns: equal to what was written, and in its order.
    """
    read: list[Any] = builder.read(split)
    return read


def download_snli(data_dir: str | os.PathLike[str], split: str) -> list[snli.Pair]:
    """Reads a split of TFDS's own `snli`, which is downloaded first where it is not there yet.

    Args:
        data_dir: folder to write under, for TFDS. Without a network it takes minutes until an error is raised.
        split: "train", "dev" or "test".

    Returns:
        The pairs, in words as those of `memjax.data.snli.read`; those without a label are left out.

    Raises:
        ValueError: if there is no such split.
        DataError: if the corpus cannot be downloaded.

    Example:
        `download_snli("/data/tensorflow_datasets", "dev")`

    Reference: Cheng et al. 2016, section 5.3.
    Departs from the paper: as `memjax.data.snli.read`.
    """
    _checks.one_of("split", split, snli.SPLITS)
    rows = _tfds.download("snli", data_dir).as_data_source(split={"dev": "validation"}.get(split, split))
    return [
        snli.Pair(snli.tokenize(row["premise"].decode()), snli.tokenize(row["hypothesis"].decode()), int(row["label"]))
        for row in rows
        if row["label"] >= 0
    ]
