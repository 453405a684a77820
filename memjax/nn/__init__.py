# SPDX-License-Identifier: Apache-2.0
"""Flax NNX layers."""

from memjax.nn.dictionaries import Dictionaries

__all__ = ["Dictionaries"]
