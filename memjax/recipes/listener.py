# SPDX-License-Identifier: Apache-2.0
"""A trained Memory Network that listens: words come in as they are said, and it finds the statements itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from memjax import data
from memjax.memory import Memory
from memjax.models import Cuts, Hearing
from memjax.recipes.answerer import Answerer
from memjax.recipes.train import Trained
from memjax.training import with_params
from memjax.typing import PAD, Array, PyTree

#: Words that are heard in one call of the program; what is longer takes several.
_BLOCK = 16


@dataclasses.dataclass(frozen=True)
class Heard:
    """Words as they were heard.

    Attributes:
        words: T words.
        scores: `[T]`, seg(c) of the running segment with each word; it began in earlier words, perhaps.
        ends: bool `[T]`, whether a segment ends with this word.
        segments: the segments that ended, as they were written to memory.
        unknown: words that training never met.
        threshold: the score above which a segment ends.
    """

    words: tuple[str, ...]
    scores: np.ndarray
    ends: np.ndarray
    segments: tuple[str, ...]
    unknown: tuple[str, ...]
    threshold: float


class Listener(Answerer):
    """Holds a memory, a segmenter and a trained model; `hear` writes what it takes for a statement, `ask` reads.

    Nothing marks where a statement ends. What was heard after the last segment is not in memory yet; the next words go
    on with it. A segment of 64 words ends there.

    Args:
        trained: of `memjax.recipes.train` on a stream, or `load`.
        num_slots: as of `Answerer`.
        seed_index: likewise.

    Raises:
        ValueError: if there is no such model, or it was not trained on a stream.

    Example:
        After `memjax train simulation --stream --run-folder runs/stream`:

        >>> listener = Listener.load("runs/stream")  # doctest: +SKIP
        >>> listener.hear("joe went to the office then fred moved to the").segments  # doctest: +SKIP
        ('joe went to the office',)
        >>> listener.hear("garden and then joe").segments  # doctest: +SKIP
        ('then fred moved to the garden',)
        >>> listener.ask("Where is Fred?").answer  # doctest: +SKIP
        'garden'
    """

    def __init__(self, trained: Trained, num_slots: int | None = None, seed_index: int = 0):
        segmenter = getattr(trained, "segmenter", None)  # an end-to-end model has no such field
        if segmenter is None:
            raise ValueError("trained: expected a model of a stream of words, got one of statements; use Answerer")
        super().__init__(trained, num_slots, seed_index)
        self._segmenter = segmenter
        self._hearing = self._segmenter.program.model.silence()
        self._unfinished: list[str] = []
        answering, segmenting = self._program.model, self._segmenter.program.model

        def listen(
            params: PyTree, seg_params: PyTree, memory: Memory, hearing: Hearing, tokens: Array
        ) -> tuple[Memory, Hearing, Cuts]:
            model = with_params(answering, params)
            return with_params(segmenting, seg_params).listen(memory, tokens, model.embed, hearing)

        self._listen = jax.jit(listen, donate_argnums=2)

    def hear(self, words: str) -> Heard:
        """Hears words, and stores each segment as it ends.

        Args:
            words: of any number; where they are broken into calls does not matter.
        """
        heard = data.tokenize(words)
        ids = self.vocabulary.encode(heard)
        cuts = []
        for start in range(0, len(ids), _BLOCK):
            block = ids[start : start + _BLOCK]
            tokens = jnp.asarray(block + [PAD] * (_BLOCK - len(block)), jnp.int32)
            self._memory, self._hearing, cut = self._listen(
                self._params, self._segmenter.params, self._memory, self._hearing, tokens
            )
            cuts.append(jax.device_get(cut))
        ends = np.concatenate([np.zeros(0, bool), *(cut.ends for cut in cuts)])[: len(heard)]
        segments = []
        for word, end in zip(heard, ends.tolist(), strict=True):
            self._unfinished.append(word)
            if end:
                segments.append(" ".join(self._unfinished))
                self._remember(segments[-1])
                self._unfinished = []
        return Heard(
            words=tuple(heard),
            scores=np.concatenate([np.zeros(0, np.float32), *(cut.scores for cut in cuts)])[: len(heard)],
            ends=ends,
            segments=tuple(segments),
            unknown=tuple(self.vocabulary.unknown(heard)),
            threshold=self._segmenter.program.model.threshold,
        )

    def tell(self, statement: str) -> tuple[str, ...]:
        """As `hear`: a statement is words like any others, and stored when the segmenter takes it for one.

        Returns:
            Its words that training never met.
        """
        return self.hear(statement).unknown

    def forget(self) -> None:
        """Empties the memory, and begins to listen anew."""
        super().forget()
        self._hearing = self._segmenter.program.model.silence()
        self._unfinished = []
