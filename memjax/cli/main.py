# SPDX-License-Identifier: Apache-2.0
"""Subcommands, flags and error messages of the `memjax` command."""

import dataclasses
import functools
import operator
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from memjax import _checks
from memjax.cli.pictures import check_picture
from memjax.cli.report import (
    print_accuracy,
    print_best,
    print_dialogs,
    print_hits,
    print_labels,
    print_perplexity,
    print_scenes,
)
from memjax.cli.train import Train, TrainEndToEnd, Training, start_of_training
from memjax.data import sort_of_clevr
from memjax.errors import DataError, RunError
from memjax.recipes import (
    DialogConfig,
    EndToEndConfig,
    ImageConfig,
    KeyValueConfig,
    KnowledgeConfig,
    Labeller,
    LabellingConfig,
    LanguageConfig,
    Reader,
    evaluate,
    evaluate_dialogs,
    evaluate_end_to_end,
    evaluate_images,
    evaluate_key_value,
    evaluate_knowledge,
    evaluate_labeller,
    evaluate_language_model,
)
from memjax.recipes.fit import check_seeds
from memjax.recipes.runs import open_run

DESCRIPTION = """Memory networks: train on stories, ask questions, see the facts behind each answer;
read sentences, predict, score and write them."""


@dataclasses.dataclass(frozen=True)
class Demo:
    """Train on the simulated world, compare k = 1, k = 1 with time and k = 2 with time, and answer about a story."""

    folder: Path = Path("runs/demo")
    """Where the trained model and the pictures go; replaced by each demo."""

    def run(self) -> None:
        """Runs the command."""
        from memjax.cli.demo import demo

        demo(self.folder)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure the accuracy of a run, or its perplexity, and add it to the run's results.json."""

    run_folder: Path
    """A run folder."""
    split: Literal["train", "valid", "test", "oov"] = "test"
    """Which questions; oov: test dialogs about entities that no other dialog names."""
    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""

    def run(self) -> None:
        """Runs the command."""
        config = open_run(self.run_folder).config
        if self.data and not hasattr(config.corpus, "data"):
            raise ValueError("data: expected none for a run over what is generated, not read")
        if isinstance(config, DialogConfig):
            print_dialogs(self.split, evaluate_dialogs(self.run_folder, self.split, self.data))
        elif self.split == "oov":
            raise ValueError("split: expected train, valid or test for a run that is none over dialogs, got 'oov'")
        elif isinstance(config, KnowledgeConfig):
            print_hits(self.split, evaluate_knowledge(self.run_folder, self.split, self.data))
        elif isinstance(config, KeyValueConfig):
            print_best(self.split, evaluate_key_value(self.run_folder, self.split, self.data))
        elif isinstance(config, EndToEndConfig):
            print_accuracy(self.split, evaluate_end_to_end(self.run_folder, self.split, self.data))
        elif isinstance(config, LanguageConfig):
            print_perplexity(self.split, evaluate_language_model(self.run_folder, self.split, self.data))
        elif isinstance(config, LabellingConfig):
            print_labels(self.split, evaluate_labeller(self.run_folder, self.split, self.data))
        elif isinstance(config, ImageConfig):
            print_scenes(self.split, evaluate_images(self.run_folder, self.split))
        else:
            print_accuracy(self.split, evaluate(self.run_folder, self.split, self.data))


