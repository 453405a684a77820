# SPDX-License-Identifier: Apache-2.0
"""Pictures: what a memory network looked at. Functions return matplotlib figures; nothing is shown or saved here."""

from memjax.plots.attention import attention_arcs, attention_map
from memjax.plots.hops import hop_scores
from memjax.plots.images import image_hops
from memjax.plots.segments import segment_scores

__all__ = ["attention_arcs", "attention_map", "hop_scores", "image_hops", "segment_scores"]
