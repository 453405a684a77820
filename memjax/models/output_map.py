# SPDX-License-Identifier: Apache-2.0
"""O of the Memory Network for text: the hops over a memory."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax.typing import DTypeLike

from memjax import _checks
from memjax.addressing import (
    Hops,
    beam_hops,
    hard_hops,
    prefer_highest,
    prefer_in_time_order,
    select_highest,
    select_in_time_order,
)
from memjax.encoding import bag_of_words
from memjax.memory import Memory
from memjax.nn import Dictionaries, EmbeddingForm, ExactMatch
from memjax.scoring import NUM_TIME_FEATURES, TimeForm, inner_product
from memjax.search import Hits, Queries
from memjax.typing import NUM_SPECIAL, Array, SearchFn

#: The cap on the number of hops with adaptive memory: Weston et al. 2016 (bAbI), appendix A.2.
MAX_ADAPTIVE_HOPS = 10


@struct.dataclass
class HopScores:
    """Scores of every candidate at every hop, each hop given the right memories before it.

    Attributes:
        slots: s_O([x, m_o1, .., m_o(p-1)], m_i).
        stop: the same for the stop slot; None without one.
        time_weights: the score of each time feature.
    """

    slots: Array  # [P, N]
    stop: Array | None  # [P]
    time_weights: Array  # [P, F]


def candidates_of(keys: dict[str, Array]) -> Array:
    """The part of a key of `MemNN.embed` that is searched, for `keys_fn` of `memjax.search`."""
    return keys["candidate"]


class OutputMap(nnx.Module):
    """O: finds k supporting memories, with write time.

    Args:
        num_words: W.
        features: n, size of the embeddings.
        hops: k; with `adaptive` the cap on the number of hops.
        time: time features of the triple score s(x, y, y'), or `"none"`: argmax of s(x, y).
        adaptive: a learned stop slot m_0 ends the chain.
        exclude_found: whether a memory can be found once only.
        form: of the embedding, see `memjax.nn.Dictionaries`.
        places: of the form `"multilinear"`.
        exact_match: what words of a memory that are in the query too add to its score.
        contexts: hold dictionaries for words never met.
        beam: chains of hops that are followed side by side.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, or there is no such form of time features, embedding or match.

    Example:
        >>> from memjax.memory import empty
        >>> output = OutputMap(5, 4, rngs=nnx.Rngs(0))
        >>> key = output.embed_memory(jnp.ones(5))
        >>> output(jnp.ones(5), empty(3, key, jnp.int32(0))).slots
        Array([-1, -1], dtype=int32)

    Reference: Weston et al. 2015, sections 3.1 and 3.4 to 3.6; Weston et al. 2016 (bAbI), appendix A.2.
    Departs from the paper: `time="signed"` (see `memjax.scoring.time_preference`) and `exclude_found`.
    """

    def __init__(
        self,
        num_words: int,
        features: int,
        *,
        hops: int = 2,
        time: TimeForm = "signed",
        adaptive: bool = False,
        exclude_found: bool = True,
        form: EmbeddingForm = "linear",
        places: int = 1,
        exact_match: ExactMatch = "none",
        contexts: bool = False,
        beam: int = 1,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _checks.positive("hops", hops)
        _checks.positive("beam", beam)
        self.beam = beam
        _checks.one_of("time", time, NUM_TIME_FEATURES)
        self.hops = hops
        self.time = time
        self.adaptive = adaptive
        self.exclude_found = exclude_found
        self.words = Dictionaries(
            num_words,
            features,
            ("question", "support", "candidate"),
            form=form,
            places=places,
            exact_match=exact_match,
            contexts=contexts,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self.matches_words = exact_match != "none"

        def rows(*shape: int) -> nnx.Param:
            return nnx.Param(0.1 * jax.random.normal(rngs.params(), shape, param_dtype))

        self.time_rows = None if time == "none" else rows(NUM_TIME_FEATURES[time], features)  # [F, n]
        self.stop = rows(features) if adaptive else None  # [n]

    def embed_memory(self, bag: Array) -> dict[str, Array]:
        """The key of a slot: its embedding as a candidate, and as a part of a query once it is found.

        Args:
            bag: `[..., F]`, features of the sentence.

        Returns:
            `{"candidate": [..., n], "support": [..., n]}`: E(y), and U Phi.
        """
        candidate = self.words.activate(self.words.embed("candidate", bag))
        return {"candidate": candidate, "support": self.words.embed("support", bag)}

    def time_weights(self, query: Array) -> Array:
        """Phi_x^T U^T U Phi_t for each time feature.

        Args:
            query: `[..., n]`, an embedded query.

        Returns:
            `[..., F]`.
        """
        if self.time_rows is None:
            return jnp.zeros((*query.shape[:-1], 0), query.dtype)
        return query @ self.time_rows[...].T

    def stop_score(self, query: Array) -> Array | None:
        """The score of the stop slot, `[...]` for a query `[..., n]`; None without one."""
        return None if self.stop is None else query @ self.stop[...]

    def __call__(
        self,
        question: Array,
        memory: Memory,
        where: Array | None = None,
        search: SearchFn | None = None,
        words: Array | None = None,
    ) -> Hops:
        """Finds the supporting memories of a question.

        Args:
            question: `[F]`, features of x.
            memory: N slots, with keys of `embed_memory`; for exact matches, and for a search that hashes words, with
                the statements' token ids `[S]` as values.
            where: bool `[N]`, slots that may be found; all valid ones by default.
            search: of `memjax.search`, with `keys_fn=candidates_of`; None scores every slot. A hop selects among its
                hits, of which there are at least `hops` with `exclude_found`.
            words: int `[S']`, the question's token ids, for a search that hashes them; the words of what was found
                join them from hop to hop.

        Returns:
            Slots and scores; P = `hops`.

        Raises:
            ValueError: if there is a search, and words are to match exactly or there is more than one chain.
        """
        if search is not None and (self.matches_words or self.beam > 1):
            raise ValueError(
                "search: expected None for a model with exact_match, whose score is no inner product, or with a beam"
            )
        weights = lambda query: self.time_weights(query["vector"])  # noqa: E731
        select = select_highest if self.time == "none" else select_in_time_order(self.time, weights)
        keys = dict(memory.keys)
        if words is not None:
            size = max(words.shape[0], memory.values.shape[1])
            fit = lambda ids: jnp.pad(ids, [(0, 0)] * (ids.ndim - 1) + [(0, size - ids.shape[-1])])  # noqa: E731
            keys["words"] = fit(memory.values)
            start = jnp.zeros((self.hops, size), words.dtype).at[0].set(fit(words))
        elif self.matches_words:
            keys["words"] = memory.values
        memory = dataclasses.replace(memory, keys=keys)

        def query_of(parts: Array, bag: Array | None, ids: Array | None) -> dict[str, Array]:
            """The query, and what the next one is made of."""
            query = {"parts": parts, "vector": self.words.activate(parts)}
            if ids is not None:
                query["words"] = ids
            if bag is not None:
                query["bag"] = bag
                query["exact"] = jnp.append(jnp.zeros(NUM_SPECIAL, bag.dtype), self._exact(query["vector"], bag))
            return query

        def follow(query: dict[str, Array], key: dict[str, Array]) -> dict[str, Array]:
            ids, bag = query.get("words"), query.get("bag")
            if ids is not None:
                ids = jnp.roll(ids, 1, axis=0).at[0].set(key["words"])
            if bag is not None:
                bag = bag + bag_of_words(key["words"], bag.shape[0], bag.dtype)
            return query_of(query["parts"] + key["support"], bag, ids)

        def score(query: dict[str, Array], key: dict[str, Array]) -> Array:
            inner = inner_product(query["vector"], key["candidate"])
            if not self.matches_words:
                return inner
            return inner + query["exact"].at[key["words"]].get(mode="fill", fill_value=0).sum()

        def search_one(query: dict[str, Array], memory: Memory, where: Array | None) -> Hits:
            assert search is not None
            ids = None if words is None else query["words"].reshape(1, -1)
            return search(Queries(query["vector"][None], ids), memory, where)

        query = query_of(
            self.words.embed("question", question),
            question if self.matches_words else None,
            None if words is None else start,
        )
        stop = lambda query: self.stop_score(query["vector"])  # noqa: E731
        finding = partial(hard_hops, search_fn=None if search is None else search_one)
        if self.beam > 1:
            prefer = prefer_highest if self.time == "none" else prefer_in_time_order(self.time, weights)
            finding = partial(beam_hops, width=self.beam, prefer_fn=prefer)
        return finding(
            query,
            memory,
            hops=self.hops,
            score_fn=score,
            follow_fn=follow,
            select_fn=select,
            stop_fn=stop,
            exclude_found=self.exclude_found,
            where=where,
        )

    def _exact(self, vector: Array, bag: Array) -> Array:
        exact = self.words.match_exactly(vector, bag)
        assert exact is not None
        return exact

    def score_hops(
        self, question: Array, chain: Array, rows: Array, sentences: Array, candidates: Array | None
    ) -> HopScores:
        """Scores every memory at each hop of a known chain (teacher forcing).

        Each different sentence is scored once, and slots look their sentence up: under `jax.vmap` over questions, no
        array grows with questions, slots and features together.

        Args:
            question: `[F]`, features of x.
            chain: `[P, F]`, features of the right memory at each hop; hop p is given those before it.
            rows: int `[N]`, the row of `sentences` that each slot holds.
            sentences: `[M, F]`, features of the different sentences.
            candidates: `[M, n]`, their embeddings: `embed_memory(sentences)["candidate"]`; None scores words first, and
                sentences as sums of their words. That is less work for linear embeddings of few words.

        Returns:
            The scores at P hops.
        """
        supports = self.words.embed("support", chain)  # [P, n]
        before = jnp.cumsum(supports, axis=0) - supports
        queries = self.words.activate(self.words.embed("question", question)[None] + before)  # [P, n]
        if candidates is None:
            by_sentence = self.words.match("candidate", queries) @ sentences.T  # [P, M]
        else:
            by_sentence = queries @ candidates.T
        if self.matches_words:
            bags = question[None] + jnp.cumsum(chain, axis=0) - chain  # [P, F]
            by_sentence = by_sentence + self._exact(queries, bags) @ sentences.T
        slots = by_sentence.at[:, rows].get(mode="promise_in_bounds")  # [P, N]
        return HopScores(slots=slots, stop=self.stop_score(queries), time_weights=self.time_weights(queries))
