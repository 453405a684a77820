# SPDX-License-Identifier: Apache-2.0
"""From a configuration to a trained model to use."""

from memjax.recipes.answerer import Answerer, Reply, Support, load_answering
from memjax.recipes.baseline import TrainedBaseline, train_baseline
from memjax.recipes.bot import Bot, BotReply, ReadUtterance, find_restaurants
from memjax.recipes.config import (
    ADAPTIVE,
    PAPER,
    RECIPES,
    STRONGEST,
    AnsweringConfig,
    BaselineConfig,
    KnowledgeConfig,
)
from memjax.recipes.corpora import (
    Babi,
    BabiTasks,
    Corpus,
    DialogBabi,
    MetaQA,
    Simulation,
    Splits,
    Tasks,
    load_splits,
    load_test,
    splits_of,
)
from memjax.recipes.dialog_config import DialogConfig
from memjax.recipes.dialogs import TrainedDialogs, evaluate_dialogs, load_dialogs, train_dialogs
from memjax.recipes.end_to_end import (
    TrainedEndToEnd,
    evaluate_end_to_end,
    load_end_to_end,
    train_end_to_end,
)
from memjax.recipes.end_to_end_config import END_TO_END_RECIPES, EndToEndConfig
from memjax.recipes.image_config import IMAGE_RECIPES, ImageConfig, SortOfClevr
from memjax.recipes.images import TrainedImages, evaluate_images, load_images, train_images
from memjax.recipes.key_value import TrainedKeyValue, load_key_value, train_key_value
from memjax.recipes.key_value_config import KEY_VALUE_RECIPES, KeyValueConfig
from memjax.recipes.key_value_reader import KeyValueReader, KeyValueReply, evaluate_key_value, measure_key_value
from memjax.recipes.knowledge import TrainedKnowledge, load_knowledge, train_knowledge
from memjax.recipes.knowledge_base import KnowledgeBase, KnowledgeReply, evaluate_knowledge, measure_knowledge
from memjax.recipes.labeller import Label, Labeller
from memjax.recipes.labelling import TrainedLabeller, evaluate_labeller, load_labeller, train_labeller
from memjax.recipes.language import (
    TrainedLanguageModel,
    evaluate_language_model,
    load_language_model,
    train_language_model,
)
from memjax.recipes.listener import Heard, Listener
from memjax.recipes.observer import Observer, Sight
from memjax.recipes.progress import progress
from memjax.recipes.reader import Reader, ScoredWords
from memjax.recipes.reading_config import (
    MEMN2N_LANGUAGE,
    MODERN_INFERENCE,
    MODERN_LANGUAGE,
    MODERN_SENTIMENT,
    READING_RECIPES,
    InferenceConfig,
    LabellingConfig,
    LanguageConfig,
    SentimentConfig,
)
from memjax.recipes.texts import SNLI, SST, LabelledTexts, PennTreebank, TextFiles
from memjax.recipes.train import Trained, evaluate, load, train

__all__ = [
    "ADAPTIVE",
    "END_TO_END_RECIPES",
    "EndToEndConfig",
    "TrainedEndToEnd",
    "evaluate_end_to_end",
    "load_answering",
    "load_end_to_end",
    "train_end_to_end",
    "PAPER",
    "RECIPES",
    "STRONGEST",
    "Answerer",
    "AnsweringConfig",
    "Babi",
    "BabiTasks",
    "BaselineConfig",
    "Bot",
    "BotReply",
    "Corpus",
    "DialogBabi",
    "DialogConfig",
    "Heard",
    "KEY_VALUE_RECIPES",
    "KeyValueConfig",
    "KeyValueReader",
    "KeyValueReply",
    "TrainedKeyValue",
    "evaluate_key_value",
    "load_key_value",
    "measure_key_value",
    "train_key_value",
    "READING_RECIPES",
    "KnowledgeBase",
    "KnowledgeConfig",
    "KnowledgeReply",
    "Listener",
    "MetaQA",
    "ReadUtterance",
    "Reader",
    "Reply",
    "ScoredWords",
    "Simulation",
    "Splits",
    "Support",
    "Tasks",
    "Trained",
    "TrainedBaseline",
    "TrainedDialogs",
    "TrainedKnowledge",
    "evaluate",
    "evaluate_dialogs",
    "evaluate_knowledge",
    "find_restaurants",
    "load",
    "load_dialogs",
    "load_knowledge",
    "load_splits",
    "load_test",
    "measure_knowledge",
    "progress",
    "splits_of",
    "train",
    "train_baseline",
    "train_dialogs",
    "train_knowledge",
    "TrainedLanguageModel",
    "evaluate_language_model",
    "load_language_model",
    "train_language_model",
    "MODERN_INFERENCE",
    "MEMN2N_LANGUAGE",
    "MODERN_LANGUAGE",
    "MODERN_SENTIMENT",
    "LanguageConfig",
    "PennTreebank",
    "TextFiles",
    "SNLI",
    "SST",
    "InferenceConfig",
    "Label",
    "LabelledTexts",
    "Labeller",
    "LabellingConfig",
    "SentimentConfig",
    "TrainedLabeller",
    "evaluate_labeller",
    "load_labeller",
    "train_labeller",
    "IMAGE_RECIPES",
    "ImageConfig",
    "Observer",
    "Sight",
    "SortOfClevr",
    "TrainedImages",
    "evaluate_images",
    "load_images",
    "train_images",
]
