# SPDX-License-Identifier: Apache-2.0
"""Models, as Flax NNX modules that return scores and answers."""

from memjax.models._readers import CORES, Core
from memjax.models.facts import FactMemNN, FactQuery
from memjax.models.language_model import LanguageModel
from memjax.models.memnn import MAX_ADAPTIVE_HOPS, Answer, HopScores, MemNN, OutputMap, candidates_of
from memjax.models.responders import WordResponder, supporting_memory
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
    "FUSIONS",
    "Answer",
    "Compare",
    "Core",
    "Cuts",
    "FactMemNN",
    "FactQuery",
    "Fusion",
    "Hearing",
    "HopScores",
    "LanguageModel",
    "MemNN",
    "OutputMap",
    "SceneAnswer",
    "SceneMLP",
    "SceneMemNN",
    "Segmenter",
    "SentenceMemNN",
    "SentencePairMatcher",
    "SentenceResponder",
    "Sentences",
    "SequenceClassifier",
    "WordResponder",
    "candidates_of",
    "join_sentences",
    "supporting_memory",
]