@dataclasses.dataclass(frozen=True)
class Ask:
    """Talk to a trained model: statements are stored, lines that end in ? are answered with the facts behind.

    A model over a knowledge base takes each line as a question, and so does one of images, which is shown one first; a
    bot takes it as what a user says, and an empty line lets it go on.
    """

    run_folder: Path
    """A run folder."""
    story: Path | None = None
    """A text file to read, one statement, question or utterance a line; standard input is read after it at a terminal
    only."""
    picture: Path | None = None
    """Where to draw the scores of each answer's hops; replaced by each answer."""
    num_slots: int | None = None
    """Statements that are remembered, the oldest makes place; where it is not given, as many as in training, of bAbI
    up to 512, of a dialog 256."""
    data: str | None = None
    """Folder with the corpora, for a knowledge base; the environment variable MEMJAX_DATA where it is not given. A bot
    does without: its api_calls are shown, and nothing comes back."""
    image: Path | None = None
    """A PNG file of 75 x 75 pixels to ask about, for a run over images; `memjax draw` writes some."""

    def run(self) -> None:
        """Runs the command."""
        from memjax.cli.ask import ask, ask_key_value, ask_knowledge
        from memjax.cli.talk import talk

        config = open_run(self.run_folder).config
        if self.picture:
            check_picture("picture", self.picture)
        if isinstance(config, ImageConfig):
            self._ask_image()
        elif self.image:
            raise ValueError("image: expected none for a run that is not over images; train sort-of-clevr")
        elif isinstance(config, DialogConfig):
            if self.picture:
                raise ValueError("picture: expected none for a run over dialogs")
            talk(self.run_folder, self.story, self.num_slots, self.data)
        elif not isinstance(config, KnowledgeConfig | KeyValueConfig):
            if self.data:
                raise ValueError("data: expected none for a run over stories")
            ask(self.run_folder, self.story, self.picture, self.num_slots)
        elif self.story or self.picture or self.num_slots:
            raise ValueError("story, picture, num_slots: expected none of them for a run over a knowledge base")
        else:
            (ask_knowledge if isinstance(config, KnowledgeConfig) else ask_key_value)(self.run_folder, self.data)

    def _ask_image(self) -> None:
        from memjax.cli.see import ask_image

        if self.story or self.num_slots or self.data:
            raise ValueError("story, num_slots, data: expected none of them for a run over images")
        if self.image is None:
            raise ValueError("image: expected a PNG file to ask about, got none; `memjax draw` writes some")
        ask_image(self.run_folder, self.image, self.picture)


@dataclasses.dataclass(frozen=True)
class Draw:
    """Write images of Sort-of-CLEVR as PNG files to ask a model about, with questions and answers beside them."""

    folder: Path = Path("images")
    """Where they go."""
    images: int = 3
    """How many."""
    split: Literal["train", "valid", "test"] = "test"
    """The first ones of which split."""
    image_seed: int = 0
    """Of the images."""

    def run(self) -> None:
        """Runs the command."""
        from memjax.cli.see import draw

        sort_of_clevr.check_seed("image_seed", self.image_seed)
        for path in draw(self.folder, self.images, self.split, self.image_seed):
            print(f"{path}, with questions and answers in {path.with_suffix('.txt')}")


@dataclasses.dataclass(frozen=True)
class Generate:
    """Let a language model write sentences."""

    run_folder: Path
    """A run folder."""
    prompt: str
    """How the sentences begin; "" for any."""
    samples: int = 3
    """How many sentences."""
    max_words: int = 40
    """Words that are added, at most."""
    temperature: float = 0.8
    """Scores are divided by it; the lower, the likelier the words."""
    top_k: int = 0
    """Only so many of the likeliest words are drawn from; 0 for all."""
    seed: int = 0
    """Of the first sentence; the others count on."""

    def run(self) -> None:
        """Runs the command."""
        _checks.positive("samples", self.samples)
        check_seeds((self.seed, self.seed + self.samples - 1))
        reader = Reader.load(self.run_folder)
        for seed in range(self.seed, self.seed + self.samples):
            settings = {"max_words": self.max_words, "top_k": self.top_k, "seed": seed}
            print(reader.generate(self.prompt, temperature=self.temperature, **settings))


@dataclasses.dataclass(frozen=True)
class Score:
    """Say how probable the sentences of a file are to a language model, one a line.

    Each is read by itself; where the model's tape is carried from sentence to sentence, after those before it.
    """

    run_folder: Path
    """A run folder."""
    file: Path
    """A text file; - for the standard input."""
    words: bool = False
    """The log-probability of each word, in place of the perplexity of each sentence."""

    def run(self) -> None:
        """Runs the command."""
        from memjax.cli.read import read_input, scores

        for line in scores(Reader.load(self.run_folder), read_input(self.file), self.words):
            print(line)


