# SPDX-License-Identifier: Apache-2.0
"""Training: batches, losses of models, steps, epochs, evaluation; arrays saved and loaded."""

from memjax.training.batches import NarrowStories, StoryBatch
from memjax.training.checkpoints import load_pytree, save_pytree
from memjax.training.dialogs import (
    DialogBatch,
    make_dialog_loss,
    predict_responses,
    response_accuracy,
    response_scores,
)
from memjax.training.end_to_end import (
    CountedStories,
    answer_stories,
    insert_blanks,
    make_end_to_end_loss,
    measure_end_to_end,
)
from memjax.training.evaluation import Predictions, accuracy, predict
from memjax.training.facts import FactBatch, Facts, make_facts_loss
from memjax.training.key_value import (
    KeyValueAnswers,
    KeyValueBatch,
    answer_key_values,
    make_key_value_loss,
    read_questions,
)
from memjax.training.labels import (
    FirstUpdates,
    LabelledBatch,
    PairBatch,
    make_label_loss,
    measure_labels,
    scale_first_updates,
)
from memjax.training.language import (
    TextBatch,
    TextStream,
    make_language_loss,
    make_window_steps,
    make_window_sums,
    measure_language,
)
from memjax.training.planned import Plan, make_planned_steps, make_planned_sums
from memjax.training.ranking import make_memnn_loss
from memjax.training.scenes import SceneBatch, answer_scenes, make_scene_loss, measure_scenes
from memjax.training.segments import SegmentBatch, make_segment_loss
from memjax.training.sentences import (
    ReplyBatch,
    SpokenStories,
    is_right,
    make_reply_loss,
    make_sentence_memnn_loss,
    reply_accuracy,
    sentence_accuracy,
)
from memjax.training.state import TrainState, create_state, make_epoch, make_step, with_params

__all__ = [
    "CountedStories",
    "DialogBatch",
    "FactBatch",
    "Facts",
    "KeyValueAnswers",
    "KeyValueBatch",
    "NarrowStories",
    "FirstUpdates",
    "LabelledBatch",
    "PairBatch",
    "Plan",
    "Predictions",
    "ReplyBatch",
    "SceneBatch",
    "answer_scenes",
    "make_scene_loss",
    "measure_scenes",
    "SegmentBatch",
    "SpokenStories",
    "StoryBatch",
    "TextBatch",
    "TextStream",
    "TrainState",
    "accuracy",
    "answer_key_values",
    "answer_stories",
    "create_state",
    "insert_blanks",
    "is_right",
    "load_pytree",
    "make_end_to_end_loss",
    "make_dialog_loss",
    "make_epoch",
    "make_facts_loss",
    "make_key_value_loss",
    "make_label_loss",
    "make_language_loss",
    "make_memnn_loss",
    "make_planned_steps",
    "make_planned_sums",
    "make_reply_loss",
    "make_sentence_memnn_loss",
    "make_segment_loss",
    "make_step",
    "make_window_steps",
    "make_window_sums",
    "measure_end_to_end",
    "measure_labels",
    "measure_language",
    "predict",
    "predict_responses",
    "read_questions",
    "reply_accuracy",
    "response_accuracy",
    "response_scores",
    "save_pytree",
    "scale_first_updates",
    "sentence_accuracy",
    "with_params",
]
