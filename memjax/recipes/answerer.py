# SPDX-License-Identifier: Apache-2.0
"""A trained Memory Network to talk to: it is told statements and asked questions."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from memjax import data
from memjax.memory import Memory, empty
from memjax.recipes.end_to_end import JOINS, TrainedEndToEnd, load_end_to_end
from memjax.recipes.end_to_end_config import EndToEndConfig
from memjax.recipes.program import MAX_SENTENCE, params_of_seed
from memjax.recipes.runs import open_run
from memjax.recipes.train import Trained, load
from memjax.typing import NUM_SPECIAL, PAD, Array


@dataclasses.dataclass(frozen=True)
class Support:
    """A memory behind an answer.

    Attributes:
        text: what was told.
        told: how many statements were told before it.
        row: where it stands in `Reply.statements`.
        score: s_O of its hop; comparable within a hop only. Of an end-to-end model its weight, from 0 to 1.
    """

    text: str
    told: int
    row: int
    score: float


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer with the facts behind it.

    Attributes:
        answer: words, separated by spaces; empty where there is no memory to answer from, or the stop word
            comes first.
        supports: the memories found, in the order of the hops; of an end-to-end model what each hop read most of.
        unknown: words of the question that training never met: left out, or known by the words around them.
        scores: `[P, n]`, the score at each hop of each statement in memory; nan where it could not be found.
        statements: the n statements in memory, oldest first.
        soft: whether hops read all statements, each by its weight: then scores are these weights.
    """

    answer: str
    supports: tuple[Support, ...]
    unknown: tuple[str, ...]
    scores: np.ndarray
    statements: tuple[str, ...]
    soft: bool = False


def load_answering(folder: Path) -> Trained | TrainedEndToEnd:
    """Loads the models of a run over stories, of whichever kind.

    Raises:
        RunError: if there is no run, or no checkpoint in it.
    """
    kind = load_end_to_end if isinstance(open_run(folder).config, EndToEndConfig) else load
    return kind(folder)


