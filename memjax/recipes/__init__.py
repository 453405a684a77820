# SPDX-License-Identifier: Apache-2.0
"""From a configuration to a trained model to use."""

from memjax.recipes.answerer import Answerer, Reply, Support
from memjax.recipes.config import ADAPTIVE, PAPER, RECIPES, AnsweringConfig
from memjax.recipes.corpora import Babi, Corpus, Simulation, Splits, load_splits, load_test
from memjax.recipes.progress import progress
from memjax.recipes.train import Trained, evaluate, load, train

__all__ = [
    "ADAPTIVE",
    "PAPER",
    "RECIPES",
    "Answerer",
    "AnsweringConfig",
    "Babi",
    "Corpus",
    "Reply",
    "Simulation",
    "Splits",
    "Support",
    "Trained",
    "evaluate",
    "load",
    "load_splits",
    "load_test",
    "progress",
    "train",
]
