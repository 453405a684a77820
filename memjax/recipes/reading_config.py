# SPDX-License-Identifier: Apache-2.0
"""The configurations of models that read sentences."""

import dataclasses
from typing import Any, Literal

from memjax import _checks
from memjax.data.vectors import MISSING
from memjax.models import COMPARISONS, CORES, LANGUAGE_CORES, Compare, Core, Fusion, LanguageCore
from memjax.models.sentence_pair_matcher import check_fusion
from memjax.recipes.texts import SNLI, SST, PennTreebank, TextFiles

#: How vectors of words that were trained elsewhere are trained on.
Tuning = Literal["all", "scaled_first", "frozen_first", "frozen"]
TUNINGS = ("all", "scaled_first", "frozen_first", "frozen")


def _check_span(core: str, span: int) -> None:
    if span and core == "lstm":
        raise ValueError(f"span: expected 0 with core 'lstm', which has no slots, got {span}")


@dataclasses.dataclass(frozen=True)
class LanguageConfig:
    """A language model; the defaults are the paper's own training, `MODERN_LANGUAGE` goes for the best number."""

    corpus: PennTreebank | TextFiles = dataclasses.field(default_factory=PennTreebank)
    """Where the text comes from."""
    core: LanguageCore = "lstmn"
    """LSTMN; LSTM for comparison; or an end-to-end memory of the latest words, of --span of them."""
    features: int = 150
    """D, size of the embeddings; twice H for memn2n."""
    hidden_features: int = 300
    """H, of each layer."""
    num_layers: int = 1
    """L; hops of memn2n."""
    tape: Literal["sentence", "carried"] = "sentence"
    """Each sentence starts with an empty tape, or the text is one stream, whose tape goes from window to window, and
    which begins with another sentence in each epoch; memn2n, whose tape is words, takes the windows in any order."""
    window: int = 35
    """Words of a window, where the tape is carried."""
    span: int = 0
    """Slots back that an LSTMN sees; 0 for all of the sentence, or for as many as a window has words."""
    skip_connections: bool = False
    """Upper layers are fed the embeddings of words, too: without, several layers begin slowly."""
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
    schedule: Literal["improvement", "cosine"] = "improvement"
    """The rate falls after epochs without significant improvement, as in the paper, or along half a cosine to zero."""
    decay: float = 0.85
    """The rate is multiplied by it after an epoch without significant improvement."""
    significant: float = 0.005
    """The share by which -log p of a validation word must fall to be a significant improvement: at a perplexity of 120,
    0.5 % of it are 2.4 % of the perplexity."""
    weight_decay: float = 0.0
    """Of Adam (decoupled)."""
    clip_norm: float = 5.0
    """The norm of the gradient, at most."""
    batch_size: int = 40
    """Sentences in one step, or stretches of the stream."""
    epochs: int = 25
    """Passes over the text; the parameters that did best on validation text are kept."""
    output_dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of what enters the products of the output layer in training; sums, and all of evaluation, are float32. On a
    processor without products of bfloat16, float32 is faster."""
    seed: int = 0
    """Of initial weights and order."""

    def __post_init__(self) -> None:
        """Checks the switches and sizes that no model checks."""
        for name in ("batch_size", "epochs", "window", "num_layers", "features", "hidden_features"):
            _checks.positive(name, getattr(self, name))
        _checks.one_of("core", self.core, LANGUAGE_CORES)
        _checks.one_of("tape", self.tape, ("sentence", "carried"))
        _checks.one_of("optimizer", self.optimizer, ("sgd", "adam"))
        _checks.one_of("schedule", self.schedule, ("improvement", "cosine"))
        if self.schedule == "cosine":
            _checks.no_effect(self, ("decay", "significant"), "with schedule 'cosine', not 'improvement'")
        _checks.one_of("output_dtype", self.output_dtype, ("float32", "bfloat16"))
        for name in ("learning_rate", "clip_norm", "decay"):
            _checks.above_zero(name, getattr(self, name))
        for name in ("significant", "weight_decay", "span"):
            _checks.at_least_zero(name, getattr(self, name))
        if self.weight_decay and self.optimizer == "sgd":
            raise ValueError("weight_decay: expected 0 with optimizer 'sgd', which has none here; take 'adam'")
        _check_span(self.core, self.span)
        if self.skip_connections and (self.num_layers == 1 or self.core == "memn2n"):
            raise ValueError("skip_connections: expected False for a single layer and for core 'memn2n', got True")
        if self.tape == "sentence":
            _checks.no_effect(self, ("window",), "with tape 'sentence', not 'carried'")
        if self.core == "memn2n" and self.features != 2 * self.hidden_features:
            raise ValueError(
                f"features: expected {2 * self.hidden_features}, twice hidden_features, for core 'memn2n', got "
                f"{self.features}"
            )
        if self.core == "memn2n" and self.tape == "sentence" and not self.span:
            raise ValueError("span: expected at least 1 for core 'memn2n', which remembers so many words, got 0")


#: An end-to-end Memory Network as a language model (Sukhbaatar et al. 2015, section 5): six hops over 100 words. A step
#: takes 128 words, whose losses the paper adds up; of a mean over 32 rows, its rate of 0.01 is 0.32, its norm of 50 is
#: 1.5625. Two and a half times the rate, with steps as long at most, along a cosine takes 16 epochs, where the paper
#: takes some fifty. Words come from 32 places of the text, where the authors' code takes each from another place.
MEMN2N_LANGUAGE = LanguageConfig(
    core="memn2n",
    features=300,
    hidden_features=150,
    num_layers=6,
    tape="carried",
    window=4,
    span=100,
    learning_rate=0.8,
    schedule="cosine",
    clip_norm=0.625,
    batch_size=32,
    epochs=16,
)

#: For the best number that a model of this size reaches here: 103.8 on the Penn Treebank's test text. A step sees eight
#: slots: over more, attention begins as a mean of all, and training is slow.
MODERN_LANGUAGE = LanguageConfig(
    features=300,
    tape="carried",
    span=8,
    tied=True,
    dropout=0.35,
    learning_rate=1.0,
    schedule="cosine",
    batch_size=20,
    epochs=11,
)


@dataclasses.dataclass(frozen=True)
class LabellingConfig:
    """What models that tell the label of a text have in common; see `SentimentConfig` and `InferenceConfig`.

    Words that only the file of vectors has (`file_words`) are not taken by default: on SST they made no difference to
    validation sentences (40.5 % with all 9,163 of a file, 40.7 % without; one seed).
    """

    corpus: Any = None
    """Where texts and labels come from."""
    core: Core = "lstmn"
    """LSTMN, or LSTM for comparison."""
    features: int = 300
    """D, size of the embeddings."""
    hidden_features: int = 168
    """H, of each layer, and of the classifier's."""
    num_layers: int = 1
    """L."""
    span: int = 0
    """Slots back that an LSTMN sees; 0 for all."""
    vectors: str = "none"
    """Vectors of words to start from: a file, "glove" for the one in the folder with the corpora, or "none"."""
    missing: Literal["random", "neighbours"] = "random"
    """Words that have no vector there: random, or the mean of the words around them."""
    deviation: float = 0.0
    """Of the random ones; 0 for that of the vectors found."""
    tuning: Tuning = "all"
    """Vectors found change as all weights do; by 0.35 of it, or not at all, in the first epoch; or never."""
    file_words: int = 0
    """So many words of the file of vectors, from its first, are known beside those of the training texts."""
    dropout: float = 0.5
    """Of what the classifier's scores are made of."""
    embedding_dropout: float = 0.0
    """Of embeddings; one mask for all words of a sentence."""
    word_dropout: float = 0.0
    """Of whole words' embeddings."""
    l2: float = 1e-4
    """Of the square of all weights but the embeddings."""
    learning_rate: float = 0.002
    """Of Adam."""
    decay: float = 1.0
    """The rate is multiplied by it after an epoch that is not the best so far."""
    clip_norm: float = 5.0
    """The norm of the gradient, at most."""
    batch_size: int = 5
    """Texts in one step."""
    epochs: int = 10
    """Passes over the texts; the parameters that were right most often on validation texts are kept."""
    seed: int = 0
    """Of initial weights, of vectors that are made up, and of the order."""

    def __post_init__(self) -> None:
        """Checks the switches and sizes that no model checks."""
        for name in ("batch_size", "epochs", "num_layers", "features", "hidden_features"):
            _checks.positive(name, getattr(self, name))
        _checks.one_of("core", self.core, CORES)
        _checks.one_of("missing", self.missing, MISSING)
        _checks.one_of("tuning", self.tuning, TUNINGS)
        for name in ("learning_rate", "clip_norm", "decay"):
            _checks.above_zero(name, getattr(self, name))
        for name in ("l2", "span", "deviation", "file_words"):
            _checks.at_least_zero(name, getattr(self, name))
        _check_span(self.core, self.span)
        if self.vectors == "none" and self.missing != "random":
            raise ValueError(f"missing: expected 'random' without vectors, got {self.missing!r}; pass --vectors")
        if self.vectors == "none":
            _checks.no_effect(self, ("deviation",), "without --vectors")
        if self.vectors == "none" and (self.tuning != "all" or self.file_words):
            raise ValueError(
                f"tuning, file_words: expected 'all' and 0 without vectors, got {self.tuning!r} and {self.file_words}; "
                "pass --vectors"
            )


