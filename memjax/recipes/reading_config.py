# SPDX-License-Identifier: Apache-2.0
"""The configurations of models that read sentences."""

import dataclasses
from typing import Literal

from memjax import _checks
from memjax.models import CORES, Core
from memjax.recipes.texts import PennTreebank, TextFiles


@dataclasses.dataclass(frozen=True)
class LanguageConfig:
    """A language model; the defaults are the paper's own training, `MODERN_LANGUAGE` goes for the best number."""

    corpus: PennTreebank | TextFiles = dataclasses.field(default_factory=PennTreebank)
    """Where the text comes from."""
    core: Core = "lstmn"
    """LSTMN, or LSTM for comparison."""
    features: int = 150
    """D, size of the embeddings."""
    hidden_features: int = 300
    """H, of each layer."""
    num_layers: int = 1
    """L."""
    tape: Literal["sentence", "carried"] = "sentence"
    """Each sentence starts with an empty tape, or the text is one stream, whose tape goes from window to window."""
    window: int = 35
    """Words of a window, where the tape is carried."""
    span: int = 0
    """Slots back that an LSTMN sees; 0 for all of the sentence, or for as many as a window has words."""
    tied: bool = False
    """The scores of words are products with their embeddings."""
    dropout: float = 0.0
    """Of embeddings, and of what goes from the core to the scores."""
    word_dropout: float = 0.0
    """Of whole words' embeddings."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Gradient descent as in the paper, or Adam."""
    learning_rate: float = 0.65
    """At the start."""
    decay: float = 0.85
    """The rate is multiplied by it after an epoch without significant improvement."""
    significant: float = 0.005
    """The share by which the validation perplexity must fall to be a significant improvement."""
    weight_decay: float = 0.0
    """Of Adam (decoupled)."""
    clip_norm: float = 5.0
    """The norm of the gradient, at most."""
    batch_size: int = 40
    """Sentences in one step, or stretches of the stream."""
    epochs: int = 25
    """Passes over the text; the parameters that did best on validation text are kept."""
    output_dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of what enters the products of the output layer in training; sums, and all of evaluation, are float32."""
    seed: int = 0
    """Of initial weights and order."""

    def __post_init__(self) -> None:
        """Checks the switches and sizes that no model checks."""
        for name in ("batch_size", "epochs", "window", "num_layers", "features", "hidden_features"):
            _checks.positive(name, getattr(self, name))
        _checks.one_of("core", self.core, CORES)
        _checks.one_of("tape", self.tape, ("sentence", "carried"))
        _checks.one_of("optimizer", self.optimizer, ("sgd", "adam"))
        _checks.one_of("output_dtype", self.output_dtype, ("float32", "bfloat16"))
        for name in ("learning_rate", "clip_norm", "decay"):
            _checks.above_zero(name, getattr(self, name))
        for name in ("significant", "weight_decay", "span"):
            _checks.at_least_zero(name, getattr(self, name))


#: For the best number that a model of this size reaches here.
MODERN_LANGUAGE = LanguageConfig(
    features=300,
    tied=True,
    dropout=0.4,
    word_dropout=0.1,
    optimizer="adam",
    learning_rate=0.003,
    decay=0.5,
    weight_decay=1e-3,
    clip_norm=1.0,
    epochs=40,
)

LANGUAGE_RECIPES = {"default": LanguageConfig(), "modern": MODERN_LANGUAGE}
