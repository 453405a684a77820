# SPDX-License-Identifier: Apache-2.0
"""What the builders of all corpora share: records made of dataclasses, written and read without TensorFlow.

The one file that imports tensorflow_datasets.
"""

import abc
import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from memjax.data.stories import Example
from memjax.errors import DataError

Config = tfds.core.BuilderConfig
Version = tfds.core.Version

_FEATURES: dict[Any, Any] = {
    str: tfds.features.Text(),
    int: np.int32,
    tuple[str, ...]: tfds.features.Sequence(tfds.features.Text()),
    tuple[int, ...]: tfds.features.Sequence(np.int32),
    np.ndarray: tfds.features.Tensor(shape=(None, None, 3), dtype=np.uint8, encoding="zlib"),  # an image
}


def _fields(kind: Any) -> dict[str, Any]:
    """The fields of a record: those of a dataclass, or the words of a sentence, and their types."""
    return {"words": kind} if kind in _FEATURES else {field.name: field.type for field in dataclasses.fields(kind)}


def _decoded(kind: Any, value: Any) -> Any:
    """A value of a record as the type that its field has."""
    if kind is np.ndarray:
        return value
    if kind in (str, int):
        return value.decode() if kind is str else int(value)
    return tuple(item.decode() if kind == tuple[str, ...] else int(item) for item in value)


class Corpus(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A corpus whose splits are lists of a dataclass or of lists of words, written in their order.

    `KIND` is what the lists hold, `ABOUT` a description and where it is cited from.
    """

    KIND: ClassVar[Any] = Example
    SPLITS: ClassVar[tuple[str, ...]]
    ABOUT: ClassVar[tuple[str, str]]

    @abc.abstractmethod
    def _load(self, dl_manager: Any, split: str) -> list[Any]:
        """The examples of a split."""

    def _splits(self) -> tuple[str, ...]:
        return self.SPLITS

    def _info(self) -> Any:
        description, citation = self.ABOUT
        return tfds.core.DatasetInfo(
            builder=self,
            description=description,
            features=tfds.features.FeaturesDict({name: _FEATURES[kind] for name, kind in _fields(self.KIND).items()}),
            citation=citation,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        # Read all splits before any is written: a DataError then comes as it is.
        loaded = {split: self._load(dl_manager, split) for split in self._splits()}
        return {split: self._generate_examples(loaded[split]) for split in loaded}

    def write(self, manual_dir: str | os.PathLike[str] | None) -> None:
        """Writes the corpus where it is not written yet."""
        options = {} if manual_dir is None else {"manual_dir": os.fspath(manual_dir)}
        with contextlib.redirect_stdout(sys.stderr):  # TFDS prints what it does.
            self.download_and_prepare(download_config=tfds.download.DownloadConfig(**options))

    def _generate_examples(self, examples: list[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        plain = self.KIND in _FEATURES
        for key, example in enumerate(examples):
            yield key, {name: example if plain else getattr(example, name) for name in _fields(self.KIND)}

    def read(self, split: str) -> list[Any]:
        """The examples of a split, or of a slice of one."""
        fields = _fields(self.KIND)
        examples = []
        for record in self.as_data_source(split=split):
            values = {name: _decoded(field, record[name]) for name, field in fields.items()}
            examples.append(values["words"] if self.KIND in _FEATURES else self.KIND(**values))
        return examples


def download(name: str, data_dir: str | os.PathLike[str]) -> Any:
    """A corpus of TFDS's own, as array_record files, downloaded and prepared where it is not there yet.

    Raises:
        DataError: if it cannot be downloaded.
    """
    builder: Any = tfds.builder(name, data_dir=os.fspath(data_dir), file_format="array_record")
    if not builder.is_prepared():
        try:
            with contextlib.redirect_stdout(sys.stderr):  # TFDS prints what it does.
                builder.download_and_prepare()
        except Exception as error:  # of the network, of any type
            why = f"expected to download TFDS's {name}, got {type(error).__name__}"
            raise DataError(f"{why}; try again with a network, or use the corpus' own files", data_dir) from error
    return builder
