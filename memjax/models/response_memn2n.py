# SPDX-License-Identifier: Apache-2.0
"""The end-to-end Memory Network for dialogs: its memory is what was said, its answer one of many responses."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax.typing import DTypeLike

from memjax import _checks
from memjax.addressing import SoftHops, soft_hops, sums_at
from memjax.memory import Memory
from memjax.scoring import inner_product
from memjax.typing import NUM_SPECIAL, Array

#: What a slot's place in the dialog is counted from: its begin, or now; or slots have none.
Places = Literal["none", "index", "age"]
PLACES = ("none", "index", "age")


@struct.dataclass
class Candidates:
    """C responses to choose from, and the E entities of a knowledge base.

    Attributes:
        tokens: token ids; 0 = padding.
        entities: which entities a response names; -1 = none.
        types: the type of each entity.
    """

    tokens: Array  # int32 [C, S]
    entities: Array  # int32 [C, J]
    types: Array  # int32 [E]


@struct.dataclass
class Response:
    """What is said next.

    Attributes:
        scores: of each candidate.
        hops: how much of each slot was read at each hop, and the last query.
    """

    scores: Array  # [C]
    hops: SoftHops


class ResponseMemN2N(nnx.Module):
    """Reads a dialog hop after hop, and scores every response that it could give.

    Memory slots are m_i = A Phi(c_i), with a word for the speaker and one for the place in Phi; the query is q_1 = A
    Phi of the user's last utterance. A hop reads p = softmax(q^T m_i) and goes on with q + R sum_i p_i m_i; response y
    scores q^T W Phi(y). With `num_types`, an entity of a knowledge base that is in a response and also in the memory
    or in the last utterance adds the word of its type to the response (match type features).

    Args:
        num_words: the words of the vocabulary, the speakers' among them.
        features: d, size of the embeddings.
        hops: N.
        num_types: types of entities; 0: entities are words like all others.
        places: the word for the place of an utterance is that of its index from the begin, of its age, or missing.
        num_places: T; what is further away shares the last word.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is too small, or there is no such way to count places.

    Example:
        >>> from memjax.memory import empty, write
        >>> model = ResponseMemN2N(9, 4, rngs=nnx.Rngs(0))
        >>> told = model.embed(jnp.array([2, 3, 0]))
        >>> memory = write(empty(8, told, jnp.int32(0)), told, jnp.int32(0))
        >>> candidates = Candidates(jnp.array([[4, 0], [5, 6]]), jnp.full((2, 1), -1), jnp.zeros(0, jnp.int32))
        >>> model(jnp.array([2, 7, 8]), memory, candidates).scores.shape
        (2,)

    Reference: Bordes, Boureau and Weston 2017, "Learning End-to-End Goal-Oriented Dialog", section 4.4 (match type
    features) and appendix A; Sukhbaatar et al. 2015, section 2.
    Departs from the paper: `places="age"`; unknown words are zeros in A and W; an entity that a response names counts
    once, whatever its type; the last utterance has a word for the speaker and none for its place, which is open.
    """

    def __init__(
        self,
        num_words: int,
        features: int = 64,
        *,
        hops: int = 3,
        num_types: int = 0,
        places: Places = "index",
        num_places: int = 1000,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        for name, size in {
            "num_words": num_words,
            "features": features,
            "hops": hops,
            "num_places": num_places,
        }.items():
            _checks.positive(name, size)
        _checks.one_of("places", places, PLACES)
        if num_types < 0:
            raise ValueError(f"num_types: expected at least 0, got {num_types}")
        self.hops = hops
        self.places = places

        def rows(size: int) -> nnx.Param:
            return nnx.Param(0.1 * jax.random.normal(rngs.params(), (size, features), param_dtype))

        self.words = rows(num_words)  # A
        self.response_words = rows(num_words)  # W
        self.follow = nnx.Param(jnp.eye(features, dtype=param_dtype))  # R
        self.place_words = None if places == "none" else rows(num_places)  # columns of A
        self.type_words = rows(num_types) if num_types else None  # columns of W

    def embed(self, tokens: Array) -> Array:
        """A Phi(c), without a place.

        Args:
            tokens: int `[..., S]`, ids; padding and unknown words add nothing.

        Returns:
            `[..., D]`.
        """
        return _bag(self.words[...], tokens)

    def read(self, question: Array, memory: Memory, where: Array | None = None, now: Array | None = None) -> SoftHops:
        """Reads a memory of embedded utterances.

        The turns of one dialog can share a memory of all that is said in it: lifted over `question`, `where` and `now`,
        with `in_axes=None` for the memory, slots are embedded and placed once, not once a turn.

        Args:
            question: `[D]`, q_1, the last utterance embedded.
            memory: N slots with keys of `embed`; values are not used.
            where: bool `[N]`, slots that may be read; all valid ones by default.
            now: int, utterances told before the question, which ages are counted from; `memory.count` by default.
        """
        hops = soft_hops(
            self._query(question),
            self._placed(memory, memory.count if now is None else now),
            hops=self.hops,
            score_fn=_score,
            follow_fn=lambda query, read, hop: self._query(query["vector"] + self.follow[...] @ read),
            read_fn=self._read,
            where=where,
        )
        return dataclasses.replace(hops, query=hops.query["vector"])

    def respond(self, queries: Array, candidates: Candidates, present: Array | None = None) -> Array:
        """q^T W Phi(y) of every response y, each embedded once whatever the number of queries.

        Args:
            queries: `[B, D]`, the last queries.
            candidates: C responses.
            present: bool `[E, B]`, entities that are in the memory or in the last utterance; none by default.

        Returns:
            `[B, C]`.
        """
        scores = queries @ _bag(self.response_words[...], candidates.tokens).T  # [B, C]
        if self.type_words is None or present is None or not candidates.types.shape[0]:
            return scores
        of_types = (self.type_words[...] @ queries.T)[candidates.types]  # [E, B]
        of_entities = jnp.where(present, of_types, jnp.zeros((), of_types.dtype))
        # Entities first: a row is copied for each that a response names, not a number for each query.
        named = _rows(of_entities, candidates.entities).sum(axis=1)  # [C, B]
        return scores + named.T

    def __call__(
        self,
        question: Array,
        memory: Memory,
        candidates: Candidates,
        present: Array | None = None,
        where: Array | None = None,
    ) -> Response:
        """Scores the responses to an utterance.

        Args:
            question: int `[S]`, token ids of the user's last utterance.
            memory: what was said before; see `read`.
            candidates: C responses.
            present: bool `[E]`, entities that are in the memory or in the question; none by default.
            where: bool `[N]`, slots that may be read; all valid ones by default.

        Returns:
            Scores and what was read. Of an empty memory zeros are read.
        """
        hops = self.read(self.embed(question), memory, where)
        present = None if present is None else present[:, None]
        return Response(self.respond(hops.query[None], candidates, present)[0], hops)

    def _placed(self, memory: Memory, now: Array) -> Memory:
        """The memory with the words for places: in the keys, or beside them where they change from turn to turn."""
        keys = {"vector": memory.keys}
        if self.place_words is not None:
            farthest = self.place_words.shape[0] - 1
            if self.places == "index":
                words = self.place_words[...][jnp.clip(memory.times, 0, farthest)]
                keys = {"vector": memory.keys + words}
            else:
                keys["place"] = jnp.clip(now - 1 - memory.times, 0, farthest)
        return dataclasses.replace(memory, keys=keys, values=keys)

    def _query(self, vector: Array) -> dict[str, Array]:
        """q, and what it gives to each place."""
        query = {"vector": vector}
        if self.place_words is not None and self.places == "age":
            query["places"] = self.place_words[...] @ vector  # [T]
        return query

    def _read(self, weights: Array, memory: Memory, hop: int) -> Array:
        """sum_i p_i m_i, those of one place summed before they are weighed."""
        keys = memory.keys
        read = weights @ keys["vector"]
        if "place" not in keys:
            return read
        assert self.place_words is not None
        places = sums_at(weights, keys["place"], self.place_words.shape[0])
        return read + places @ self.place_words[...]


def _score(query: dict[str, Array], key: dict[str, Array], hop: int) -> Array:
    score = inner_product(query["vector"], key["vector"])
    return score + query["places"][key["place"]] if "place" in key else score


def _rows(table: Array, rows: Array) -> Array:
    """Rows of a table `[..., D]`; zeros, without a gradient, for those outside of it."""
    rows = jnp.where(rows < 0, table.shape[0], rows)
    return table.at[rows].get(mode="fill", fill_value=0)


def _bag(table: Array, tokens: Array) -> Array:
    """The sum `[..., D]` of the words of tokens `[..., S]`."""
    return _rows(table, tokens - NUM_SPECIAL).sum(axis=-2)
