# SPDX-License-Identifier: Apache-2.0
"""The configuration of end-to-end Memory Networks over stories."""

import dataclasses
from typing import Literal

from memjax import _checks
from memjax.encoding import PositionForm
from memjax.models import Tying
from memjax.nn import Activation
from memjax.recipes.corpora import Babi, BabiTasks, Corpus, Simulation


@dataclasses.dataclass(frozen=True)
class EndToEndConfig:
    """Everything that decides what a run gives; the defaults are the paper's, `RELEASED` has what its code does."""

    corpus: Corpus = dataclasses.field(default_factory=Babi)
    """Where stories and questions come from; supporting facts are not read."""
    features: int = 20
    """d, size of the embeddings."""
    hops: int = 3
    """K."""
    memory: int = 50
    """Statements that a question sees, the latest ones."""
    position: PositionForm = "printed"
    """Position encoding (PE) as the paper prints it or its code has it; none is a bag of words."""
    time: bool = True
    """Temporal encoding: statements are told apart by their age."""
    noise: float = 0.1
    """Random noise (RN): empty memories between statements in training, as a share of these, at most."""
    tying: Tying = "adjacent"
    """Which matrices hops have in common."""
    activation: Activation = "none"
    """ReLU of no units of the query after a hop, of half of them, or of all."""
    nil: Literal["memory", "longest", "none"] = "memory"
    """Null sentences fill the memory up, or up to the longest training story, as in the authors' code, and take their
    part of the softmax: a hop can read little."""
    linear_start: Literal["none", "validation", "epochs"] = "validation"
    """LS: at first hops go without their softmax, until the validation loss stops falling, or for some epochs."""
    linear_epochs: int = 20
    """Of the linear start, which come before the others; at most, where it ends by validation."""
    linear_rate: float = 0.005
    """The learning rate of the linear start."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Gradient descent as in the paper, or Adam."""
    learning_rate: float = 0.005
    """At the start, or after the linear start; without one the paper has 0.01."""
    halve_every: int = 25
    """Epochs after which the learning rate is halved, again and again; those of the linear start do not count."""
    clip_norm: float = 40.0
    """The norm of the gradient of each matrix, at most."""
    batch_size: int = 32
    """Questions in one step; their losses are added up."""
    epochs: int = 100
    """Passes over the training questions, after the linear start, and those that it leaves of `linear_epochs`."""
    valid_part: float = 0.1
    """Of the training questions, to choose by, where the corpus has no validation questions."""
    restarts: int = 10
    """Initial weights that are tried side by side."""
    select: Literal["train", "valid"] = "train"
    """The restart that is used has the fewest errors on training or on validation questions."""
    seed: int = 0
    """Of the first restart; the others count on."""

    def __post_init__(self) -> None:
        """Checks the switches and sizes that no model checks."""
        for name in ("memory", "batch_size", "epochs", "restarts", "halve_every"):
            _checks.positive(name, getattr(self, name))
        _checks.one_of("nil", self.nil, ("memory", "longest", "none"))
        _checks.one_of("linear_start", self.linear_start, ("none", "validation", "epochs"))
        _checks.one_of("optimizer", self.optimizer, ("sgd", "adam"))
        _checks.one_of("select", self.select, ("train", "valid"))
        for name in ("learning_rate", "linear_rate", "clip_norm"):
            _checks.above_zero(name, getattr(self, name))
        for name in ("noise", "linear_epochs"):
            _checks.at_least_zero(name, getattr(self, name))
        if self.linear_start == "none":
            _checks.no_effect(self, ("linear_epochs", "linear_rate"), "with linear_start 'none'")
        if not 0 <= self.valid_part < 1:
            raise ValueError(f"valid_part: expected a share of at least 0 and below 1, got {self.valid_part!r}")
        if isinstance(self.corpus, Simulation) and self.corpus.stream:
            raise ValueError("corpus: expected statements told one by one, got a stream; pass --no-stream")
        if isinstance(self.corpus, BabiTasks) and self.linear_start == "validation":
            raise ValueError(
                "linear_start: expected 'epochs' or 'none' for several tasks, whose validation losses do not fall "
                "together, got 'validation'; pass --recipe joint"
            )

    @property
    def passes(self) -> int:
        """Epochs in all."""
        return self.epochs + (0 if self.linear_start == "none" else self.linear_epochs)


#: One task: position encoding, linear start, random noise (PE LS RN of the paper's tables).
PAPER_END_TO_END = EndToEndConfig()

#: What the authors' code does otherwise: another position encoding, a linear start of 20 epochs, and a memory as large
#: as the longest story. It also draws the questions of a batch with replacement, which is not done here.
RELEASED = EndToEndConfig(position="released", linear_start="epochs", nil="longest")

#: One model for all tasks, as the paper trains it on 1,000 questions a task, with the linear start of its code.
JOINT_END_TO_END = EndToEndConfig(
    corpus=BabiTasks(), features=50, linear_start="epochs", linear_epochs=30, epochs=60, halve_every=15
)

#: For the best numbers from 10,000 questions a task. Hops that share their matrices are steps of a recurrent network,
#: and find paths (task 19); a linear start would keep them from it.
LAYERWISE = dataclasses.replace(
    RELEASED,
    features=100,
    tying="layerwise",
    activation="all",
    linear_start="none",
    optimizer="adam",
    learning_rate=0.005,
    clip_norm=1e4,
    batch_size=128,
    restarts=3,
    select="valid",
)

#: The same with hops that have matrices of their own, and a linear start: what induction (task 16) needs.
ADJACENT = dataclasses.replace(
    LAYERWISE,
    tying="adjacent",
    linear_start="epochs",
    linear_epochs=10,
    linear_rate=0.002,
    learning_rate=0.002,
    epochs=60,
    halve_every=15,
)

END_TO_END_RECIPES = {
    "default": PAPER_END_TO_END,
    "released": RELEASED,
    "joint": JOINT_END_TO_END,
    "layerwise": LAYERWISE,
    "adjacent": ADJACENT,
}