class Answerer:
    """Holds a memory and a trained model; `tell` writes, `ask` reads.

    The memory is a ring: when it is full, the oldest statement makes place. Parameters do not change, so statements
    are embedded once, when they are told.

    Args:
        trained: of `memjax.recipes.train` or `train_end_to_end`, or loaded.
        num_slots: statements that it remembers; by default as many as a question of its corpus saw, 512 for bAbI.
        seed_index: which of the models that were trained side by side; by default the one that was chosen.

    Raises:
        ValueError: if there is no such model.

    Example:
        >>> from memjax.recipes import AnsweringConfig, Simulation, train
        >>> world = Simulation(difficulty=1, objects=False, num_statements=400, num_questions=300)
        >>> answerer = Answerer(train(AnsweringConfig(corpus=world, epochs=20)))
        >>> answerer.tell("Fred went to the kitchen.")
        ()
        >>> answerer.tell("Joe teleported to the office.")
        ('teleported',)
        >>> reply = answerer.ask("Where is Joe?")
        >>> reply.answer, reply.supports[0].text
        ('office', 'Joe teleported to the office.')
    """

    def __init__(self, trained: Trained | TrainedEndToEnd, num_slots: int | None = None, seed_index: int | None = None):
        seed_index = trained.chosen if seed_index is None else seed_index
        self.vocabulary = trained.vocabulary
        self._params = params_of_seed(trained.params, seed_index)
        self._program = trained.program
        self._soft = isinstance(trained, TrainedEndToEnd)
        self._new_words: dict[str, int] = {}  # token ids of words that training never met
        self._size = MAX_SENTENCE * self.vocabulary.longest_ngram
        tokens = jax.ShapeDtypeStruct((self._size,), jnp.int32)
        key = jax.eval_shape(self._program.model.embed, tokens)
        self._memory = empty(trained.num_slots if num_slots is None else num_slots, key, tokens)
        self._told: dict[int, str] = {}  # by write time; those in memory only
        self._count = 0

    @classmethod
    def load(cls, folder: str | Path, num_slots: int | None = None, seed_index: int | None = None) -> "Answerer":
        """Loads a model of a run folder, with an empty memory.

        Raises:
            RunError: if there is no run, or no checkpoint in it.
            ValueError: if the run has no such model.
        """
        return cls(load_answering(Path(folder)), num_slots, seed_index)

    @property
    def memory(self) -> Memory:
        """The memory as it is now. The next `tell` uses its buffers again: copy what is to be kept."""
        return self._memory

    def tell(self, statement: str) -> tuple[str, ...]:
        """Stores a statement.

        Returns:
            Its words that training never met. They match nothing; a model trained with `unseen` words knows up to 32 of
            them by the words around them.

        Raises:
            ValueError: if it has no words, or more than 64.
        """
        self._check("statement", statement)
        self._remember(statement)
        tokens, unknown = self._encode(statement)
        self._memory = self._program.tell(self._params, self._memory, tokens)
        return unknown

    def ask(self, question: str) -> Reply:
        """Answers a question from what was told.

        Raises:
            ValueError: if it has no words, or more than 64.
        """
        self._check("question", question)
        times = np.asarray(self._memory.times)
        memory, asked = self._memory, question
        if self.vocabulary.function_words is not None:
            variables = data.variables_of(question, self.vocabulary.function_words, self.vocabulary)
            asked = data.substitute(question, variables)
            told = {time: data.substitute(text, variables) for time, text in self._told.items()}
            words = {time: self._ids(text) for time, text in told.items()}
            values = [words.get(time, [PAD] * self._size) for time in times.tolist()]
            memory = dataclasses.replace(memory, values=jnp.asarray(values, jnp.int32))
        tokens, unknown = self._encode(asked)
        known = jnp.int32(self.vocabulary.num_words)
        answer = jax.device_get(self._program.ask(self._params, memory, tokens, known))
        order = np.argsort(times)[(times < 0).sum() :].tolist()  # slots that hold something, oldest first
        found = [(hop, slot) for hop, slot in enumerate(answer.hops.slots.tolist()) if slot >= 0]
        supports = tuple(
            Support(
                text=self._told[int(times[slot])],
                told=int(times[slot]),
                row=order.index(slot),
                score=float(answer.hops.scores[hop, slot]),
            )
            for hop, slot in found
        )
        scores = answer.hops.scores[: max(len(found), 1), order]
        return Reply(
            answer=self._decode(answer.words, question) if order else "",
            supports=supports,
            unknown=unknown,
            scores=np.where(np.isfinite(scores), scores, np.nan),
            statements=tuple(self._told[time] for time in times[order].tolist()),
            soft=self._soft,
        )

    def forget(self) -> None:
        """Empties the memory."""
        self._memory = jax.tree.map(jnp.zeros_like, self._memory)
        self._memory = dataclasses.replace(self._memory, times=self._memory.times - 1)
        self._told, self._count, self._new_words = {}, 0, {}

    def _remember(self, text: str) -> None:
        """Keeps the text of what is written, where the oldest one's was."""
        self._told[self._count] = text
        self._told.pop(self._count - self._memory.num_slots, None)
        self._count += 1
        if self._program.learns_words:
            self._learn(text)

    def _learn(self, text: str) -> None:
        """Gives new words of a text token ids, while there are some that no statement in memory needs."""
        told = {word for other in self._told.values() for word in data.tokenize(other)}
        self._new_words = {word: id_ for word, id_ in self._new_words.items() if word in told}
        new = [word for word in self.vocabulary.unknown(data.tokenize(text)) if word not in self._new_words]
        all_ids = range(len(self.vocabulary), NUM_SPECIAL + self._program.model.num_words)
        free = sorted(set(all_ids).difference(self._new_words.values()))
        self._new_words |= zip(new, free, strict=False)

    def _check(self, name: str, text: str) -> None:
        num_words = len(data.tokenize(text))
        if not 0 < num_words <= MAX_SENTENCE:
            raise ValueError(f"{name}: expected 1 to {MAX_SENTENCE} words, got {num_words} in {text[:60]!r}")

    def _encode(self, text: str) -> tuple[Array, tuple[str, ...]]:
        unknown = self.vocabulary.unknown(data.tokenize(text))
        return jnp.asarray(self._ids(text), jnp.int32), tuple(unknown)

    def _ids(self, text: str) -> list[int]:
        words = data.tokenize(text)
        ids = self.vocabulary.features(words)
        if self._program.learns_words:
            ids = [self._new_words.get(word, id_) for word, id_ in zip(words, ids, strict=True)]
        return ids + [PAD] * (self._size - len(ids))

    def _decode(self, ids: np.ndarray, question: str) -> str:
        new = {id_: word for word, id_ in self._new_words.items()}
        answer = []
        for id_ in ids.tolist():
            if id_ in new:
                answer.append(new[id_])
            elif id_ < len(self.vocabulary):  # the model's number of words is rounded up: other ids stand for no word
                answer += self.vocabulary.decode([id_])
        if self.vocabulary.function_words is not None:
            named: dict[str, list[str]] = {}
            bound = data.variables_of(question, self.vocabulary.function_words, self.vocabulary)
            for word, variable in bound.items():
                named.setdefault(variable, []).append(word)
            answer = [" ".join(named.get(word, [word])) for word in answer]
        # To an end-to-end model the words of an answer are one symbol.
        return " ".join(answer).replace(JOINS, " ") if self._soft else " ".join(answer)
