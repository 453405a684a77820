# SPDX-License-Identifier: Apache-2.0
"""Models, as Flax NNX modules that return scores and answers."""

from memjax.models.facts import FactMemNN, FactQuery
from memjax.models.memnn import MAX_ADAPTIVE_HOPS, Answer, HopScores, MemNN, OutputMap, candidates_of
from memjax.models.responders import WordResponder, supporting_memory
from memjax.models.segmenter import Cuts, Hearing, Segmenter

__all__ = [
    "MAX_ADAPTIVE_HOPS",
    "Answer",
    "Cuts",
    "FactMemNN",
    "FactQuery",
    "Hearing",
    "HopScores",
    "MemNN",
    "OutputMap",
    "Segmenter",
    "WordResponder",
    "candidates_of",
    "supporting_memory",
]
