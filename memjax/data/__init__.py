# SPDX-License-Identifier: Apache-2.0
"""Corpora: what was told and asked, as text and as padded NumPy arrays.

`memjax.data.babi` and `memjax.data.simulation` give lists of `Example`; `encode` turns them into `Stories` with the
token ids of a `Vocabulary`. `memjax.data.streams` holds words told without a break. `memjax.data.builders` wraps the
first two as TFDS builders; it alone imports tensorflow_datasets, so it is not imported here.
"""

from memjax.data.stories import Example, Stories, encode, token_lists, tokenize
from memjax.data.vocabulary import Vocabulary

__all__ = ["Example", "Stories", "Vocabulary", "encode", "token_lists", "tokenize"]
