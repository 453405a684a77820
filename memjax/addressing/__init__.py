# SPDX-License-Identifier: Apache-2.0
"""O, the output feature map: hops over a memory, each finding one supporting memory.

A hop scores every slot, selects one, and follows it: what was found joins the query of the next hop. Score, selection
and following are functions that the caller passes, so one engine serves every model. `hard_hops` keeps one chain,
`beam_hops` several side by side; `soft_hops` selects none, but reads all by their weights.
"""

from memjax.addressing._beam import beam_hops
from memjax.addressing._hops import Hops, hard_hops
from memjax.addressing._rows import row_hops, sums_at
from memjax.addressing._select import prefer_highest, prefer_in_time_order, select_highest, select_in_time_order
from memjax.addressing._soft import SoftHops, read_values, soft_hops, weigh_linear, weigh_softmax

__all__ = [
    "Hops",
    "SoftHops",
    "beam_hops",
    "hard_hops",
    "prefer_highest",
    "prefer_in_time_order",
    "read_values",
    "row_hops",
    "select_highest",
    "select_in_time_order",
    "soft_hops",
    "sums_at",
    "weigh_linear",
    "weigh_softmax",
]