@dataclasses.dataclass(frozen=True)
class SentimentConfig(LabellingConfig):
    """What a sentence expresses; the defaults are the paper's own training, but for its GloVe vectors.

    `MODERN_SENTIMENT` goes for the best number.
    """

    corpus: SST = dataclasses.field(default_factory=SST)
    """Where sentences and labels come from."""


@dataclasses.dataclass(frozen=True)
class InferenceConfig(LabellingConfig):
    """How two sentences stand to each other; the defaults are the paper's own training, but for its GloVe vectors."""

    corpus: SNLI = dataclasses.field(default_factory=SNLI)
    """Where pairs and labels come from."""
    hidden_features: int = 100
    """H, of each layer, and of the classifier's."""
    deviation: float = 1.0
    """Of random vectors; 0 for that of the vectors found."""
    dropout: float = 0.2
    """Of what the classifier's scores are made of."""
    l2: float = 0.0
    """Of the square of all weights but the embeddings."""
    learning_rate: float = 0.001
    """Of Adam."""
    batch_size: int = 32
    """Pairs in one step."""
    fusion: Fusion = "none"
    """How the reader of the hypothesis sees the premise; shallow and deep want an LSTMN."""
    shared: bool = True
    """One network reads both; otherwise two do."""
    compare: Compare = "concat"
    """What is made of both: their averages side by side, or difference and product too; in shallow fusion, of words."""

    def __post_init__(self) -> None:
        """Checks the switches and sizes that no model checks."""
        super().__post_init__()
        check_fusion(self.core, self.fusion)
        _checks.one_of("compare", self.compare, COMPARISONS)


