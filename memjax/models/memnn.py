# SPDX-License-Identifier: Apache-2.0
"""The Memory Network for text."""

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax.typing import DTypeLike

from memjax.addressing import Hops
from memjax.encoding import bag_of_places, bag_of_words
from memjax.memory import Memory
from memjax.memory import gather as gather_slots
from memjax.models.output_map import OutputMap
from memjax.models.responders import WordResponder
from memjax.nn import EmbeddingForm, ExactMatch
from memjax.scoring import TimeForm
from memjax.typing import Array, SearchFn


@struct.dataclass
class Answer:
    """What a Memory Network answers.

    Attributes:
        words: token ids; padding after the end of the answer.
        hops: the supporting memories and all scores.
    """

    words: Array  # int32 [A]
    hops: Hops


class MemNN(nnx.Module):
    """A Memory Network: I and G are bags of words in slots, O is `output`, R is `response`.

    F below is the number of features: W, and with n-grams those too, or P_sz W with the form `"multilinear"`.

    Args:
        num_words: W, the words of the vocabulary, all of which may be answers.
        features: n, size of the embeddings.
        hops: k; with `adaptive` the cap on the number of hops.
        time: time features, or `"none"`.
        adaptive: adaptive memory, a learned stop slot.
        exclude_found: whether a memory can be found once only.
        max_words: of an answer.
        last_support: whether R knows which memory was found last.
        num_ngrams: n-grams of the vocabulary, whose token ids follow those of the words (NG).
        form: of the embedding: `"linear"`; `"nonlinear"` (NL); or `"multilinear"`.
        places: P_sz, of the form `"multilinear"`.
        exact_match: what words in both x and y add to s(x, y), in O and in R: nothing, a weight (`"lambda"`), or a
            feature of each word (`"features"`).
        contexts: hold dictionaries for words never met; see `with_unseen`.
        beam: chains of hops that are followed side by side; 1 is the paper's.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, or there is no such form of time features, embedding or match.

    Example:
        >>> from memjax.memory import empty, write
        >>> model = MemNN(num_words=6, features=8, rngs=nnx.Rngs(0))
        >>> sentence = jnp.array([2, 3, 4])
        >>> memory = write(empty(4, model.embed(sentence), sentence), model.embed(sentence), sentence)
        >>> answer = model(jnp.array([5, 2]), memory)
        >>> answer.hops.slots
        Array([ 0, -1], dtype=int32)
        >>> answer.words.shape
        (1,)

    Reference: Weston et al. 2015, section 3; Weston et al. 2016 (bAbI), appendix A.2.
    Departs from the paper: see `OutputMap` and `memjax.models.WordResponder`.
    """

    def __init__(
        self,
        num_words: int,
        features: int = 100,
        *,
        hops: int = 2,
        time: TimeForm = "signed",
        adaptive: bool = False,
        exclude_found: bool = True,
        max_words: int = 1,
        last_support: bool = True,
        num_ngrams: int = 0,
        form: EmbeddingForm = "linear",
        places: int = 1,
        exact_match: ExactMatch = "none",
        contexts: bool = False,
        beam: int = 1,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.num_words = num_words
        self.num_features = num_words + num_ngrams
        self.places = places if form == "multilinear" else 0
        self.output = OutputMap(
            num_words + num_ngrams,
            features,
            hops=hops,
            time=time,
            adaptive=adaptive,
            exclude_found=exclude_found,
            form=form,
            places=places,
            exact_match=exact_match,
            contexts=contexts,
            beam=beam,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self.response = WordResponder(
            num_words,
            features,
            max_words=max_words,
            last_support=last_support,
            num_ngrams=num_ngrams,
            form=form,
            places=places,
            exact_match=exact_match,
            contexts=contexts,
            param_dtype=param_dtype,
            rngs=rngs,
        )

    def features(self, tokens: Array) -> Array:
        """I: the features `[F]` of a sentence `[S]` of token ids: a bag of its words, or a bag for each place."""
        dtype = self.output.words.weights.dtype
        if self.places:
            return bag_of_places(tokens, self.num_features, self.places, dtype)
        return bag_of_words(tokens, self.num_features, dtype)

    def with_unseen(self, unseen: Array, bags: Array) -> "MemNN":
        """The model as it takes words for those it never met: by the words around them.

        Args:
            unseen: bool `[F]`.
            bags: `[2, F, F]`, of `memjax.encoding.context_bags`.

        Returns:
            A model whose dictionaries, in O and in R, hold for unseen words what
            `memjax.nn.Dictionaries.with_unseen` says. Keys have to be embedded with it.

        Raises:
            ValueError: if the model was made without `contexts`.

        Reference: Weston et al. 2015, sections 3.5 and 3.6.
        """
        model: MemNN = nnx.clone(self)
        model.output.words = self.output.words.with_unseen(unseen, bags)
        model.response.words = self.response.words.with_unseen(unseen, bags)
        return model

    def narrowed(self, features: Array) -> "MemNN":
        """The model over some of its features, for sentences that have no others: what it answers is the same.

        Args:
            features: int `[F']`, which; the first W are 0 to W - 1, since every word may be an answer.

        Returns:
            A model for token ids that are `NUM_SPECIAL` + a place in `features`.
        """
        model: MemNN = nnx.clone(self)
        model.num_features = features.shape[0]
        model.output.words = self.output.words.narrowed(features)
        model.response.words = self.response.words.narrowed(features)
        return model

    def embed(self, tokens: Array) -> dict[str, Array]:
        """The key under which a sentence is stored.

        Args:
            tokens: int `[S]`.

        Returns:
            `{"candidate": [n], "support": [n]}`. It grows stale when the parameters change.
        """
        return self.output.embed_memory(self.features(tokens))

    def __call__(
        self, question: Array, memory: Memory, where: Array | None = None, search: SearchFn | None = None
    ) -> Answer:
        """Answers one question.

        Args:
            question: int `[S]`, token ids.
            memory: N slots with keys of `embed` and the sentences' token ids `[S]` as values.
            where: bool `[N]`, slots that may be found; all valid ones by default.
            search: of `memjax.search`, with `keys_fn=candidates_of`; every slot is scored without one.

        Returns:
            The answer's words and the memories behind it.
        """
        bag = self.features(question)
        hops = self.output(bag, memory, where, search, None if search is None else question)
        supports = jax.vmap(self.features)(gather_slots(memory, hops.slots).values)  # [P, F]
        return Answer(words=self.response(bag, supports, hops.slots >= 0), hops=hops)
