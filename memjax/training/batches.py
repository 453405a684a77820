# SPDX-License-Identifier: Apache-2.0
"""Questions about stories as device arrays: a batch, or a whole corpus."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from memjax import _checks
from memjax.encoding import bag_of_words
from memjax.memory import Memory
from memjax.typing import Array


@struct.dataclass
class StoryBatch:
    """Q questions, each with the story that was told before it.

    Sentences come again and again, in one story and across stories; they are held once, and stories point to them.

    Attributes:
        sentences: token ids of each different sentence; row 0 is the empty sentence.
        slots: rows of `sentences`, oldest first; -1 = empty slot.
        questions: token ids.
        supports: slots of the supporting memories in the order of the hops; -1 = none.
        answers: token ids of the answer's words; 0 = padding.
    """

    sentences: Array  # int32 [M, S]
    slots: Array  # int32 [Q, N]
    questions: Array  # int32 [Q, S]
    supports: Array  # int32 [Q, P]
    answers: Array  # int32 [Q, A]

    @classmethod
    def from_stories(cls, stories: Any) -> "StoryBatch":
        """Puts a `memjax.data.Stories`, or anything with arrays of the same names, on the device.

        Raises:
            ValueError: if an array has another rank or another number of questions, or row 0 of `sentences` is not
                the empty sentence.
        """
        fields = {name: jnp.asarray(getattr(stories, name), jnp.int32) for name in cls.__dataclass_fields__}
        for name, array in fields.items():
            _checks.rank(name, array, 2, "[M, S]" if name == "sentences" else "[Q, ...]")
            if name != "sentences" and array.shape[0] != fields["slots"].shape[0]:
                raise ValueError(
                    f"{name}: expected {fields['slots'].shape[0]} questions, as slots, got {array.shape[0]}"
                )
        if fields["sentences"][:1].any():
            raise ValueError(f"sentences: expected padding in row 0, got {fields['sentences'][0].tolist()}")
        return cls(**fields)

    def __len__(self) -> int:
        """Q, the number of questions."""
        return self.questions.shape[0]

    def take(self, indices: Array) -> "StoryBatch":
        """The questions at `indices`, int `[B]`, over the same sentences."""
        return dataclasses.replace(
            self,
            slots=self.slots[indices],
            questions=self.questions[indices],
            supports=self.supports[indices],
            answers=self.answers[indices],
        )

    def shard(self, mesh: Mesh, axis: str) -> "StoryBatch":
        """The same questions divided among the devices of a mesh axis, each with all sentences.

        Args:
            mesh: devices.
            axis: name of the axis; its size must divide Q.

        Raises:
            ValueError: if the mesh has no such axis, or its size does not divide Q.
        """
        _checks.one_of("axis", axis, mesh.axis_names)
        if len(self) % mesh.shape[axis]:
            raise ValueError(
                f"questions: expected a multiple of {mesh.shape[axis]}, as many for each device of mesh axis {axis!r}, "
                f"got {len(self)}; leave some out with take"
            )
        divided, whole = NamedSharding(mesh, PartitionSpec(axis, None)), NamedSharding(mesh, PartitionSpec())
        fields = {
            name: jax.device_put(getattr(self, name), whole if name == "sentences" else divided)
            for name in self.__dataclass_fields__
        }
        return dataclasses.replace(self, **fields)

    def memory(self) -> Memory:
        """The stories as memories of rows of `sentences`, as if each were written one after another.

        Returns:
            A batched `Memory`, `[Q, N]`: keys and values are rows.
        """
        told = self.slots >= 0
        rows = jnp.where(told, self.slots, 0)
        zeros = jnp.zeros(len(self), jnp.int32)
        times = jnp.where(told, jnp.arange(rows.shape[1], dtype=jnp.int32)[None], -1)
        return Memory(
            keys=rows,
            values=jnp.copy(rows),  # two arrays, so that the memory can be donated
            times=times,
            usage=jnp.zeros(rows.shape, jnp.float32),
            count=jnp.max(times, axis=1) + 1,
            dropped=zeros,
        )


@struct.dataclass
class NarrowStories:
    """Questions whose token ids stand for some of a model's features only, as those of one task among many do.

    A step then costs what these features cost, and not what all of the model's do; the loss is the same.

    Attributes:
        stories: token ids are `NUM_SPECIAL` + a place in `features`.
        features: which features of the model these are; the model's words come first, all of them and in their order.
        bags: the features of each sentence, which a step need not count again.
    """

    stories: StoryBatch
    features: Array  # int32 [F']
    bags: Array  # [M, F']

    @classmethod
    def of(cls, stories: StoryBatch, features: Array) -> "NarrowStories":
        """Counts the features of the sentences.

        Args:
            stories: see above.
            features: likewise.
        """
        count = jax.jit(jax.vmap(lambda tokens: bag_of_words(tokens, features.shape[0])))
        return cls(stories, features, count(stories.sentences))

    def __len__(self) -> int:
        """Q, the number of questions."""
        return len(self.stories)

    def take(self, indices: Array) -> "NarrowStories":
        """The questions at `indices`, int `[B]`, over the same sentences."""
        return dataclasses.replace(self, stories=self.stories.take(indices))
