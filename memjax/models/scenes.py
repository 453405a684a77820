# SPDX-License-Identifier: Apache-2.0
"""Questions about what was seen: soft hops over the cells or the objects of an image, and a baseline without a memory.

An image is encoded once (`see`), a question once (`embed`); `read` answers the one from the other.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jax.typing import DTypeLike

from memjax import _checks
from memjax.addressing import soft_hops, weigh_softmax
from memjax.encoding import grid_slots, slot_memory
from memjax.memory import Memory, valid
from memjax.nn import Embedding, ImageEncoder, _weights
from memjax.typing import Array

#: How far the edges of a grid of cells lie from its middle: places must count beside the many features of a cell.
SPAN = 4.0


@struct.dataclass
class SceneAnswer:
    """What is answered to a question about a scene.

    Attributes:
        scores: of the answers.
        weights: of each slot at each hop; P = 0 of a model without a memory.
    """

    scores: Array  # [C]
    weights: Array  # [P, N]


class _Affine(nnx.Module):
    """x W + b of a vector `[rows]`."""

    def __init__(self, rows: int, columns: int, param_dtype: DTypeLike, rngs: nnx.Rngs):
        self.kernel = _weights.matrix(rngs, rows, columns, nnx.initializers.he_uniform(), param_dtype)
        self.bias = nnx.Param(jnp.zeros(columns, param_dtype))

    def __call__(self, x: Array) -> Array:
        return x @ self.kernel[...] + self.bias[...]


class _Hop(nnx.Module):
    """One hop's score and follow functions. A query is its state, and what the hop before read."""

    def __init__(self, slot_features: int, features: int, score_features: int, param_dtype: DTypeLike, rngs: nnx.Rngs):
        shape, init = (slot_features, score_features), nnx.initializers.lecun_uniform()
        # Half of what is compared is how a slot differs from what was read: where it lies as seen from there.
        difference = init(rngs.params(), shape, param_dtype)
        self.of_key = nnx.Param(difference + init(rngs.params(), shape, param_dtype))
        self.of_read = nnx.Param(-difference)
        self.bias = nnx.Param(jnp.zeros(score_features, param_dtype))
        # What is nearest to an object is the object itself: what was read before scores less from the first step on.
        self.again = nnx.Param(jnp.asarray(-4.0, param_dtype))
        self.weigh = _Affine(features, score_features, param_dtype, rngs)
        self.join = _Affine(features + slot_features, 2 * features, param_dtype, rngs)
        self.update = _weights.matrix(rngs, 2 * features, features, _weights.default_init, param_dtype)

    def score(self, query: dict[str, Array], key: dict[str, Array]) -> Array:
        compared = key["slot"] @ self.of_key[...] + (query["read"] @ self.of_read[...] + self.bias[...])
        return self.weigh(query["state"]) @ jax.nn.relu(compared) + self.again[...] * (query["before"] @ key["place"])

    def follow(self, query: dict[str, Array], read: dict[str, Array]) -> dict[str, Array]:
        joined = jax.nn.relu(self.join(jnp.concatenate([query["state"], read["slot"]])))
        state = query["state"] + joined @ self.update[...]
        return {"state": state, "read": read["slot"], "before": query["before"] + read["place"]}


