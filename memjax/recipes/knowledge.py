# SPDX-License-Identifier: Apache-2.0
"""Training a Memory Network over a knowledge base, from its configuration."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from memjax import data
from memjax.data.facts import FactEncoder, KnowledgeGraph, build_vocabulary, num_trained, paths_to_answers
from memjax.data.metaqa import Question
from memjax.errors import RunError
from memjax.memory import Memory, empty, write_many
from memjax.models import FactMemNN
from memjax.recipes.config import KnowledgeConfig
from memjax.recipes.corpora import MetaQA
from memjax.recipes.fit import ReportFn, check_options, check_seeds, fit, restore_params, start_run
from memjax.recipes.program import one_after_another
from memjax.recipes.questions import entities_of
from memjax.recipes.runs import Run, open_run
from memjax.training import (
    FactBatch,
    Facts,
    TrainState,
    create_state,
    make_epoch,
    make_facts_loss,
    make_step,
)
from memjax.typing import Array, PyTree


@dataclasses.dataclass(frozen=True)
class KnowledgeProgram:
    """What a run does on the device.

    Attributes:
        init: `fn(seeds [R]) -> state`.
        epoch: `fn(state, corpus) -> (state, metrics [R])`; the state is donated.
        model: the structure, without parameters.
    """

    init: Callable[[Array], TrainState]
    epoch: Callable[[TrainState, FactBatch], tuple[TrainState, dict[str, Array]]]
    model: FactMemNN


@dataclasses.dataclass(frozen=True)
class TrainedKnowledge:
    """Trained models over a knowledge base, one for each seed.

    Attributes:
        config: what was asked for.
        encoder: the knowledge base, and its vocabulary.
        program: the jitted functions.
        params: the parameters; leaves lead with the seeds.
        seen: the entities that training questions were about.
    """

    config: KnowledgeConfig
    encoder: FactEncoder
    program: KnowledgeProgram
    params: PyTree  # leaves [R, ...]
    seen: frozenset[int]


def build_knowledge_program(
    config: KnowledgeConfig,
    vocabulary: data.Vocabulary,
    num_steps: int,
    num_examples: int,
) -> KnowledgeProgram:
    """The program of a configuration.

    Args:
        config: its seed does not matter here.
        vocabulary: gives the number of tokens.
        num_steps: kinds of steps, twice the relations.
        num_examples: training questions; they set how fast the learning rate falls.
    """
    updates = max(num_examples // config.batch_size, 1) * config.epochs
    shared = dataclasses.replace(config, corpus=MetaQA(hops=config.corpus.hops), seed=0)
    sizes = (vocabulary.num_words, num_trained(vocabulary), num_steps)
    init, epoch = _training(shared, sizes, updates)
    return KnowledgeProgram(init=init, epoch=epoch, model=_structure(shared, sizes))


def _model(config: KnowledgeConfig, sizes: tuple[int, int, int], key: Array) -> FactMemNN:
    return FactMemNN(*sizes, config.features, match=config.match, code_scale=config.code_scale, rngs=nnx.Rngs(key))


@functools.lru_cache(maxsize=8)
def _structure(config: KnowledgeConfig, sizes: tuple[int, int, int]) -> FactMemNN:
    """A model without parameters."""
    return nnx.eval_shape(lambda: _model(config, sizes, jax.random.key(0)))


@functools.lru_cache(maxsize=8)
def _training(config: KnowledgeConfig, sizes: tuple[int, int, int], updates: int) -> tuple[Any, Any]:
    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, updates))
    loss = make_facts_loss(loss=config.loss, negatives=config.negatives, margin=config.margin)
    epoch = make_epoch(make_step(_structure(config, sizes), optimizer, loss), config.batch_size)

    def init(seed: Array) -> TrainState:
        weights, run = jax.random.split(jax.random.key(seed))
        return create_state(_model(config, sizes, weights), optimizer, run)

    return jax.jit(jax.vmap(init)), jax.jit(one_after_another(epoch), donate_argnums=0)


def encode_facts(encoder: FactEncoder) -> tuple[Facts, Memory]:
    """Puts a knowledge base on the device: its indices, and the memory in which each triple is a slot."""
    starts, rows = encoder.graph.groups
    bucket_starts, bucket_rows = encoder.buckets()
    facts = Facts(
        keys=jnp.asarray(encoder.keys),
        triples=jnp.asarray(encoder.graph.triples),
        names=jnp.asarray(encoder.names),
        group_starts=jnp.asarray(starts),
        group_rows=jnp.asarray(rows),
        bucket_starts=jnp.asarray(bucket_starts),
        bucket_rows=jnp.asarray(bucket_rows),
    )
    values = jnp.arange(len(encoder.keys), dtype=jnp.int32)
    memory = write_many(empty(len(encoder.keys), facts.keys[0], values[0]), facts.keys, values)
    return facts, memory


def encode_questions(
    encoder: FactEncoder, facts: Facts, questions: Sequence[Question], supervision: str, hops: int
) -> FactBatch:
    """Puts training questions on the device; those that nothing in the knowledge base answers are left out."""
    graph = encoder.graph
    rows: list[tuple[list[int], int, list[tuple[int, ...]]]] = []
    for question in questions:
        tokens, entity, _ = encoder.question(question.text)
        if supervision == "answers":
            paths: list[tuple[int, ...]] = list(paths_to_answers(graph, question))
        else:
            paths = [graph.steps(question.path)]
        if entity >= 0 and paths and min(min(path) for path in paths) >= 0:
            rows.append((tokens, entity, paths))
    if not rows:
        raise ValueError("questions: expected at least one that the knowledge base answers, got none; check the files")
    batch = np.zeros((len(rows), max(len(tokens) for tokens, _, _ in rows)), np.int32)
    paths_of = np.full((len(rows), max(len(paths) for _, _, paths in rows), hops), -1, np.int32)
    for i, (tokens, _, paths) in enumerate(rows):
        batch[i, : len(tokens)] = tokens
        paths_of[i, : len(paths)] = paths
    entities = np.array([entity for _, entity, _ in rows], np.int32)
    return FactBatch(facts, jnp.asarray(batch), jnp.asarray(entities), jnp.asarray(paths_of))


def train_knowledge(
    config: KnowledgeConfig,
    *,
    seeds: tuple[int, ...] | None = None,
    graph: KnowledgeGraph | None = None,
    questions: Sequence[Question] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    report: ReportFn = lambda done, epochs, metrics: None,
) -> TrainedKnowledge:
    """Trains over a knowledge base.

    Args:
        config: the configuration.
        seeds: train several models, one after another in one program; `config.seed` alone by default.
        graph: the knowledge base, where it is read already; of `config.corpus` otherwise.
        questions: the training questions, likewise.
        folder: a run folder to keep it in; nothing is written without one.
        resume: go on with the run in `folder` from its last checkpoint, to the same bits as if it had not stopped.
        overwrite: replace the run in `folder`.
        tensorboard: also write TensorBoard events.
        report: called after each epoch.

    Returns:
        The trained models; `memjax.recipes.KnowledgeBase` asks them.

    Raises:
        ValueError: if what is asked for cannot be had together.
        RunError: if `folder` is there already, or holds another run than the one to be resumed; or the loss is no
            longer finite.
        DataError: if the corpus cannot be read, or a file in `folder` is damaged.
        ImportError: if TensorBoard events are asked for without the extra `tensorboard`.
    """
    check_options(folder, resume, overwrite, tensorboard)
    seeds = check_seeds((config.seed,) if seeds is None else tuple(seeds))
    graph = config.corpus.graph() if graph is None else graph
    questions = config.corpus.questions("train") if questions is None else questions
    encoder = FactEncoder(graph, config.bag, build_vocabulary(graph, questions, config.bag))
    facts, _ = encode_facts(encoder)
    corpus = encode_questions(encoder, facts, questions, config.supervision, config.corpus.hops)
    program = build_knowledge_program(config, encoder.vocabulary, graph.num_steps, len(corpus))
    run = start_run(config, seeds, encoder.vocabulary, folder, resume, overwrite)
    params = fit(program, config, seeds, corpus, run, tensorboard, report)
    return TrainedKnowledge(config, encoder, program, params, entities_of(graph, questions))


def load_knowledge(folder: Path, data_folder: str | None = None) -> TrainedKnowledge:
    """Loads the models of a run folder, from its last checkpoint, and reads the knowledge base again.

    Args:
        folder: a run folder.
        data_folder: where the corpora lie on this machine.

    Raises:
        RunError: if there is no such run or no checkpoint, or the checkpoint belongs to another run.
        DataError: if a file is damaged.
        ValueError: if it is not known where the corpora lie.
    """
    return restore_knowledge(open_run(folder), data_folder)


def restore_knowledge(run: Run, data_folder: str | None = None) -> TrainedKnowledge:
    """`load_knowledge` of a run that is open."""
    config = run.config_of(KnowledgeConfig, "a run over a knowledge base", data_folder)
    graph, questions = config.corpus.graph(), config.corpus.questions("train")
    words = build_vocabulary(graph, questions, config.bag)
    if words != run.vocabulary:
        raise RunError(
            f"{run.folder}: the knowledge base or the training questions differ from those of the run; "
            "point --data to the same files"
        )
    encoder = FactEncoder(graph, config.bag, run.vocabulary)
    program = build_knowledge_program(config, run.vocabulary, graph.num_steps, config.batch_size)
    return TrainedKnowledge(config, encoder, program, restore_params(program.init, run), entities_of(graph, questions))
