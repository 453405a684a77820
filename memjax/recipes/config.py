# SPDX-License-Identifier: Apache-2.0
"""The configurations of Memory Networks that answer questions about stories, over a knowledge base, and in dialogs."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from memjax import _checks
from memjax.errors import DataError
from memjax.models import MAX_ADAPTIVE_HOPS
from memjax.recipes.corpora import Babi, BabiTasks, Corpus, DialogBabi, MetaQA, Simulation
from memjax.recipes.dialog_config import DialogConfig
from memjax.recipes.end_to_end_config import JOINT_END_TO_END, EndToEndConfig
from memjax.recipes.image_config import ImageConfig, SortOfClevr
from memjax.recipes.key_value_config import KeyValueConfig
from memjax.recipes.reading_config import InferenceConfig, LanguageConfig, SentimentConfig
from memjax.recipes.texts import SNLI, SST, PennTreebank, TextFiles


@dataclasses.dataclass(frozen=True)
class AnsweringConfig:
    """Everything that decides what a run gives.

    The defaults are those that did best on validation data here; `PAPER` has the paper's own training.
    """

    corpus: Corpus = dataclasses.field(default_factory=Simulation)
    """Where stories and questions come from."""
    features: int = 50
    """n, size of the embeddings."""
    hops: int = 2
    """k, the number of supporting memories; with --adaptive, the cap on it."""
    time: Literal["none", "printed", "signed"] = "signed"
    """Time features of s(x, y, y'): none, as the paper prints them, or with a sign for each order."""
    adaptive: bool = False
    """Adaptive memory: a learned stop slot ends the chain of hops."""
    beam: int = 1
    """Chains of hops that are followed side by side when a question is answered."""
    max_words: int = 1
    """Words of an answer; above 1, a learned stop word ends it."""
    exclude_found: bool = False
    """A memory can be found once only."""
    last_support: bool = True
    """R has a dictionary of its own for the memory found last."""
    ngrams: int = 1
    """N: sentences are bags of n-grams of 1 to N words (NG: 3)."""
    variables: bool = False
    """Words that a question names are variables, in its story too; function words are found by their share."""
    form: Literal["linear", "nonlinear", "multilinear"] = "linear"
    """Of the embedding: linear, through two layers of tanh (NL), or a multilinear map of places."""
    places: int = 5
    """P_sz, places in a sentence, of the multilinear map."""
    exact_match: Literal["none", "lambda", "features"] = "none"
    """What words of x that are in y too add: nothing, a trained weight, or a feature of each word."""
    unseen: float = 0.0
    """d: how probable it is that training takes a word for one it never met, known by the words around it."""
    response: Literal["word", "rnn", "lstm"] = "word"
    """R: words by their scores, or an RNN or an LSTM that writes a sentence."""
    response_features: int = 64
    """H of the RNN or LSTM."""
    response_beam: int = 1
    """Sentences that are kept side by side in writing one; 1 is greedy search."""
    short_chains: Literal["no_loss", "repeat"] = "repeat"
    """What hops beyond a question's supports learn: nothing, or to find the last support again."""
    loss: Literal["hinge", "softmax"] = "softmax"
    """Of one ranking."""
    negatives: Literal["sampled", "all"] = "all"
    """Wrong choices of one ranking: one drawn at random, or all."""
    same_text: Literal["wrong", "ignored"] = "wrong"
    """Other memories with the text of the right one are wrong choices, or none."""
    margin: float = 0.1
    """gamma."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam falls along a cosine to 0; SGD keeps its rate."""
    learning_rate: float = 0.01
    """At the start."""
    weight_decay: float = 0.0
    """Decoupled, for Adam only."""
    batch_size: int = 32
    """Questions in one step."""
    epochs: int = 60
    """Passes over the training questions."""
    seed: int = 0
    """Of initial weights, order and negatives."""

    def __post_init__(self) -> None:
        """Checks the switches and sizes that no model checks."""
        for name in ("batch_size", "epochs", "ngrams"):
            _checks.positive(name, getattr(self, name))
        if not 0 <= self.unseen < 1:
            raise ValueError(f"unseen: expected a probability of at least 0 and below 1, got {self.unseen!r}")
        if self.ngrams > 1 and (self.unseen or self.form == "multilinear"):
            raise ValueError(
                f"ngrams: expected 1 with unseen words or a multilinear map, which take single words, got {self.ngrams}"
            )
        if getattr(self.corpus, "stream", False) and (self.ngrams > 1 or self.unseen or self.variables):
            raise ValueError(
                "ngrams, unseen, variables: expected none of them for a stream of words, whose segments are kept as "
                f"they are heard, got {self.ngrams}, {self.unseen} and {self.variables}"
            )
        _checks.one_of("response", self.response, ("word", "rnn", "lstm"))
        if self.response == "word":
            _checks.no_effect(self, ("response_features", "response_beam"), "with response 'word'")
        if self.form != "multilinear":
            _checks.no_effect(self, ("places",), f"with form {self.form!r}, not 'multilinear'")
        if self.response != "word" and (self.unseen or self.variables):
            raise ValueError(f"response: expected 'word' with unseen words or variables, got {self.response!r}")
        if self.response != "word" and isinstance(self.corpus, BabiTasks):
            raise ValueError(f"response: expected 'word' for bAbI, which has no sentences, got {self.response!r}")
        _checks.one_of("optimizer", self.optimizer, ("adam", "sgd"))
        if self.short_chains == "repeat" and self.exclude_found and not self.adaptive:
            raise ValueError(
                "short_chains, exclude_found: expected one of 'repeat' and True, since a fact that is excluded cannot "
                "be found again; pass --short-chains no_loss or --no-exclude-found"
            )
        if self.optimizer == "sgd" and self.weight_decay:
            raise ValueError(f"weight_decay: expected 0 with optimizer 'sgd', got {self.weight_decay}; it is Adam's")
        for name in ("learning_rate", "margin", "weight_decay"):
            _checks.at_least_zero(name, getattr(self, name))


#: The paper's training: sampled hinge, SGD at 0.01 one question at a time, 10 epochs, n = 100 (sections 3.1, 5.2). Time
#: features keep their sign: as printed they cannot act at the first hop.
PAPER = AnsweringConfig(
    features=100,
    loss="hinge",
    negatives="sampled",
    optimizer="sgd",
    batch_size=1,
    epochs=10,
    last_support=False,
    short_chains="no_loss",
)

#: Adaptive memory and multiple answers (bAbI paper, appendix A.2).
ADAPTIVE = AnsweringConfig(
    adaptive=True, hops=MAX_ADAPTIVE_HOPS, max_words=8, exclude_found=True, short_chains="no_loss"
)

#: What does best on bAbI: n-grams and the nonlinear embedding (appendix A.2), with variables and several chains.
STRONGEST = dataclasses.replace(ADAPTIVE, ngrams=3, form="nonlinear", weight_decay=0.1, variables=True, beam=8)

RECIPES = {"default": AnsweringConfig(), "adaptive": ADAPTIVE, "paper": PAPER, "strongest": STRONGEST}


@dataclasses.dataclass(frozen=True)
class KnowledgeConfig:
    """Everything that decides what a run over a knowledge base gives.

    The defaults are those that did best on validation questions.
    """

    corpus: MetaQA = dataclasses.field(default_factory=MetaQA)
    """Where triples and questions come from."""
    bag: Literal["words", "phrases", "both"] = "phrases"
    """What triples and names are bags of: words, one phrase token for each name and relation, or both."""
    match: bool = True
    """Exact matches count, with a trained weight; embeddings alone otherwise."""
    features: int = 128
    """n, size of the embeddings."""
    code_scale: float = 3.0
    """What the random code of a phrase matches itself with, before training."""
    supervision: Literal["answers", "types"] = "answers"
    """Right facts: those that lead to the answers (1 hop only), or those of the question's type."""
    loss: Literal["hinge", "softmax"] = "softmax"
    """Of one ranking."""
    negatives: Literal["sampled", "in_batch", "hashed"] = "hashed"
    """Wrong choices: one drawn at random, those of other questions too, those that share a token too."""
    margin: float = 0.1
    """gamma."""
    learning_rate: float = 0.01
    """At the start; Adam, along a cosine to 0."""
    batch_size: int = 128
    """Questions in one step."""
    epochs: int = 10
    """Passes over the training questions."""
    beam: int = 8
    """Chains that are followed side by side, with more than one hop."""
    tolerance: float = 4.0
    """A chain is given up at a hop whose score is lower by more than this than that of the best one."""
    seed: int = 0
    """Of initial weights, order and negatives."""

    def __post_init__(self) -> None:
        """Checks the switches and sizes that no model checks."""
        for name in ("batch_size", "epochs", "beam"):
            _checks.positive(name, getattr(self, name))
        _checks.one_of("bag", self.bag, ("words", "phrases", "both"))
        _checks.one_of("supervision", self.supervision, ("answers", "types"))
        if self.supervision == "answers" and self.corpus.hops > 1:
            raise ValueError(
                f"supervision: expected 'types' with {self.corpus.hops} hops, since answers do not say which chain of "
                "facts leads to them, got 'answers'; pass --supervision types"
            )
        for name in ("learning_rate", "margin", "code_scale", "tolerance"):
            _checks.at_least_zero(name, getattr(self, name))
        if self.corpus.hops == 1:
            _checks.no_effect(self, ("beam", "tolerance"), "with one hop, which keeps one chain")


@dataclasses.dataclass(frozen=True)
class BaselineConfig:
    """A language model that reads the latest statements and the question, and answers without a memory.

    The paper tuned sizes, steps of back-propagation and learning rate for each data set, without saying what it chose.
    """

    corpus: Corpus = dataclasses.field(default_factory=Simulation)
    """Where stories and questions come from."""
    cell: Literal["rnn", "lstm"] = "lstm"
    """The recurrent network."""
    answer: Literal["word", "sentence"] = "word"
    """What it learns to write: the words of the answer, or the sentence."""
    statements: int = 8
    """How many of the latest statements it reads."""
    features: int = 32
    """n, size of the embeddings."""
    hidden_features: int = 64
    """H."""
    learning_rate: float = 0.01
    """At the start; Adam, along a cosine to 0."""
    clip_norm: float = 1.0
    """The norm of the gradient, at most."""
    batch_size: int = 32
    """Questions in one step."""
    epochs: int = 12
    """Passes over the training questions."""
    seed: int = 0
    """Of initial weights and order."""

    def __post_init__(self) -> None:
        """Checks the switches and sizes that no model checks."""
        for name in ("batch_size", "epochs", "statements"):
            _checks.positive(name, getattr(self, name))
        _checks.one_of("answer", self.answer, ("word", "sentence"))
        if isinstance(self.corpus, BabiTasks):
            raise ValueError("corpus: expected one task for a baseline, got several; take Babi")
        for name in ("learning_rate", "clip_norm"):
            _checks.above_zero(name, getattr(self, name))


Config = (
    AnsweringConfig
    | EndToEndConfig
    | KnowledgeConfig
    | KeyValueConfig
    | BaselineConfig
    | DialogConfig
    | LanguageConfig
    | SentimentConfig
    | InferenceConfig
    | ImageConfig
)

_CORPORA: dict[str, tuple[type, type]] = {
    "simulation": (Simulation, AnsweringConfig),
    "babi": (Babi, AnsweringConfig),
    "babi_tasks": (BabiTasks, AnsweringConfig),
    "metaqa": (MetaQA, KnowledgeConfig),
    "dialog": (DialogBabi, DialogConfig),
    "ptb": (PennTreebank, LanguageConfig),
    "text": (TextFiles, LanguageConfig),
    "sst": (SST, SentimentConfig),
    "snli": (SNLI, InferenceConfig),
    "sort_of_clevr": (SortOfClevr, ImageConfig),
}

#: Kinds of configuration that the corpus does not tell.
_KINDS: dict[str, type] = {"end_to_end": EndToEndConfig, "key_value": KeyValueConfig, "baseline": BaselineConfig}


def default_like(config: Config) -> Config:
    """The default configuration of the same kind, with the same kind of corpus."""
    if isinstance(config, EndToEndConfig) and isinstance(config.corpus, BabiTasks):
        return JOINT_END_TO_END  # the default's linear start is none for several tasks
    corpus: Any = type(config.corpus)()
    return type(config)(corpus=corpus)


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as JSON; where corpus and vectors lie on this machine is not part of it.

    Example:
        >>> to_json(AnsweringConfig())["corpus"]["name"]
        'simulation'
    """
    content = dataclasses.asdict(config)
    name = next(name for name, (corpus, _) in _CORPORA.items() if isinstance(config.corpus, corpus))
    content["corpus"] = {"name": name, **content["corpus"]}
    content["corpus"].pop("data", None)
    for key, value in content["corpus"].items():
        content["corpus"][key] = list(value) if isinstance(value, tuple) else value  # as JSON gives it back
    for kind, of_kind in _KINDS.items():
        if isinstance(config, of_kind):
            content["kind"] = kind
    if "vectors" in content:
        content["vectors"] = Path(content["vectors"]).name
    return content


def from_json(content: dict[str, Any], path: str) -> Config:
    """The configuration that `to_json` wrote.

    Args:
        content: the JSON.
        path: where it came from, for messages.

    Raises:
        DataError: if it is no configuration of this version.

    Example:
        >>> from_json(to_json(ADAPTIVE), "config.json") == ADAPTIVE
        True
    """
    try:
        fields = dict(content)
        settings = dict(fields.pop("corpus"))
        corpus, config = _CORPORA[settings.pop("name")]
        if "kind" in fields:
            config = _KINDS[fields.pop("kind")]
        while True:
            try:
                return config(corpus=corpus(**settings), **fields)
            except _checks.NoEffectError as error:  # which an earlier version let pass
                del fields[error.name]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"expected a configuration of this version of memjax, got another one: {error}", path) from None
