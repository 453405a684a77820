# SPDX-License-Identifier: Apache-2.0
"""Corpora: what was told and asked, as text and as padded NumPy arrays.

`memjax.data.babi` and `memjax.data.simulation` give lists of `Example`; `encode` turns them into `Stories` with the
token ids of a `Vocabulary`. `memjax.data.streams` holds words told without a break. `memjax.data.ptb`,
`memjax.data.sst` and `memjax.data.snli` give lists of words, which `encode_sequences` and `plan_batches` turn into
batches of few shapes; `read_vectors` reads vectors of the words. `memjax.data.builders` wraps corpora as TFDS builders;
it imports tensorflow_datasets, so it is not imported here.
"""

from memjax.data.conversations import CandidateArrays, Conversations, DialogEncoder
from memjax.data.dialog import ApiCall, Dialog, Restaurants
from memjax.data.prompts import Prompts, encode_prompts, encode_replies, reply_words
from memjax.data.sequences import (
    Batch,
    Buckets,
    Sequences,
    Windows,
    bucket_lengths,
    encode_sequences,
    next_words,
    padding_share,
    plan_batches,
    running_text,
    windows,
)
from memjax.data.stories import Example, Stories, encode, token_lists, tokenize
from memjax.data.topics import Topics
from memjax.data.variables import bind, function_words, substitute, variables_of
from memjax.data.vectors import Vectors, read_vectors, vector_words
from memjax.data.vocabulary import Vocabulary

__all__ = [
    "ApiCall",
    "Batch",
    "Buckets",
    "CandidateArrays",
    "Conversations",
    "Dialog",
    "DialogEncoder",
    "Example",
    "Prompts",
    "Restaurants",
    "Sequences",
    "Stories",
    "Topics",
    "Vectors",
    "Vocabulary",
    "Windows",
    "bind",
    "bucket_lengths",
    "encode",
    "encode_prompts",
    "encode_replies",
    "encode_sequences",
    "function_words",
    "next_words",
    "padding_share",
    "plan_batches",
    "running_text",
    "read_vectors",
    "reply_words",
    "substitute",
    "token_lists",
    "tokenize",
    "variables_of",
    "vector_words",
    "windows",
]
