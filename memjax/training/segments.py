# SPDX-License-Identifier: Apache-2.0
"""The loss that a segmenter is trained with: known segments against unfinished and overlong ones."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import struct

from memjax import _checks
from memjax.losses import sample_one
from memjax.models import Segmenter
from memjax.training.state import ModelLossFn
from memjax.typing import NUM_SPECIAL, PAD, Array


@struct.dataclass
class SegmentBatch:
    """M segments that are known to be right, each with the one that follows it in the stream.

    Attributes:
        segments: token ids; 0 = padding after the last word.
        following: likewise; no words at the end of a stream.
    """

    segments: Array  # int32 [M, S]
    following: Array  # int32 [M, S]

    def __len__(self) -> int:
        """M, the number of segments."""
        return self.segments.shape[0]

    def take(self, indices: Array) -> "SegmentBatch":
        """The segments at `indices`, int `[B]`."""
        return SegmentBatch(self.segments[indices], self.following[indices])


def make_segment_loss(*, margin: float = 1.0, negatives: Literal["sampled", "all"] = "sampled") -> ModelLossFn:
    """Makes the loss of a segmenter that is told the supporting segments F of a stream.

    A known segment f is to score above the margin; f' in F', the segments that are none, below its negative. These are
    the unfinished ones (the first words of f, not all) and the overlong ones (f and the first words of what follows).

    Args:
        margin: gamma of the loss.
        negatives: `"sampled"`, one f' for each f; or `"all"`, the printed sum.

    Returns:
        `fn(model, batch, key) -> (loss, metrics)`: the mean over the batch, and `{"right": .., "wrong": ..}`, its two
        parts.

    Raises:
        ValueError: if a switch has no such value.

    Example:
        >>> from flax import nnx
        >>> batch = SegmentBatch(segments=jnp.array([[2, 3]]), following=jnp.array([[4, 3]]))
        >>> loss_fn = jax.jit(make_segment_loss())
        >>> loss, metrics = loss_fn(Segmenter(3, 4, rngs=nnx.Rngs(0)), batch, jax.random.key(0))
        >>> sorted(metrics)
        ['right', 'wrong']

    Reference: Weston et al. 2015, Appendix B.
    Departs from the paper: the sum is a mean over the segments. The margin is ten times the threshold that a segmenter
    fires above: with one gamma for both, as printed, a segment that just has no loss just does not fire. Not all
    overlong segments can be told from right ones by a bag of words; with all of them the right ones lose.
    """
    _checks.one_of("negatives", negatives, ("sampled", "all"))

    def loss_fn(model: Segmenter, batch: SegmentBatch, key: Array) -> tuple[Array, dict[str, Array]]:
        word_scores = model.word_scores()
        by_token = jnp.append(jnp.zeros(NUM_SPECIAL, word_scores.dtype), word_scores)  # [V]

        def one(segment: Array, following: Array, key: Array) -> tuple[Array, Array]:
            tokens = jnp.append(segment, following)  # [2S]
            scores = jnp.cumsum(by_token[tokens])  # seg of the words so far
            last = jnp.array([jnp.sum(segment != PAD), segment.shape[0] + jnp.sum(following != PAD)]) - 1
            place = jnp.arange(tokens.shape[0])
            wrong = (tokens != PAD) & jnp.all(place[None] != last[:, None], axis=0)  # F'
            if negatives == "sampled":
                wrong = sample_one(key, wrong)
            right_loss = jax.nn.relu(margin - scores[segment.shape[0] - 1])
            return right_loss, jnp.sum(jnp.where(wrong, jax.nn.relu(margin + scores), 0))

        right, wrong = jax.vmap(one)(batch.segments, batch.following, jax.random.split(key, len(batch)))
        metrics = {"right": right.mean(), "wrong": wrong.mean()}
        return metrics["right"] + metrics["wrong"], metrics

    return loss_fn
