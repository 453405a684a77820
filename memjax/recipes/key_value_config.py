# SPDX-License-Identifier: Apache-2.0
"""The configurations of key-value Memory Networks over a knowledge base."""

import dataclasses
from typing import Literal

from memjax import _checks
from memjax.recipes.corpora import MetaQA


@dataclasses.dataclass(frozen=True)
class KeyValueConfig:
    """Everything that decides what a run of a key-value Memory Network gives.

    The defaults are those that did best on validation questions; `PRINTED_KEY_VALUE` has the paper's equations.
    """

    corpus: MetaQA = dataclasses.field(default_factory=MetaQA)
    """Where triples and questions come from."""
    bag: Literal["words", "phrases", "both"] = "phrases"
    """What keys and questions are bags of: words, one phrase token for each name and relation, or both."""
    names: Literal["codes", "trained"] = "codes"
    """Names have random codes that are not trained, or trained rows as all words."""
    values: Literal["A", "B"] = "B"
    """The matrix of values: A, that of questions and keys, as printed; or B, that of answers."""
    hop_matrices: bool = False
    """A matrix R_j after each hop, as printed; without it q_j + o goes on as it is."""
    features: int = 512
    """d, size of the embeddings."""
    reads: int = 1
    """H, hops: how often the memory is read."""
    code_scale: float = 12.0
    """What codes of values and answers are multiplied with, before training."""
    scale: float = 0.1
    """Deviation of the weights before training."""
    memory: int = 32
    """K, slots that a question reads of those that the hash finds."""
    frequent: int = 1000
    """F: words of more keys than this find nothing."""
    targets: Literal["drawn", "any"] = "any"
    """Of several answers one drawn anew each time is right, or any."""
    negatives: int = 1000
    """Wrong answers that are drawn in a step, beside the values of the memory; 0: all entities."""
    learning_rate: float = 0.005
    """At the start; Adam, along a cosine to 0."""
    batch_size: int = 64
    """Questions in one step."""
    epochs: int = 4
    """Passes over the training questions."""
    seed: int = 0
    """Of initial weights, order and negatives."""

    def __post_init__(self) -> None:
        """Checks the switches and sizes that no model checks."""
        for name in ("batch_size", "epochs", "memory", "frequent", "reads"):
            _checks.positive(name, getattr(self, name))
        _checks.one_of("bag", self.bag, ("words", "phrases", "both"))
        _checks.one_of("names", self.names, ("codes", "trained"))
        for name in ("scale", "learning_rate"):
            _checks.above_zero(name, getattr(self, name))
        for name in ("code_scale", "negatives"):
            _checks.at_least_zero(name, getattr(self, name))
        if self.names == "trained":
            _checks.no_effect(self, ("code_scale",), "with names 'trained', which have no codes")
        if self.corpus.hops > 1:
            raise ValueError(
                f"corpus: expected questions of 1 hop, whose answers stand beside what the question names, got "
                f"{self.corpus.hops}; pass --hops 1, or train metaqa"
            )


#: The paper's equations: trained names, values by A, two hops with a matrix after each. Sizes, rate, 1,000 slots and
#: negatives are those of the authors' code, which goes its own way elsewhere: there answers and questions share one
#: table, no matrix comes before the answer, and words are weighted by their rarity.
PRINTED_KEY_VALUE = KeyValueConfig(
    names="trained",
    values="A",
    hop_matrices=True,
    features=500,
    reads=2,
    memory=1000,
    targets="drawn",
    learning_rate=0.005,
    epochs=10,
)

KEY_VALUE_RECIPES = {"default": KeyValueConfig(), "printed": PRINTED_KEY_VALUE}
