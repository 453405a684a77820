# SPDX-License-Identifier: Apache-2.0
"""A trained key-value Memory Network: asked a question, it gives the answer and the triples that it read for it."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from memjax.data.metaqa import Question, Triple
from memjax.models import KeyValueMemNN
from memjax.recipes.key_value import (
    KeyValueMemory,
    TrainedKeyValue,
    encode_key_values,
    load_key_value,
    look_up,
    restore_key_value,
)
from memjax.recipes.program import params_of_seed
from memjax.recipes.questions import Encoded, by_seen, encode_questions, side_by_side
from memjax.recipes.runs import keep_results, open_run
from memjax.training import KeyValueAnswers, KeyValueBatch, answer_key_values, with_params
from memjax.typing import PyTree

#: Questions that are answered side by side.
SIDE_BY_SIDE = 256
#: Triples that a reply shows, at most, and the least weight of one.
MAX_SUPPORTS, LEAST_WEIGHT = 5, 0.01


@dataclasses.dataclass(frozen=True)
class KeyValueReply:
    """An answer with what was read for it.

    Attributes:
        answer: of all entities the one with the highest score; empty where the hash found nothing.
        answer_read: of the values that were at hand the one with the highest score, likewise.
        supports: the triples that were read most, as (subject, relation, object), the most read one first.
        weights: of each, the mean over the hops.
        entity: the entity that the question is about; empty where none is known.
        candidates: how many slots the hash found.
        unknown: words of the question that training never met; they were left out.
    """

    answer: str
    answer_read: str
    supports: tuple[Triple, ...]
    weights: tuple[float, ...]
    entity: str
    candidates: int
    unknown: tuple[str, ...]


class KeyValueReader:
    """Holds the keys and values of a knowledge base as a memory, and one trained model.

    Args:
        trained: of `memjax.recipes.train_key_value` or `load_key_value`.
        seed_index: which of the models that were trained together.
        known: the memory, where it is on the device already.

    Raises:
        ValueError: if there is no such model.

    Example:
        >>> from memjax.data.facts import KnowledgeGraph
        >>> from memjax.recipes import KeyValueConfig, train_key_value
        >>> films = [(f"Film {i}", relation, f"{relation} {i}") for i in range(4) for relation in ("by", "in")]
        >>> asked = [Question(f"{word} [Film {i}]", (f"{relation} {i}",))
        ...          for i in range(3) for word, relation in (("who made", "by"), ("where is", "in"))]
        >>> trained = train_key_value(
        ...     KeyValueConfig(epochs=60, batch_size=6), graph=KnowledgeGraph.build(films), questions=asked)
        >>> reply = KeyValueReader(trained).ask("Who made Film 3?")
        >>> reply.answer, reply.supports[0]
        ('by 3', ('Film 3', 'by', 'by 3'))

    Reference: Miller et al. 2016, section 3.
    """

    def __init__(self, trained: TrainedKeyValue, seed_index: int = 0, known: KeyValueMemory | None = None):
        self.graph = trained.encoder.graph
        self._encoder, self._seen, self._config = trained.encoder, trained.seen, trained.config
        self._params = params_of_seed(trained.params, seed_index)
        self._known = encode_key_values(trained.encoder) if known is None else known
        self._answer = _program(trained.program.model)

    @classmethod
    def load(cls, folder: str | Path, data_folder: str | None = None, seed_index: int = 0) -> "KeyValueReader":
        """Loads a model of a run folder, and reads the knowledge base.

        Raises:
            RunError: if there is no such run, or no checkpoint in it.
            ValueError: if the run has no such model, or it is not known where the corpora lie.
        """
        return cls(load_key_value(Path(folder), data_folder), seed_index)

    def ask(self, question: str) -> KeyValueReply:
        """Answers a question; brackets around a name say what it is about, and are not needed.

        Raises:
            ValueError: if it has no words, or too many.
        """
        return self.ask_all([question])[0]

    def ask_all(self, questions: Sequence[str]) -> list[KeyValueReply]:
        """Answers questions, as many side by side as fit.

        Raises:
            ValueError: if one has no words, or too many.
        """
        replies: list[KeyValueReply] = []
        for part, tokens in side_by_side(encode_questions(self._encoder, questions), SIDE_BY_SIDE):
            slots = look_up(self._known, tokens, self._config.memory, self._config.frequent)
            batch = KeyValueBatch(
                self._known.memory,
                self._known.candidates,
                jnp.asarray(tokens),
                jnp.asarray(slots),
                jnp.full((len(tokens), 1), -1, jnp.int32),
            )
            found: KeyValueAnswers = jax.tree.map(np.asarray, self._answer(self._params, batch))
            replies += [self._reply(found, slots[row], row, question) for row, question in enumerate(part)]
        return replies

    def measure(self, questions: Sequence[Question]) -> dict[str, float]:
        """How well questions are answered, in percent.

        Args:
            questions: with their answers.

        Returns:
            `hits@1`: of all entities, the one with the highest score is an answer; also over the questions whose entity
            training questions were about (`seen`) and the others (`unseen`), where there are any; `hits@1 read`: of
            the values that were at hand, the one with the highest score is; `candidates`: slots found for a question,
            the mean. A question for which nothing is found counts as wrong.
        """
        replies = self.ask_all([question.text for question in questions])
        pairs = list(zip(replies, questions, strict=True))
        hits = [float(reply.answer in question.answers) for reply, question in pairs]
        results = by_seen({"hits@1": hits}, questions, self.graph, self._seen)
        read = np.mean([reply.answer_read in question.answers for reply, question in pairs])
        results["hits@1 read"] = round(100 * float(read), 4)
        results["candidates"] = round(float(np.mean([reply.candidates for reply in replies])), 1)
        return results

    def _reply(self, found: KeyValueAnswers, slots: np.ndarray, row: int, question: Encoded) -> KeyValueReply:
        names = self.graph.entities
        weights = found.weights[row].mean(axis=0)  # [K]
        order = [at for at in np.argsort(-weights, kind="stable")[:MAX_SUPPORTS] if weights[at] >= LEAST_WEIGHT]
        best, best_read = int(found.best[row]), int(found.best_read[row])
        return KeyValueReply(
            answer=names[best] if best >= 0 else "",
            answer_read=names[best_read] if best_read >= 0 else "",
            supports=tuple(self._encoder.triple(int(slots[at])) for at in order),
            weights=tuple(float(weights[at]) for at in order),
            entity=names[question.entity] if question.entity >= 0 else "",
            candidates=int((slots >= 0).sum()),
            unknown=tuple(question.unknown),
        )


@functools.lru_cache(maxsize=4)
def _program(model: KeyValueMemNN) -> Callable[[PyTree, KeyValueBatch], KeyValueAnswers]:
    def answer(params: PyTree, batch: KeyValueBatch) -> KeyValueAnswers:
        return answer_key_values(with_params(model, params), batch)

    return jax.jit(answer)


def measure_key_value(trained: TrainedKeyValue, questions: Sequence[Question]) -> dict[str, list[float]]:
    """`KeyValueReader.measure` of each of the models that were trained together: lists `[R]`."""
    num_models = jax.tree.leaves(trained.params)[0].shape[0]
    known = encode_key_values(trained.encoder)
    results = [KeyValueReader(trained, index, known).measure(questions) for index in range(num_models)]
    return {name: [result[name] for result in results] for name in results[0]}


def evaluate_key_value(folder: Path, split: str = "test", data_folder: str | None = None) -> dict[str, list[float]]:
    """Evaluates a run over keys and values and adds what it finds to its `results.json`.

    Args:
        folder: a run folder.
        split: train, valid or test.
        data_folder: where the corpora lie on this machine.

    Returns:
        See `KeyValueReader.measure`; a list for each, one number for each seed.
    """
    run = open_run(folder)
    trained = restore_key_value(run, data_folder)
    return keep_results(run, split, lambda: measure_key_value(trained, trained.config.corpus.questions(split)))