@dataclasses.dataclass(frozen=True)
class Label:
    """Tell the label of each line of a file: of a sentence, or of premise and hypothesis with a tab between them."""

    run_folder: Path
    """A run folder."""
    file: Path
    """A text file; - for the standard input."""
    probabilities: bool = False
    """Also how probable each label is."""

    def run(self) -> None:
        """Runs the command."""
        from memjax.cli.read import labels, read_input

        for line in labels(Labeller.load(self.run_folder), read_input(self.file), self.probabilities):
            print(line)


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw what each word of a sentence attends to; of a pair, what each word of the hypothesis reads of both."""

    run_folder: Path
    """A run folder of an LSTMN."""
    sentence: str
    """Words between spaces; of a pair, premise and hypothesis with a tab between them."""
    picture: Path = Path("attention.png")
    """Where the picture goes."""
    layer: int = 1
    """Which layer, from the lowest on."""

    def run(self) -> None:
        """Runs the command."""
        from memjax.cli.read import plot

        check_picture("picture", self.picture)
        config = open_run(self.run_folder).config
        labelled = isinstance(config, LabellingConfig)
        model = Labeller.load(self.run_folder) if labelled else Reader.load(self.run_folder)
        for path in plot(model, self.sentence, self.layer, self.picture):
            print(f"The picture is in {path}.")


COMMANDS: dict[str, Any] = {
    "demo": Demo,
    "train": Training,
    "evaluate": Evaluate,
    "ask": Ask,
    "generate": Generate,
    "score": Score,
    "label": Label,
    "draw": Draw,
    "plot": Plot,
}


def main(args: Sequence[str] | None = None) -> int:
    """Runs the `memjax` command.

    Args:
        args: the command line without the program's name; `sys.argv` by default.

    Returns:
        The exit status: 0, or 1 after an error, which is printed.
    """
    args = list(sys.argv[1:] if args is None else args)
    try:
        import tyro
    except ImportError:
        print("memjax: the command needs the extra `app`: pip install 'memjax[app]'", file=sys.stderr)
        return 1

    try:
        if args and not args[0].startswith("-"):
            _checks.one_of("command", args[0], COMMANDS)
        start = start_of_training(args)
    except ValueError as error:
        print(f"memjax: {error}", file=sys.stderr)
        return 2  # as for what tyro cannot parse
    command: Any = None
    try:
        command = _parse(tyro, args, start)
        command.run()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # who reads has enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes what is left at its end
        return 0
    except (DataError, RunError, ValueError, ImportError, OSError) as error:
        print(f"memjax: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        begun = isinstance(command, Training) and (command.run_folder / "config.json").is_file()
        print("memjax: stopped" + "; go on with --resume" * begun, file=sys.stderr)
        return 130
    return 0


def _parse(tyro: Any, args: list[str], start: Training) -> Any:
    """The command that is asked for, with its flags; `start` has the defaults of those of `train`."""
    if args[:1] == ["train"] and not isinstance(start, Train):
        del args[1]  # the corpus, which decided which configuration there is
    several = () if isinstance(start, Train | TrainEndToEnd) else (tyro.conf.AvoidSubcommands,)
    kinds: dict[str, Any] = {name: Annotated[kind, tyro.conf.subcommand(name)] for name, kind in COMMANDS.items()}
    kinds["train"] = Annotated[(type(start), *several, tyro.conf.subcommand("train", default=start))]
    options = (
        tyro.conf.OmitArgPrefixes,
        tyro.conf.OmitSubcommandPrefixes,
        tyro.conf.CascadeSubcommandArgs,
        tyro.conf.PositionalRequiredArgs,
    )
    command: Any = functools.reduce(operator.or_, kinds.values())
    return tyro.cli(command, prog="memjax", description=DESCRIPTION, args=args, config=options)
