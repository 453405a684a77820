# SPDX-License-Identifier: Apache-2.0
"""A trained Memory Network over a knowledge base: asked a question, it gives the answers and the triples behind."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from memjax.data.facts import f1
from memjax.data.metaqa import Question, Triple
from memjax.memory import Memory
from memjax.models import FactMemNN
from memjax.recipes.chains import Chains, MakeSearch, find_chains
from memjax.recipes.knowledge import TrainedKnowledge, encode_facts, load_knowledge, restore_knowledge
from memjax.recipes.program import params_of_seed
from memjax.recipes.questions import Encoded, by_seen, encode_questions, side_by_side
from memjax.recipes.runs import keep_results, open_run
from memjax.search import exact
from memjax.training import Facts, with_params
from memjax.typing import Array, PyTree

#: Chains that are followed side by side, of all questions together: bounds the temporary memory.
MAX_CHAINS = 256

#: `fn(model, memory)` -> what makes the search for the k best slots: an index may be built for them.
SearchOf = Callable[[FactMemNN, Memory], MakeSearch]


def exact_search(model: FactMemNN, memory: Memory) -> MakeSearch:
    """Every fact is scored."""
    return exact


@dataclasses.dataclass(frozen=True)
class KnowledgeReply:
    """An answer with the facts behind it.

    Attributes:
        answer: the entity that the best chain of facts leads to; empty where nothing was found.
        answers: all entities that the same relations lead to from the same entity, sorted; `answer` is one of them.
        supports: the facts found, one for each hop, as (subject, relation, object).
        scores: of each fact.
        entity: the entity that the chain begins at.
        candidates: how many facts were scored.
        unknown: words of the question that training never met; they were left out.
    """

    answer: str
    answers: tuple[str, ...]
    supports: tuple[Triple, ...]
    scores: tuple[float, ...]
    entity: str
    candidates: int
    unknown: tuple[str, ...]


class KnowledgeBase:
    """Holds the triples as a memory, and one trained model.

    Args:
        trained: of `memjax.recipes.train_knowledge` or `load_knowledge`.
        seed_index: which of the models that were trained together.
        search: how facts are searched for.

    Raises:
        ValueError: if there is no such model.

    Example:
        >>> from memjax.data.facts import KnowledgeGraph
        >>> from memjax.recipes import KnowledgeConfig, train_knowledge
        >>> films = [(f"Film {i}", relation, f"{relation} {i}") for i in range(4) for relation in ("by", "in")]
        >>> asked = [Question(f"{word} [Film {i}]", (f"{relation} {i}",))
        ...          for i in range(3) for word, relation in (("who made", "by"), ("where is", "in"))]
        >>> trained = train_knowledge(
        ...     KnowledgeConfig(epochs=20, batch_size=4), graph=KnowledgeGraph.build(films), questions=asked)
        >>> reply = KnowledgeBase(trained).ask("Who made Film 3?")
        >>> reply.answers, reply.supports
        (('by 3',), (('Film 3', 'by', 'by 3'),))

    Reference: Weston et al. 2015, section 5.1.
    """

    def __init__(self, trained: TrainedKnowledge, seed_index: int = 0, search: SearchOf = exact_search):
        self.graph = trained.encoder.graph
        self._encoder = trained.encoder
        self._seen = trained.seen
        self._params = params_of_seed(trained.params, seed_index)
        config, model = trained.config, trained.program.model
        self._facts, self._memory = encode_facts(trained.encoder)
        make_search = search(with_params(model, self._params), self._memory)
        self._chains = _program(model, config.corpus.hops, config.beam, config.tolerance, make_search)
        self._most = max(MAX_CHAINS // (config.beam if config.corpus.hops > 1 else 1), 1)

    @classmethod
    def load(cls, folder: str | Path, data_folder: str | None = None, seed_index: int = 0) -> "KnowledgeBase":
        """Loads a model of a run folder, and reads the knowledge base.

        Raises:
            RunError: if there is no such run, or no checkpoint in it.
            ValueError: if the run has no such model, or it is not known where the corpora lie.
        """
        return cls(load_knowledge(Path(folder), data_folder), seed_index)

    def ask(self, question: str) -> KnowledgeReply:
        """Answers a question; brackets around a name say what it is about, and are not needed.

        Raises:
            ValueError: if it has no words, or too many.
        """
        return self.ask_all([question])[0]

    def ask_all(self, questions: Sequence[str]) -> list[KnowledgeReply]:
        """Answers questions, as many side by side as fit.

        Raises:
            ValueError: if one has no words, or too many.
        """
        replies: list[KnowledgeReply] = []
        for part, tokens in side_by_side(encode_questions(self._encoder, questions), self._most):
            entities = np.full(len(tokens), -1, np.int32)
            entities[: len(part)] = [question.entity for question in part]
            found = self._chains(self._params, self._facts, self._memory, jnp.asarray(tokens), jnp.asarray(entities))
            chains: Chains = jax.tree.map(np.asarray, found)
            replies += [self._reply(chains, row, question) for row, question in enumerate(part)]
        return replies

    def measure(self, questions: Sequence[Question]) -> dict[str, float]:
        """How well questions are answered, in percent.

        Args:
            questions: with their answers.

        Returns:
            `hits@1`: the end of the best chain is an answer; `f1`: mean over questions of F1 between the sets; both
            also over the questions whose entity training questions were about (`seen`) and the others (`unseen`),
            where there are any; `candidates`: facts scored for a question, the mean.
        """
        replies = self.ask_all([question.text for question in questions])
        hits = [float(reply.answer in question.answers) for reply, question in zip(replies, questions, strict=True)]
        scores = [f1(set(r.answers), set(q.answers)) for r, q in zip(replies, questions, strict=True)]
        results = by_seen({"hits@1": hits, "f1": scores}, questions, self.graph, self._seen)
        results["candidates"] = round(float(np.mean([reply.candidates for reply in replies])), 1)
        return results

    def _reply(self, chains: Chains, row: int, question: Encoded) -> KnowledgeReply:
        # Facts that hold no words have nothing in common with a question that names nothing.
        nothing_named = question.entity < 0 and self._encoder.bag == "phrases"
        unknown = tuple(question.unknown)
        if nothing_named or chains.slots[row].min() < 0:
            return KnowledgeReply("", (), (), (), "", int(chains.candidates[row]), unknown)
        names, relations = self.graph.entities, self.graph.relations
        triples = self.graph.triples[chains.slots[row]].tolist()
        start, end = int(chains.starts[row]), int(chains.ends[row])
        answers = self.graph.expand(start, chains.steps[row].tolist()) | {end}
        return KnowledgeReply(
            answer=names[end],
            answers=tuple(self.graph.names(answers)),
            supports=tuple((names[s], relations[r], names[o]) for s, r, o in triples),
            scores=tuple(chains.scores[row].tolist()),
            entity=names[start],
            candidates=int(chains.candidates[row]),
            unknown=unknown,
        )


@functools.lru_cache(maxsize=4)
def _program(
    model: FactMemNN, hops: int, width: int, tolerance: float, make_search: MakeSearch
) -> Callable[[PyTree, Facts, Memory, Array, Array], Chains]:
    """`fn(params, facts, memory, questions [Q, S], entities [Q]) -> chains`, jitted."""

    def chains(params: PyTree, facts: Facts, memory: Memory, questions: Array, entities: Array) -> Chains:
        return find_chains(
            with_params(model, params),
            facts,
            memory,
            questions,
            entities,
            hops=hops,
            width=width,
            tolerance=tolerance,
            make_search=make_search,
        )

    return jax.jit(chains)


def measure_knowledge(
    trained: TrainedKnowledge, questions: Sequence[Question], search: SearchOf = exact_search
) -> dict[str, list[float]]:
    """`KnowledgeBase.measure` of each of the models that were trained together: lists `[R]`."""
    num_models = jax.tree.leaves(trained.params)[0].shape[0]
    results = [KnowledgeBase(trained, index, search).measure(questions) for index in range(num_models)]
    return {name: [result[name] for result in results] for name in results[0]}


def evaluate_knowledge(folder: Path, split: str = "test", data_folder: str | None = None) -> dict[str, list[float]]:
    """Evaluates a run over a knowledge base and adds what it finds to its `results.json`.

    Args:
        folder: a run folder.
        split: train, valid or test.
        data_folder: where the corpora lie on this machine.

    Returns:
        See `KnowledgeBase.measure`; a list for each, one number for each seed.
    """
    run = open_run(folder)
    trained = restore_knowledge(run, data_folder)
    return keep_results(run, split, lambda: measure_knowledge(trained, trained.config.corpus.questions(split)))
