# SPDX-License-Identifier: Apache-2.0
"""`memjax train`: one command for each kind of model, chosen by the corpus that is named first."""

import argparse
import dataclasses
import itertools
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from memjax import _checks
from memjax.cli.report import (
    print_accuracy,
    print_best,
    print_dialogs,
    print_hits,
    print_labels,
    print_perplexity,
    print_scenes,
)
from memjax.recipes import (
    END_TO_END_RECIPES,
    IMAGE_RECIPES,
    KEY_VALUE_RECIPES,
    READING_RECIPES,
    RECIPES,
    AnsweringConfig,
    DialogConfig,
    EndToEndConfig,
    ImageConfig,
    InferenceConfig,
    KeyValueConfig,
    KnowledgeConfig,
    LanguageConfig,
    SentimentConfig,
    evaluate_end_to_end,
    evaluate_key_value,
    evaluate_knowledge,
    progress,
    train,
    train_dialogs,
    train_end_to_end,
    train_images,
    train_key_value,
    train_knowledge,
    train_labeller,
    train_language_model,
)
from memjax.training.files import read_json


@dataclasses.dataclass(frozen=True)
class Training:
    """What all of them have in common."""

    config: Any
    run_folder: Path = Path("runs/memnn")
    """Where configuration, metrics, checkpoints and results go."""
    recipe: Any = "default"
    """Where the flags below start from."""
    resume: bool = False
    """Go on with the run in the folder from its last checkpoint."""
    overwrite: bool = False
    """Replace the run in the folder."""
    tensorboard: bool = False
    """Also write TensorBoard events (extra `tensorboard`)."""

    def fit(self, train: Callable[..., Any]) -> None:
        """Trains with a progress bar."""
        with progress("training") as report:
            train(
                self.config,
                folder=self.run_folder,
                resume=self.resume,
                overwrite=self.overwrite,
                tensorboard=self.tensorboard,
                report=report,
            )

    def valid(self) -> dict[str, list[float]]:
        """What was measured on the validation split."""
        return read_json(self.run_folder / "results.json")["valid"]

    def say_next(self, command: str, argument: str = "") -> None:
        """Says where the run is, and what to do with it."""
        command = f"{shlex.quote(sys.argv[0])} {command} {shlex.quote(str(self.run_folder))}{argument}"
        print(f"The run is in {self.run_folder}. Next: {command}")

    def say_next_with_data(self, command: str) -> None:
        """As `say_next`, of a command that reads the corpus again."""
        data = getattr(self.config.corpus, "data", None)
        self.say_next(command, f" --data {shlex.quote(data)}" if data else "")


@dataclasses.dataclass(frozen=True)
class Train(Training):
    """Train a Memory Network over stories and keep it in a run folder.

    Others: `memjax train end-to-end --help` (soft reads over stories), `metaqa` (a knowledge base), `key-value` (soft
    reads over it), `dialog` (a bot), `sort-of-clevr` (questions about images), `ptb` and `text` (language models),
    `sst` and `snli` (labels of sentences and of pairs).
    """

    config: AnsweringConfig
    recipe: Literal["default", "adaptive", "paper", "strongest"] = "default"
    """Where the flags below start from: the paper's model as it does best here, that with adaptive memory, with the
    paper's own training, or what does best on bAbI."""

    def run(self) -> None:
        """Runs the command."""
        self.fit(train)
        if self.config.corpus.has_valid:
            print_accuracy("valid", self.valid())
        self.say_next("ask")


@dataclasses.dataclass(frozen=True)
class TrainEndToEnd(Training):
    """Train an end-to-end Memory Network over stories, which learns what to read from the answers alone."""

    config: EndToEndConfig
    run_folder: Path = Path("runs/end-to-end")
    """Where configuration, metrics, checkpoints and results go."""
    recipe: Literal["default", "released", "joint", "layerwise", "adjacent"] = "default"
    """Where the flags below start from: the paper's training, what its code does otherwise, one model for all tasks, or
    what does best with 10,000 questions a task, where task 16 wants adjacent."""

    def run(self) -> None:
        """Runs the command."""
        self.fit(train_end_to_end)
        split = "valid" if "valid" in read_json(self.run_folder / "results.json") else "train"
        print_accuracy(split, evaluate_end_to_end(self.run_folder, split, getattr(self.config.corpus, "data", None)))
        self.say_next("ask")


@dataclasses.dataclass(frozen=True)
class TrainKnowledge(Training):
    """Train a Memory Network over the knowledge base of MetaQA and keep it in a run folder."""

    config: KnowledgeConfig
    run_folder: Path = Path("runs/metaqa")
    """Where configuration, metrics, checkpoints and results go."""
    recipe: Literal["default"] = "default"
    """Where the flags below start from."""

    def run(self) -> None:
        """Runs the command."""
        self.fit(train_knowledge)
        print_hits("valid", evaluate_knowledge(self.run_folder, "valid", self.config.corpus.data))
        self.say_next_with_data("ask")


@dataclasses.dataclass(frozen=True)
class TrainDialogs(Training):
    """Train a bot on dialogs and keep it in a run folder; the parameters that do best on validation are kept."""

    config: DialogConfig
    run_folder: Path = Path("runs/dialog")
    """Where configuration, metrics, checkpoints and results go."""
    recipe: Literal["default"] = "default"
    """Where the flags below start from."""

    def run(self) -> None:
        """Runs the command."""
        self.fit(train_dialogs)
        print_dialogs("valid", self.valid())
        self.say_next_with_data("ask")


