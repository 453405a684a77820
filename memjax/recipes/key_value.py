# SPDX-License-Identifier: Apache-2.0
"""Training a key-value Memory Network over a knowledge base, from its configuration."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx, struct

from memjax import hashing
from memjax.data.facts import KnowledgeGraph
from memjax.data.key_values import KeyValueEncoder, build_key_value_vocabulary
from memjax.data.metaqa import Question
from memjax.errors import RunError
from memjax.hashing import Index
from memjax.memory import Memory, empty, write_many
from memjax.models import KeyValueMemNN
from memjax.recipes.corpora import MetaQA
from memjax.recipes.fit import ReportFn, check_options, check_seeds, fit, restore_params, start_run
from memjax.recipes.key_value_config import KeyValueConfig
from memjax.recipes.program import over_seeds
from memjax.recipes.questions import entities_of
from memjax.recipes.runs import Run, open_run
from memjax.search import Queries, hashed
from memjax.training import KeyValueBatch, TrainState, create_state, make_epoch, make_key_value_loss, make_step
from memjax.typing import NUM_SPECIAL, Array, PyTree

#: Questions that are looked up side by side: bounds the temporary memory.
LOOKED_UP = 64


@struct.dataclass
class KeyValueMemory:
    """A knowledge base on the device.

    Attributes:
        memory: 2 N slots; keys are token ids, values rows of `candidates`.
        candidates: the token of each entity.
        index: the slots that hold a token in their key.
        rarity: of each token, log((2 N + 1) / slots that hold it); token t is at t - 2.
    """

    memory: Memory
    candidates: Array  # int32 [E, 1]
    index: Index
    rarity: Array  # [W]


@dataclasses.dataclass(frozen=True)
class KeyValueProgram:
    """What a run does on the device. Seeds lie along a leading axis R.

    Attributes:
        init: `fn(seeds [R]) -> state`.
        epoch: `fn(state, corpus) -> (state, metrics [R])`; the state is donated.
        model: the structure, without parameters.
    """

    init: Callable[[Array], TrainState]
    epoch: Callable[[TrainState, KeyValueBatch], tuple[TrainState, dict[str, Array]]]
    model: KeyValueMemNN


@dataclasses.dataclass(frozen=True)
class TrainedKeyValue:
    """Trained models over a knowledge base, one for each seed.

    Attributes:
        config: what was asked for.
        encoder: the knowledge base, and its vocabulary.
        program: the jitted functions.
        params: the parameters; leaves lead with the seeds.
        seen: the entities that training questions were about.
    """

    config: KeyValueConfig
    encoder: KeyValueEncoder
    program: KeyValueProgram
    params: PyTree  # leaves [R, ...]
    seen: frozenset[int]


def build_key_value_program(config: KeyValueConfig, encoder: KeyValueEncoder, num_examples: int) -> KeyValueProgram:
    """The program of a configuration.

    Args:
        config: its seed does not matter here.
        encoder: gives the number of tokens.
        num_examples: training questions; they set how fast the learning rate falls.
    """
    updates = max(num_examples // config.batch_size, 1) * config.epochs
    shared = dataclasses.replace(config, corpus=MetaQA(), seed=0)
    num_tokens = encoder.vocabulary.num_words
    return _program(shared, num_tokens, encoder.num_trained if config.names == "codes" else num_tokens, updates)


@functools.lru_cache(maxsize=8)
def _program(config: KeyValueConfig, num_tokens: int, num_trained: int, updates: int) -> KeyValueProgram:
    def make(key: Array) -> KeyValueMemNN:
        return KeyValueMemNN(
            num_tokens,
            num_trained,
            config.features,
            hops=config.reads,
            values=config.values,
            hop_matrices=config.hop_matrices,
            code_scale=config.code_scale,
            scale=config.scale,
            rngs=nnx.Rngs(key),
        )

    model = nnx.eval_shape(lambda: make(jax.random.key(0)))
    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, updates))
    loss = make_key_value_loss(targets=config.targets, negatives=config.negatives)
    epoch: Any = make_epoch(make_step(model, optimizer, loss), config.batch_size)

    def init(seed: Array) -> TrainState:
        weights, run = jax.random.split(jax.random.key(seed))
        return create_state(make(weights), optimizer, run)

    return KeyValueProgram(
        init=jax.jit(jax.vmap(init)), epoch=jax.jit(over_seeds(epoch), donate_argnums=0), model=model
    )


def encode_key_values(encoder: KeyValueEncoder) -> KeyValueMemory:
    """Puts a knowledge base on the device: the memory in which each pair is a slot, and the hash of its keys."""
    keys, values = jnp.asarray(encoder.keys), jnp.asarray(encoder.values)
    memory = write_many(empty(len(keys), keys[0], values[0]), keys, values)
    num_tokens = encoder.vocabulary.num_words
    index = hashing.build(memory, hashing.word_buckets(num_tokens + NUM_SPECIAL))
    sizes = np.bincount(encoder.keys.ravel(), minlength=num_tokens + NUM_SPECIAL)[NUM_SPECIAL:]
    rarity = np.log((len(encoder.keys) + 1) / np.maximum(sizes, 1)).astype(np.float32)
    return KeyValueMemory(memory, jnp.asarray(encoder.symbols), index, jnp.asarray(rarity))


def look_up(known: KeyValueMemory, questions: np.ndarray, memory: int, frequent: int) -> np.ndarray:
    """The hash in front: slots whose key shares a word with a question.

    Args:
        known: the knowledge base.
        questions: int `[Q, S]`, token ids.
        memory: K, slots that are kept: those with the rarest words in common.
        frequent: F, words of more keys than this find nothing.

    Returns:
        int32 `[Q, K]`, of all slots where these are fewer; -1 where fewer are found.

    Reference: Miller et al. 2016, section 3.1, key hashing.
    Departs from the paper: `memory` bounds what is found.
    """
    # Only words that find something go to the device: in rows of a few lengths, so that few programs are made.
    sizes = np.append(np.diff(np.asarray(known.index.offsets)), 0)
    at = np.where(questions < NUM_SPECIAL, len(sizes) - 1, questions - NUM_SPECIAL)
    finds = (sizes[at] > 0) & (sizes[at] <= frequent)
    rows = _pad([row[use].tolist() for row, use in zip(questions, finds, strict=True)], 0)
    rows = np.pad(rows, ((0, -len(rows) % LOOKED_UP), (0, _rounded(rows.shape[1]) - rows.shape[1])))
    width = _rounded(max(int(np.where(finds, sizes[at], 0).sum(axis=1).max()), memory))
    find = _look_up(min(memory, known.memory.num_slots), width)
    found = [find(known, jnp.asarray(part)) for part in rows.reshape(-1, LOOKED_UP, rows.shape[1])]
    return np.concatenate([np.asarray(slots) for slots in found])[: len(questions)]


def _rounded(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length()


@functools.lru_cache(maxsize=8)
def _look_up(memory: int, width: int) -> Callable[[KeyValueMemory, Array], Array]:
    def find(known: KeyValueMemory, questions: Array) -> Array:
        places = jnp.where(questions >= NUM_SPECIAL, questions - NUM_SPECIAL, known.rarity.shape[0])
        vectors = jax.vmap(lambda row: jnp.zeros_like(known.rarity).at[row].set(1.0, mode="drop"))(places)
        search = hashed(known.index, memory, width)
        return search(Queries(vectors * known.rarity[None], questions), known.memory).slots

    return jax.jit(find)


def encode_asked(
    encoder: KeyValueEncoder, known: KeyValueMemory, questions: Sequence[Question], config: KeyValueConfig
) -> KeyValueBatch:
    """Puts questions with answers on the device, with what the hash finds for them.

    Raises:
        ValueError: if there is no question.
    """
    if not questions:
        raise ValueError("questions: expected at least one, got none; check the files")
    tokens = _pad([encoder.question(question.text)[0] for question in questions], 0)
    answers = [[row for row in map(encoder.graph.entity, one.answers) if row >= 0] for one in questions]
    slots = look_up(known, tokens, config.memory, config.frequent)
    return KeyValueBatch(
        known.memory, known.candidates, jnp.asarray(tokens), jnp.asarray(slots), jnp.asarray(_pad(answers, -1))
    )


def _pad(rows: Sequence[Sequence[int]], fill: int) -> np.ndarray:
    array = np.full((len(rows), max(1, *map(len, rows))), fill, np.int32)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array


def train_key_value(
    config: KeyValueConfig,
    *,
    seeds: tuple[int, ...] | None = None,
    graph: KnowledgeGraph | None = None,
    questions: Sequence[Question] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    report: ReportFn = lambda done, epochs, metrics: None,
) -> TrainedKeyValue:
    """Trains over a knowledge base, from the answers alone.

    Args:
        config: the configuration.
        seeds: train several models side by side; `config.seed` alone by default.
        graph: the knowledge base, where it is read already; of `config.corpus` otherwise.
        questions: the training questions, likewise.
        folder: a run folder to keep it in; nothing is written without one.
        resume: go on with the run in `folder` from its last checkpoint, to the same bits as if it had not stopped.
        overwrite: replace the run in `folder`.
        tensorboard: also write TensorBoard events.
        report: called after each epoch.

    Returns:
        The trained models; `memjax.recipes.KeyValueReader` asks them.

    Raises:
        ValueError: if what is asked for cannot be had together, or no question's answer is among what the hash finds.
        RunError: if `folder` is there already, or holds another run than the one to be resumed; or the loss is no
            longer finite.
        DataError: if the corpus cannot be read, or a file in `folder` is damaged.
        ImportError: if TensorBoard events are asked for without the extra `tensorboard`.

    Reference: Miller et al. 2016, sections 3 and 5.1.
    """
    check_options(folder, resume, overwrite, tensorboard)
    seeds = check_seeds((config.seed,) if seeds is None else tuple(seeds))
    graph = config.corpus.graph() if graph is None else graph
    questions = config.corpus.questions("train") if questions is None else questions
    encoder = KeyValueEncoder(graph, config.bag, build_key_value_vocabulary(graph, questions, config.bag))
    corpus = encode_asked(encoder, encode_key_values(encoder), questions, config)
    if not _any_answer_is_found(corpus):
        raise ValueError(
            "questions: expected at least one whose answer the hash finds, got none; raise --frequent, or check files"
        )
    program = build_key_value_program(config, encoder, len(corpus))
    run = start_run(config, seeds, encoder.vocabulary, folder, resume, overwrite)
    params = fit(program, config, seeds, corpus, run, tensorboard, report)
    return TrainedKeyValue(config, encoder, program, params, entities_of(graph, questions))


def _any_answer_is_found(corpus: KeyValueBatch) -> bool:
    slots, answers = np.asarray(corpus.slots), np.asarray(corpus.answers)
    values = np.where(slots >= 0, np.asarray(corpus.memory.values)[slots], -2)
    return bool((values[:, :, None] == answers[:, None]).any())


def load_key_value(folder: Path, data_folder: str | None = None) -> TrainedKeyValue:
    """Loads the models of a run folder, from its last checkpoint, and reads the knowledge base again.

    Args:
        folder: a run folder.
        data_folder: where the corpora lie on this machine.

    Raises:
        RunError: if there is no such run or no checkpoint, or the checkpoint belongs to another run.
        DataError: if a file is damaged.
        ValueError: if it is not known where the corpora lie.
    """
    return restore_key_value(open_run(folder), data_folder)


def restore_key_value(run: Run, data_folder: str | None = None) -> TrainedKeyValue:
    """`load_key_value` of a run that is open."""
    config = run.config_of(KeyValueConfig, "a key-value run", data_folder)
    graph, questions = config.corpus.graph(), config.corpus.questions("train")
    if build_key_value_vocabulary(graph, questions, config.bag) != run.vocabulary:
        raise RunError(
            f"{run.folder}: the knowledge base or the training questions differ from those of the run; "
            "point --data to the same files"
        )
    encoder = KeyValueEncoder(graph, config.bag, run.vocabulary)
    program = build_key_value_program(config, encoder, len(questions))
    return TrainedKeyValue(config, encoder, program, restore_params(program.init, run), entities_of(graph, questions))
