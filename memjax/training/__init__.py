# SPDX-License-Identifier: Apache-2.0
"""Training: batches, losses of models, steps, epochs, evaluation."""

from memjax.training.batches import StoryBatch
from memjax.training.evaluation import Predictions, accuracy, predict
from memjax.training.facts import FactBatch, Facts, make_facts_loss
from memjax.training.ranking import make_memnn_loss
from memjax.training.state import TrainState, create_state, make_epoch, make_step, with_params

__all__ = [
    "FactBatch",
    "Facts",
    "Predictions",
    "StoryBatch",
    "TrainState",
    "accuracy",
    "create_state",
    "make_epoch",
    "make_facts_loss",
    "make_memnn_loss",
    "make_step",
    "predict",
    "with_params",
]
