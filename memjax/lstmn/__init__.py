# SPDX-License-Identifier: Apache-2.0
"""The Long Short-Term Memory-Network: an LSTM whose memory is a tape, read by intra-attention at every step."""

from memjax.lstmn._cell import Weights, intra_attention, query, update_cell
from memjax.lstmn._lstm import lstm_scan
from memjax.lstmn._rnn import rnn_scan
from memjax.lstmn._scan import GRADIENTS, tape_attention, tape_scan
from memjax.lstmn._sequence import keep
from memjax.lstmn._source import SourceWeights, source_attention, source_scan
from memjax.lstmn._tape import Ring, Steps, Tape, advance, empty_tape, ring_step, to_ring

__all__ = [
    "GRADIENTS",
    "Ring",
    "SourceWeights",
    "Steps",
    "Tape",
    "Weights",
    "advance",
    "empty_tape",
    "intra_attention",
    "keep",
    "lstm_scan",
    "query",
    "ring_step",
    "rnn_scan",
    "source_attention",
    "source_scan",
    "tape_attention",
    "tape_scan",
    "to_ring",
    "update_cell",
]
