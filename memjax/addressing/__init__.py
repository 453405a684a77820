# SPDX-License-Identifier: Apache-2.0
"""O, the output feature map: hops over a memory, each finding one supporting memory.

A hop scores every slot, selects one, and follows it: what was found joins the query of the next hop. Score, selection
and following are functions that the caller passes, so one engine serves every model. `hard_hops` keeps one chain,
`beam_hops` several side by side.
"""

from memjax.addressing._beam import beam_hops
from memjax.addressing._hops import Hops, hard_hops
from memjax.addressing._select import prefer_highest, prefer_in_time_order, select_highest, select_in_time_order

__all__ = [
    "Hops",
    "beam_hops",
    "hard_hops",
    "prefer_highest",
    "prefer_in_time_order",
    "select_highest",
    "select_in_time_order",
]
