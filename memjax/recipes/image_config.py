# SPDX-License-Identifier: Apache-2.0
"""The configuration of models that answer questions about images."""

import dataclasses
from typing import Literal

from memjax import _checks
from memjax.data import sort_of_clevr

#: Inputs and models by name.
INPUTS = ("pixels", "state")
SCENE_MODELS = ("memory", "mlp")


@dataclasses.dataclass(frozen=True)
class SortOfClevr:
    """Images of six objects, with questions about them; they are generated, and need no file and no network."""

    image_seed: int = 0
    """Of the images and their questions."""
    num_train: int = sort_of_clevr.NUM_IMAGES["train"]
    """Images to learn from; there are 200 more for validation and 200 for the test."""

    def __post_init__(self) -> None:
        """Checks what the images are drawn by."""
        _checks.positive("num_train", self.num_train)
        sort_of_clevr.check_seed("image_seed", self.image_seed)

    def scenes(self, split: str) -> sort_of_clevr.Scenes:
        """The images of a split: train, valid or test."""
        return sort_of_clevr.generate(self.image_seed, split, self.num_train if split == "train" else None)


@dataclasses.dataclass(frozen=True)
class ImageConfig:
    """A model of images with questions; the defaults are those that did best on validation images."""

    corpus: SortOfClevr = dataclasses.field(default_factory=SortOfClevr)
    """Where images and questions come from."""
    input: Literal["pixels", "state"] = "pixels"
    """The model sees pixels, or a description of each object: its place, colour and shape."""
    model: Literal["memory", "mlp"] = "memory"
    """Soft hops over a memory, or all slots at once through two layers, for comparison."""
    hops: int = 3
    """P."""
    features: int = 64
    """D, of a query."""
    score_features: int = 32
    """What the score of a hop compares."""
    hidden_features: int = 256
    """Of both layers of the baseline."""
    supports: float = 1.0
    """How much it counts that the first hops read the objects that an answer rests on; 0: answers alone are learned."""
    learning_rate: float = 0.002
    """At the start; Adam, along a cosine to 0."""
    clip_norm: float = 1.0
    """The norm of the gradient, at most."""
    batch_size: int = 64
    """Images in one step, with all their questions."""
    epochs: int = 40
    """Passes over the training images."""
    seed: int = 0
    """Of initial weights and order."""

    def __post_init__(self) -> None:
        """Checks the switches and sizes that no model checks."""
        for name in ("batch_size", "epochs"):
            _checks.positive(name, getattr(self, name))
        _checks.one_of("input", self.input, INPUTS)
        _checks.one_of("model", self.model, SCENE_MODELS)
        _checks.at_least_zero("supports", self.supports)
        if self.model == "memory" and self.supports and self.hops < 2:
            raise ValueError(
                f"supports: expected 0 with one hop, for there are two, got {self.supports}; pass --supports 0"
            )
        idle = ("hidden_features",) if self.model == "memory" else ("hops", "score_features")
        _checks.no_effect(self, idle, f"with model {self.model!r}")
        for name in ("learning_rate", "clip_norm"):
            _checks.above_zero(name, getattr(self, name))


#: From pixels, or from descriptions of the objects.
IMAGE_RECIPES = {
    "default": ImageConfig(),
    "state": ImageConfig(input="state", supports=0.0, learning_rate=0.004, epochs=20),
}
