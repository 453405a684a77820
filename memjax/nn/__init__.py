# SPDX-License-Identifier: Apache-2.0
"""Flax NNX layers."""

from memjax.nn.dictionaries import Dictionaries, EmbeddingForm, ExactMatch
from memjax.nn.embedding import Embedding
from memjax.nn.fusion import DeepFusion, Fused, FusedAttention, ShallowFusion, SourceAttention
from memjax.nn.image_encoder import ImageEncoder
from memjax.nn.lstm import LSTM
from memjax.nn.lstmn import LSTMN
from memjax.nn.lstmn_cell import LSTMNCell
from memjax.nn.rnn import RNN
from memjax.nn.soft_memory import Activation, Recent, SoftMemory, rectify, remember

__all__ = [
    "LSTM",
    "LSTMN",
    "RNN",
    "Activation",
    "DeepFusion",
    "Dictionaries",
    "Embedding",
    "EmbeddingForm",
    "ExactMatch",
    "Fused",
    "FusedAttention",
    "ImageEncoder",
    "LSTMNCell",
    "Recent",
    "ShallowFusion",
    "SoftMemory",
    "SourceAttention",
    "rectify",
    "remember",
]
