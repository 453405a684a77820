# SPDX-License-Identifier: Apache-2.0
"""Models, as Flax NNX modules that return scores and answers."""

from memjax.models._readers import CORES, LANGUAGE_CORES, Core, LanguageCore
from memjax.models.facts import FactMemNN, FactQuery
from memjax.models.key_value import KeyValueMemNN, ValueMatrix
from memjax.models.language_model import LanguageModel
from memjax.models.memn2n import MemN2N, SoftAnswer, Tying
from memjax.models.memnn import Answer, MemNN
from memjax.models.output_map import MAX_ADAPTIVE_HOPS, HopScores, OutputMap, candidates_of
from memjax.models.responders import WordResponder, supporting_memory
from memjax.models.response_memn2n import PLACES, Candidates, Places, Response, ResponseMemN2N
from memjax.models.scenes import SceneAnswer, SceneMemNN, SceneMLP
from memjax.models.segmenter import Cuts, Hearing, Segmenter
from memjax.models.sentence_memnn import SentenceMemNN
from memjax.models.sentence_pair_matcher import COMPARISONS, FUSIONS, Compare, Fusion, SentencePairMatcher
from memjax.models.sentence_responder import SentenceResponder, Sentences, join_sentences
from memjax.models.sequence_classifier import SequenceClassifier

__all__ = [
    "MAX_ADAPTIVE_HOPS",
    "COMPARISONS",
    "CORES",
    "LANGUAGE_CORES",
    "FUSIONS",
    "PLACES",
    "Answer",
    "Candidates",
    "Compare",
    "Core",
    "LanguageCore",
    "Cuts",
    "FactMemNN",
    "FactQuery",
    "Fusion",
    "Hearing",
    "HopScores",
    "KeyValueMemNN",
    "LanguageModel",
    "MemN2N",
    "MemNN",
    "OutputMap",
    "Places",
    "Response",
    "ResponseMemN2N",
    "SceneAnswer",
    "SceneMLP",
    "SceneMemNN",
    "Segmenter",
    "SentenceMemNN",
    "SentencePairMatcher",
    "SentenceResponder",
    "Sentences",
    "SequenceClassifier",
    "SoftAnswer",
    "Tying",
    "ValueMatrix",
    "WordResponder",
    "candidates_of",
    "join_sentences",
    "supporting_memory",
]
