# SPDX-License-Identifier: Apache-2.0
"""Models, as Flax NNX modules that return scores and answers."""

from memjax.models._readers import CORES, Core
from memjax.models.facts import FactMemNN, FactQuery
from memjax.models.language_model import LanguageModel
from memjax.models.memnn import MAX_ADAPTIVE_HOPS, Answer, HopScores, MemNN, OutputMap, candidates_of
from memjax.models.responders import WordResponder, supporting_memory
from memjax.models.segmenter import Cuts, Hearing, Segmenter
from memjax.models.sentence_memnn import SentenceMemNN
from memjax.models.sentence_responder import SentenceResponder, Sentences, join_sentences

__all__ = [
    "MAX_ADAPTIVE_HOPS",
    "CORES",
    "Answer",
    "Core",
    "Cuts",
    "FactMemNN",
    "FactQuery",
    "Hearing",
    "HopScores",
    "LanguageModel",
    "MemNN",
    "OutputMap",
    "Segmenter",
    "SentenceMemNN",
    "SentenceResponder",
    "Sentences",
    "WordResponder",
    "candidates_of",
    "join_sentences",
    "supporting_memory",
]