@dataclasses.dataclass(frozen=True)
class TrainKeyValue(Training):
    """Train a key-value Memory Network over the knowledge base of MetaQA, from the answers alone."""

    config: KeyValueConfig
    run_folder: Path = Path("runs/key_value")
    """Where configuration, metrics, checkpoints and results go."""
    recipe: Literal["default", "printed"] = "default"
    """Where the flags below start from: what does best here, or the paper's equations."""

    def run(self) -> None:
        """Runs the command."""
        self.fit(train_key_value)
        print_best("valid", evaluate_key_value(self.run_folder, "valid", self.config.corpus.data))
        self.say_next_with_data("ask")


@dataclasses.dataclass(frozen=True)
class TrainLanguageModel(Training):
    """Train a language model and keep it in a run folder; the parameters that do best on validation text are kept."""

    config: LanguageConfig
    run_folder: Path = Path("runs/language")
    """Where configuration, metrics, checkpoints and results go."""
    recipe: Literal["default", "modern", "memn2n"] = "default"
    """Where the flags below start from: the paper's own training, what goes for the best number, or another model."""

    def run(self) -> None:
        """Runs the command."""
        self.fit(train_language_model)
        print_perplexity("valid", self.valid())
        self.say_next("generate", ' "the"')


@dataclasses.dataclass(frozen=True)
class TrainLabeller(Training):
    """Train a model that tells labels and keep it in a run folder; what is right most often on validation is kept."""

    config: SentimentConfig | InferenceConfig
    run_folder: Path = Path("runs/labels")
    """Where configuration, metrics, checkpoints and results go."""
    recipe: Literal["default", "modern"] = "default"
    """Where the flags below start from: the paper's own training, or what goes for the best number."""

    def run(self) -> None:
        """Runs the command."""
        self.fit(train_labeller)
        print_labels("valid", self.valid())
        self.say_next("label", " FILE")


@dataclasses.dataclass(frozen=True)
class TrainImages(Training):
    """Train a model that answers questions about images of Sort-of-CLEVR and keep it in a run folder."""

    config: ImageConfig
    run_folder: Path = Path("runs/images")
    """Where configuration, metrics, checkpoints and results go."""
    recipe: Literal["default", "state"] = "default"
    """Where the flags below start from: pixels, or descriptions of the objects, which are learned sooner."""

    def run(self) -> None:
        """Runs the command."""
        self.fit(train_images)
        print_scenes("valid", self.valid())
        self.say_next(*("ask", " --image FILE") if self.config.input == "pixels" else ("evaluate",))


_RECIPES: dict[str, Any] = {
    **READING_RECIPES,
    "end-to-end": END_TO_END_RECIPES,
    "key-value": KEY_VALUE_RECIPES,
    "sort-of-clevr": IMAGE_RECIPES,
}
#: Corpora whose flags may stand in front of them, and those that decide which flags there are.
_STORIES = ("simulation", "babi", "babi-tasks")
_FIRST = ("metaqa", "dialog", *_RECIPES)
#: Flags whose values may be a corpus' name.
_NAMES = ("--run-folder", "--data")


def _corpus_of(args: Sequence[str]) -> str:
    """The corpus behind `train`; "" of other commands, and where flags stand in front of it."""
    if args[:1] != ["train"] or len(args) < 2:
        return ""
    if not args[1].startswith("-"):
        _checks.one_of("corpus", args[1], (*_STORIES, *_FIRST))
        return args[1]
    late = [word for before, word in itertools.pairwise(args[1:]) if word in _FIRST and before not in _NAMES]
    if late and not set(_STORIES) & set(args):
        raise ValueError(f"corpus: expected it before all flags, got {args[1]!r}; write `memjax train {late[0]} ...`")
    return ""


def start_of_training(args: Sequence[str]) -> Training:
    """The defaults that --help shows for `train`: corpus and recipe set them, before all else is parsed.

    Raises:
        ValueError: if there is no such corpus or recipe, or the corpus does not come first.
    """
    corpus = _corpus_of(args)
    if corpus == "metaqa":
        return TrainKnowledge(KnowledgeConfig())
    if corpus == "dialog":
        return TrainDialogs(DialogConfig())
    recipes = _RECIPES.get(corpus, RECIPES)
    early = argparse.ArgumentParser(prog="memjax train", add_help=False, allow_abbrev=False)
    early.add_argument("--recipe", default="default")
    recipe: Any = early.parse_known_args(args)[0].recipe
    _checks.one_of("recipe", recipe, recipes)
    config = recipes[recipe]
    if isinstance(config, EndToEndConfig):
        return TrainEndToEnd(config, recipe=recipe)
    if isinstance(config, KeyValueConfig):
        return TrainKeyValue(config, recipe=recipe)
    if isinstance(config, LanguageConfig):
        return TrainLanguageModel(config, Path("runs", corpus), recipe)
    if isinstance(config, SentimentConfig | InferenceConfig):
        return TrainLabeller(config, Path("runs", corpus), recipe)
    if isinstance(config, ImageConfig):
        return TrainImages(config, recipe=recipe)
    return Train(config=config, recipe=recipe)