class SceneReader(nnx.Module):
    """What both models share: I, from a scene to a memory, and from a question to a query.

    Args:
        num_words: W; ids are those of a vocabulary of W words.
        slot_features: F, of a slot.
        features: D, of a query.
        encoder: from pixels to a grid of cells; None for scenes that are objects.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if `slot_features` is below 1, or not what the encoder makes: its features, x and y.
    """

    def __init__(
        self,
        num_words: int,
        slot_features: int,
        features: int,
        *,
        encoder: ImageEncoder | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _weights.check_sizes(slot_features=slot_features)
        if encoder is not None and slot_features != encoder.features + 2:
            raise ValueError(
                f"slot_features: expected {encoder.features + 2}, the encoder's features, x and y, got {slot_features}"
            )
        self.slot_features = slot_features
        self.words = Embedding(num_words, features, scale=1.0, param_dtype=param_dtype, rngs=rngs)
        self.question = _Affine(features, features, param_dtype, rngs)
        self.encoder = nnx.data(encoder)

    def see(self, scene: Array) -> Memory:
        """Encodes a scene.

        Args:
            scene: an image `[H, W, channels]`, for `memjax.nn.ImageEncoder`; without an encoder the slots themselves,
                floats `[N, F]`.

        Returns:
            A memory of N slots `[F]`: its cells (`memjax.encoding.grid_slots`) or objects.

        Raises:
            ValueError: if the scene has another shape or dtype.
        """
        if self.encoder is not None:
            return slot_memory(grid_slots(self.encoder(scene), SPAN))
        _checks.floats("scene", scene, "describe each object by floats, as memjax.encoding.object_slots does")
        return slot_memory(scene)

    def embed(self, question: Array) -> Array:
        """Encodes a question.

        Args:
            question: token ids, int `[S]`, read as a bag of words.

        Returns:
            `[D]`.

        Raises:
            ValueError: if `question` has another rank.
        """
        _checks.rank("question", question, 1, "[S]")
        return jax.nn.relu(self.question(self.words(question).sum(0)))

    def read(self, query: Array, memory: Memory) -> SceneAnswer:
        """Answers a question from a memory."""
        raise NotImplementedError

    def _check_slots(self, memory: Memory) -> None:
        """Raises `ValueError` unless slots have F features."""
        if jnp.shape(memory.values)[1:] != (self.slot_features,):
            raise ValueError(
                f"memory: expected values of shape [N, {self.slot_features}], got {jnp.shape(memory.values)}; use see"
            )

    def __call__(self, question: Array, memory: Memory) -> SceneAnswer:
        """Answers a question.

        Args:
            question: token ids, int `[S]`.
            memory: of `see`.

        Returns:
            Scores of the answers, and where each hop looked.
        """
        return self.read(self.embed(question), memory)


class SceneMemNN(SceneReader):
    """A Memory Network over what was seen: hops that compare each slot with what the hop before read.

    With the state q of the query, the slot o that was read (zeros at first) and a hop's own matrices, a slot k has the
    score (W q + w) . relu(K k + R o + b): what a question is about decides what counts of how k stands to o. The read
    joins the state, q + V relu(U [q, o] + u), and the last state is answered from.

    Args:
        num_words: W; ids are those of a vocabulary of W words.
        num_answers: C.
        slot_features: F, of a slot.
        features: D, of a query.
        hops: P.
        score_features: that a score compares.
        encoder: from pixels to a grid of cells; None for scenes that are objects.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> model = SceneMemNN(6, 10, slot_features=3, rngs=nnx.Rngs(0))
        >>> answer = model(jnp.array([2, 5]), model.see(jnp.ones((4, 3))))
        >>> answer.scores.shape, answer.weights.shape
        ((10,), (3, 4))

    Reference: Sukhbaatar et al. 2015, section 2.2; for questions about images Santoro et al. 2017 (Relation Networks).
    Departs from the papers: the score compares slots with what was read, where the first has an inner product; the
    second adds up a function of all pairs of slots, N^2 of them where hops read P N. Values are the keys, places and
    all: a hop compares slots with where what was read lies.
    """

    def __init__(
        self,
        num_words: int,
        num_answers: int,
        slot_features: int,
        features: int = 64,
        *,
        hops: int = 3,
        score_features: int = 64,
        encoder: ImageEncoder | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _weights.check_sizes(num_answers=num_answers, hops=hops, score_features=score_features)
        super().__init__(num_words, slot_features, features, encoder=encoder, param_dtype=param_dtype, rngs=rngs)
        self.hops = nnx.List(_Hop(slot_features, features, score_features, param_dtype, rngs) for _ in range(hops))
        self.hidden = _Affine(features, 2 * features, param_dtype, rngs)
        self.answers = _Affine(2 * features, num_answers, param_dtype, rngs)

    def read(self, query: Array, memory: Memory) -> SceneAnswer:
        """Answers a question from a memory.

        Args:
            query: `[D]`, of `embed`.
            memory: N slots, of `see`. Of an empty memory zeros are read.

        Returns:
            Scores of the answers, and where each hop looked.

        Raises:
            ValueError: if slots have other features.
        """
        self._check_slots(memory)
        places = jnp.eye(memory.num_slots, dtype=memory.keys.dtype)  # a slot's weight is what is read of its place
        hops = soft_hops(
            {"state": query, "read": jnp.zeros_like(memory.values[0]), "before": jnp.zeros_like(places[0])},
            dataclasses.replace(
                memory,
                keys={"slot": memory.keys, "place": places},
                values={"slot": memory.values, "place": places},
            ),
            hops=len(self.hops),
            weigh_fn=functools.partial(weigh_softmax, nil=1.0),  # how much is read in all tells how many there are
            score_fn=lambda query, key, hop: self.hops[hop].score(query, key),
            follow_fn=lambda query, read, hop: self.hops[hop].follow(query, read),
        )
        return SceneAnswer(self.answers(jax.nn.relu(self.hidden(hops.query["state"]))), hops.weights)


class SceneMLP(SceneReader):
    """The baseline without a memory: all slots side by side, and the question, through two layers of ReLU.

    Args:
        num_words: W; ids are those of a vocabulary of W words.
        num_answers: C.
        num_slots: N, of every memory.
        slot_features: F, of a slot.
        features: D, of a query.
        hidden_features: of both layers.
        encoder: from pixels to a grid of cells; None for scenes that are objects.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> model = SceneMLP(6, 10, num_slots=4, slot_features=3, rngs=nnx.Rngs(0))
        >>> model(jnp.array([2, 5]), model.see(jnp.ones((4, 3)))).scores.shape
        (10,)

    Reference: Santoro et al. 2017 (Relation Networks), section 5.2, CNN + MLP.
    Departs from the paper: it does not state the sizes.
    """

    def __init__(
        self,
        num_words: int,
        num_answers: int,
        num_slots: int,
        slot_features: int,
        features: int = 64,
        *,
        hidden_features: int = 256,
        encoder: ImageEncoder | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _weights.check_sizes(num_answers=num_answers, num_slots=num_slots, hidden_features=hidden_features)
        super().__init__(num_words, slot_features, features, encoder=encoder, param_dtype=param_dtype, rngs=rngs)
        self.num_slots = num_slots
        # Two maps, one of what was seen and one of the question, so that an image is mapped once for all questions.
        self.of_slots = _Affine(num_slots * slot_features, hidden_features, param_dtype, rngs)
        self.of_query = _Affine(features, hidden_features, param_dtype, rngs)
        self.hidden = _Affine(hidden_features, hidden_features, param_dtype, rngs)
        self.answers = _Affine(hidden_features, num_answers, param_dtype, rngs)

    def read(self, query: Array, memory: Memory) -> SceneAnswer:
        """Answers a question from all slots at once.

        Args:
            query: `[D]`, of `embed`.
            memory: N slots, of `see`; empty ones count as zeros.

        Returns:
            Scores of the answers.

        Raises:
            ValueError: if the memory has another number of slots, or slots have other features.
        """
        self._check_slots(memory)
        if memory.num_slots != self.num_slots:
            raise ValueError(f"memory: expected {self.num_slots} slots, got {memory.num_slots}")
        slots = jnp.where(valid(memory)[:, None], memory.values, jnp.zeros((), memory.values.dtype))
        hidden = jax.nn.relu(self.of_slots(slots.reshape(-1)) + self.of_query(query))
        scores = self.answers(jax.nn.relu(self.hidden(hidden)))
        return SceneAnswer(scores, jnp.zeros((0, self.num_slots), scores.dtype))
