# SPDX-License-Identifier: Apache-2.0
"""The configuration of end-to-end Memory Networks in dialogs."""

import dataclasses
from typing import Literal

from memjax import _checks
from memjax.models import PLACES, Places
from memjax.recipes.corpora import DialogBabi


@dataclasses.dataclass(frozen=True)
class DialogConfig:
    """Everything that decides what a run over dialogs gives.

    The defaults are those that did best on validation dialogs.
    """

    corpus: DialogBabi = dataclasses.field(default_factory=DialogBabi)
    """Where the dialogs come from."""
    features: int = 64
    """d, size of the embeddings."""
    hops: int = 3
    """N, how often the memory is read."""
    match: bool = True
    """Entities of the knowledge base that a response shares with the dialog add the word of their type to it."""
    places: Places = "age"
    """What tells utterances in memory apart in time: index from the begin (the paper's), age, or none."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam, or gradient descent as in the paper."""
    learning_rate: float = 0.002
    """At the start."""
    decay: float = 0.7
    """The rate is multiplied by it after an epoch in which no more validation responses are right."""
    clip_norm: float = 10.0
    """The norm of the gradient, at most."""
    batch_size: int = 4
    """Dialogs in one step, with all of their responses."""
    epochs: int = 15
    """Passes over the dialogs; the parameters that did best on validation dialogs are kept."""
    seed: int = 0
    """Of initial weights and order."""

    def __post_init__(self) -> None:
        """Checks the switches and sizes that no model checks."""
        for name in ("features", "hops", "batch_size", "epochs"):
            _checks.positive(name, getattr(self, name))
        _checks.one_of("optimizer", self.optimizer, ("adam", "sgd"))
        _checks.one_of("places", self.places, PLACES)
        for name in ("learning_rate", "clip_norm"):
            _checks.above_zero(name, getattr(self, name))
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay: expected a number above 0, 1 at most, got {self.decay!r}")