#: The best of what was tried on validation sentences: phrases too, some words and features left out. With vectors of 50
#: numbers (`vectors`) 46.1 % after 4 epochs, still rising, where whole sentences alone give 40.7 (one seed).
MODERN_SENTIMENT = SentimentConfig(SST(phrases=True), embedding_dropout=0.2, word_dropout=0.05, batch_size=50, epochs=8)

#: The best of what was tried on validation pairs: words compared, some words and features left out.
MODERN_INFERENCE = InferenceConfig(
    fusion="shallow", compare="match", dropout=0.3, embedding_dropout=0.1, word_dropout=0.05, epochs=10
)

#: Recipes by corpus, of models that read sentences.
READING_RECIPES: dict[str, dict[str, Any]] = {
    "ptb": {"default": LanguageConfig(), "modern": MODERN_LANGUAGE, "memn2n": MEMN2N_LANGUAGE},
    "text": {
        "default": LanguageConfig(TextFiles()),
        "modern": dataclasses.replace(MODERN_LANGUAGE, corpus=TextFiles()),
        "memn2n": dataclasses.replace(MEMN2N_LANGUAGE, corpus=TextFiles()),
    },
    "sst": {"default": SentimentConfig(), "modern": MODERN_SENTIMENT},
    "snli": {"default": InferenceConfig(), "modern": MODERN_INFERENCE},
}
