# SPDX-License-Identifier: Apache-2.0
"""I, the input feature map: from tokens to features, from cells and objects of an image to slots."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from memjax import _checks
from memjax.memory import Memory, empty, write_many
from memjax.typing import NUM_SPECIAL, PAD, Array

#: How the words of a sentence count: all alike, or by their place: as the paper prints it, or as its code has it.
PositionForm = Literal["none", "printed", "released"]


def bag_of_words(tokens: Array, num_words: int, dtype: DTypeLike = jnp.float32) -> Array:
    """Counts each word of a sentence: the features Phi of the paper's text model.

    Unbatched; lift with `jax.vmap` for many sentences. Padding and unknown words count nowhere, so a sentence
    without known words is the zero vector.

    Args:
        tokens: int `[S]`, ids as `memjax.data.Vocabulary` gives them: 0 padding, 1 unknown, then the words.
        num_words: W, the number of words with features of their own.
        dtype: of the result.

    Returns:
        `[W]` of `dtype`, the count of each word.

    Raises:
        ValueError: if `tokens` has another rank, or `num_words` is below 1.

    Example:
        >>> bag_of_words(jnp.array([2, 4, 2, 1, 0]), num_words=3)
        Array([2., 0., 1.], dtype=float32)

    Reference: Weston et al. 2015, section 3.1.
    Departs from the paper: nothing. For bags of n-grams (NG), give n-grams ids of their own, as
    `memjax.data.Vocabulary` does.
    """
    _checks.positive("num_words", num_words)
    _checks.rank("tokens", tokens, 1, "[S]")
    return jax.nn.one_hot(tokens - NUM_SPECIAL, num_words, dtype=dtype).sum(axis=0)  # [W]


def bag_of_places(tokens: Array, num_words: int, places: int, dtype: DTypeLike = jnp.float32) -> Array:
    """Counts each word of a sentence at each place: what the multilinear map embeds.

    Word i of a sentence of l words stands at place ceil(i P / l), i from 1 on. Unknown words take a place and count
    nowhere.

    Args:
        tokens: int `[S]`, ids.
        num_words: W.
        places: P, in which a sentence of any length is divided.
        dtype: of the result.

    Returns:
        `[P W]` of `dtype`, the counts at the first place, then those at the second, and so on.

    Raises:
        ValueError: if `tokens` has another rank, or a size is below 1.

    Example:
        >>> bag_of_places(jnp.array([2, 3, 4, 0]), num_words=3, places=2)
        Array([1., 0., 0., 0., 1., 1.], dtype=float32)

    Reference: Weston et al. 2016 (bAbI), appendix A.2, multilinear map.
    Departs from the paper: nothing.
    """
    _checks.positive("num_words", num_words)
    _checks.positive("places", places)
    _checks.rank("tokens", tokens, 1, "[S]")
    position = jnp.cumsum(tokens != PAD)  # i, of words
    place = -(-position * places // jnp.maximum(position[-1], 1))  # ceil
    words = jax.nn.one_hot(tokens - NUM_SPECIAL, num_words, dtype=dtype)  # [S, W]
    return (jax.nn.one_hot(place - 1, places, dtype=dtype).T @ words).reshape(-1)


def position_bags(
    tokens: Array, num_words: int, form: PositionForm = "printed", longest: int = 1, dtype: DTypeLike = jnp.float32
) -> Array:
    """Counts the words of a sentence in two ways, from which a position encoding is made of any size.

    The weight l_kj of word j in feature k is a sum of two terms, of which one does not depend on k and the other is
    a line in k. So the sentence's embedding is `bags[0] @ A + line * (bags[1] @ A)`, with the line of `position_line`:
    counts that are made once, and a product.

    Args:
        tokens: int `[S]`, ids. Unknown words take a place and count nowhere.
        num_words: W.
        form: `"printed"`, l_kj = (1 - j/J) - (k/d)(1 - 2j/J); `"released"`, 1 + 4 (k - (d+1)/2)(j - (J+1)/2) / (d J),
            as the authors' code has it; or `"none"`, l_kj = 1.
        longest: J of `"released"`, words of the longest sentence or question of the corpus, and one more for their age;
            the printed J is the sentence's own.
        dtype: of the result.

    Returns:
        `[2, W]` of `dtype`.

    Raises:
        ValueError: if `tokens` has another rank, a size is below 1, or there is no such form.

    Example:
        >>> position_bags(jnp.array([2, 3, 0]), num_words=3)
        Array([[0.5, 0. , 0. ],
               [0. , 1. , 0. ]], dtype=float32)

    Reference: Sukhbaatar et al. 2015, section 4.1, position encoding.
    Departs from the paper: `"released"`.
    """
    _checks.positive("num_words", num_words)
    _checks.positive("longest", longest)
    _checks.one_of("form", form, get_args(PositionForm))
    _checks.rank("tokens", tokens, 1, "[S]")
    place = jnp.cumsum(tokens != PAD).astype(dtype)  # j, of words
    size = jnp.maximum(place[-1], 1)
    if form == "none":
        parts = jnp.stack([jnp.ones_like(place), jnp.zeros_like(place)])
    elif form == "printed":
        parts = jnp.stack([1 - place / size, 2 * place / size - 1])
    else:
        parts = jnp.stack([jnp.ones_like(place), 4 * (place - (longest + 1) / 2) / longest])
    return parts @ jax.nn.one_hot(tokens - NUM_SPECIAL, num_words, dtype=dtype)  # [2, W]


def position_line(features: int, form: PositionForm = "printed", dtype: DTypeLike = jnp.float32) -> Array:
    """What the second of `position_bags` is multiplied with in each feature.

    Args:
        features: d.
        form: as of `position_bags`.
        dtype: of the result.

    Returns:
        `[d]`: k/d, or (k - (d+1)/2) / d for `"released"`.

    Example:
        >>> position_line(4)
        Array([0.25, 0.5 , 0.75, 1.  ], dtype=float32)

    Reference: Sukhbaatar et al. 2015, section 4.1.
    """
    _checks.positive("features", features)
    _checks.one_of("form", form, get_args(PositionForm))
    line = jnp.arange(1, features + 1, dtype=dtype)
    return (line - (features + 1) / 2 if form == "released" else line) / features


def context_bags(sentences: Array, num_words: int, dtype: DTypeLike = jnp.float32) -> Array:
    """Which words stand directly to the left and to the right of each word: what is known of a word never met.

    Args:
        sentences: int `[M, S]`, token ids.
        num_words: W.
        dtype: of the result.

    Returns:
        `[2, W, W]` of 0 and 1: `[0, w]` is the bag of the words to the left of word w, `[1, w]` of those to its right.

    Raises:
        ValueError: if `sentences` has another rank, or `num_words` is below 1.

    Example:
        >>> left, right = context_bags(jnp.array([[2, 3, 4], [4, 3, 0]]), num_words=3)
        >>> left[1], right[1]
        (Array([1., 0., 1.], dtype=float32), Array([0., 0., 1.], dtype=float32))

    Reference: Weston et al. 2015, section 3.5.
    Departs from the paper: it does not state the window, which is one word here; a bag holds a word once.
    """
    _checks.positive("num_words", num_words)
    _checks.rank("sentences", sentences, 2, "[M, S]")
    words = jnp.where(sentences < NUM_SPECIAL, num_words, sentences - NUM_SPECIAL)  # what is no word is out of bounds
    right = jnp.zeros((num_words, num_words), dtype).at[words[:, :-1], words[:, 1:]].set(1, mode="drop")
    return jnp.stack([right.T, right])


def random_codes(ids: Array, features: int, dtype: DTypeLike = jnp.float32) -> Array:
    """A random direction for each id, the same one at any time and place, without a table.

    Each feature is plus or minus 1 / sqrt(features) by a hash of id and feature, so a code has length 1, and the
    product of two codes is about normal with deviation 1 / sqrt(features): an embedding of as many symbols as there
    are integers, in which each matches itself.

    Args:
        ids: int `[...]`.
        features: D, size of a code.
        dtype: of the result.

    Returns:
        `[..., D]` of `dtype`.

    Raises:
        ValueError: if `features` is below 1.

    Example:
        >>> codes = random_codes(jnp.array([7, 8]), features=256)
        >>> (codes @ codes.T).round(1).tolist()
        [[1.0, ...], [..., 1.0]]

    Departs from the paper: the paper has none; see Achlioptas 2003 (random projections with binary coins).
    """
    _checks.positive("features", features)
    bits = jnp.asarray(ids).astype(jnp.uint32)[..., None] * jnp.uint32(0x9E3779B1)
    bits = bits + jax.lax.broadcasted_iota(jnp.uint32, (*bits.shape[:-1], features), bits.ndim - 1) * jnp.uint32(
        0x85EBCA77
    )
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):  # the end of MurmurHash3
        bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
    bits = bits ^ (bits >> 16)
    return jnp.where(bits >> 31 == 1, 1.0, -1.0).astype(dtype) / jnp.asarray(features**0.5, dtype)  # [..., D]


def grid_slots(grid: Array, span: float = 1.0) -> Array:
    """A slot for each cell of a grid: its features, and where it is.

    Args:
        grid: `[R, C, D]`, features of the cells in rows and columns, as a convolutional network gives them.
        span: how far the edges of the grid lie from its middle, in x and in y.

    Returns:
        `[R C, D + 2]`, row after row: features, then x and y of the cell's centre.

    Raises:
        ValueError: if `grid` has another rank or does not hold floats.

    Example:
        >>> grid_slots(jnp.array([[[7.0], [8.0]]]))
        Array([[ 7. , -0.5,  0. ],
               [ 8. ,  0.5,  0. ]], dtype=float32)

    Reference: Santoro et al. 2017 (Relation Networks), section 4.
    Departs from the paper: it does not state the scale of the coordinates.
    """
    _checks.rank("grid", grid, 3, "[R, C, D]")
    _checks.floats("grid", grid, "encode the image first")
    rows, columns = grid.shape[:2]
    y, x = ((span * ((2 * jnp.arange(size) + 1) / size - 1)).astype(grid.dtype) for size in (rows, columns))
    places = jnp.stack([jnp.tile(x, rows), jnp.repeat(y, columns)], axis=1)  # [R C, 2]
    return jnp.concatenate([grid.reshape(rows * columns, -1), places], axis=1)


def object_slots(
    centers: Array,
    colours: Array,
    shapes: Array,
    *,
    size: int,
    num_colours: int,
    num_shapes: int,
    dtype: DTypeLike = jnp.float32,
) -> Array:
    """A slot for each object of an image: its state description.

    Args:
        centers: int `[N, 2]`, x and y in pixels.
        colours: int `[N]`, from 0 on.
        shapes: int `[N]`, from 0 on.
        size: pixels of a side of the image.
        num_colours: how many there are.
        num_shapes: how many there are.
        dtype: of the result.

    Returns:
        `[N, num_colours + num_shapes + 2]`: which colour, which shape, then x and y, of which the image spans [-1, 1].

    Raises:
        ValueError: if `centers` has another rank, or a size is below 1.

    Example:
        >>> object_slots(jnp.array([[0, 2]]), jnp.array([1]), jnp.array([0]), size=5, num_colours=2, num_shapes=1)
        Array([[ 0. ,  1. ,  1. , -0.8,  0. ]], dtype=float32)

    Reference: Santoro et al. 2017 (Relation Networks), section 3.2, state descriptions.
    Departs from the paper: it does not state how colours and shapes are coded.
    """
    for name, value in (("size", size), ("num_colours", num_colours), ("num_shapes", num_shapes)):
        _checks.positive(name, value)
    _checks.rank("centers", centers, 2, "[N, 2]")
    places = ((2 * centers + 1) / size - 1).astype(dtype)
    kinds = [jax.nn.one_hot(colours, num_colours, dtype=dtype), jax.nn.one_hot(shapes, num_shapes, dtype=dtype)]
    return jnp.concatenate([*kinds, places], axis=1)


def slot_memory(slots: Array, values: Array | None = None) -> Memory:
    """A memory that holds slots, written one after another: what was seen, to be read by hops.

    Args:
        slots: `[N, D]`, the keys.
        values: `[N, ...]`; the keys themselves by default.

    Returns:
        A memory of N slots, none of them empty.

    Raises:
        ValueError: if `slots` has another rank or no rows.

    Example:
        >>> slot_memory(jnp.ones((2, 3))).times
        Array([0, 1], dtype=int32)
    """
    _checks.rank("slots", slots, 2, "[N, D]")
    _checks.positive("slots: rows", slots.shape[0])
    values = slots if values is None else values
    return write_many(empty(slots.shape[0], slots[0], values[0]), slots, values)
