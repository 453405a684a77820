# SPDX-License-Identifier: Apache-2.0
"""Fewer slots than statements: what to forget. Section 2 of Weston et al. 2015, which leaves it open.

`python -m experiments.forgetting` trains one Memory Network as in Table 5 (D5 actor + object, k = 2 + time), then tells
it long stories of the same world and asks along the way, with memories of 4 to 128 slots that forget in different ways.
Nothing is trained for forgetting. Settings were chosen with `--split valid`, on other stories.
"""

import dataclasses
import functools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from experiments import common
from memjax.cli.pictures import save_picture
from memjax.data import Example, Topics, encode, simulation
from memjax.memory import Memory, credit, empty, least_used_slot, merge, next_slot, oldest_slot, valid, write
from memjax.models import MemNN
from memjax.recipes import AnsweringConfig, Simulation, Splits, Trained, load_splits, progress, train
from memjax.training import with_params
from memjax.typing import Array, PyTree, SlotFn

_OURS = AnsweringConfig(epochs=20)
SLOTS = (4, 8, 16, 32, 64, 128)
#: Stories, and the statements and questions of each.
NUM_STREAMS, NUM_STATEMENTS, NUM_QUESTIONS = 8, 512, 256
_COLUMNS = (*SLOTS, NUM_STATEMENTS)


@struct.dataclass
class Streams:
    """B stories of T statements, with at most one question after each."""

    sentences: Array  # int32 [M, S]
    about: Array  # int32 [M]
    names: Array  # bool [M, words]
    told: Array  # int32 [B, T], rows of sentences; 0 after a story's last question
    questions: Array  # int32 [B, T, S]
    answers: Array  # int32 [B, T], PAD where nothing is asked


@dataclasses.dataclass(frozen=True)
class Policy:
    """How a memory of too few slots is written.

    Args:
        slot_fn: where a statement goes, after others were merged into it.
        merges: not; or facts that a newer one makes obsolete are forgotten: all, or those that no other one needs.
        fades: usage decays, and a new fact counts as used.
        slots: sizes to measure.
    """

    slot_fn: SlotFn
    merges: Literal["no", "all", "not needed"] = "no"
    fades: bool = False
    slots: tuple[int, ...] = SLOTS


ROWS = {
    "next slot": Policy(next_slot),
    "ring": Policy(oldest_slot),
    "least used": Policy(least_used_slot),
    "least used, fading": Policy(least_used_slot, fades=True),
    "merged, newest facts alone": Policy(least_used_slot, "all", fades=True),
    "merged": Policy(least_used_slot, "not needed", fades=True),
    "nothing forgotten": Policy(next_slot, slots=(NUM_STATEMENTS,)),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Forgetting."""

    folder: Path = Path("runs/forgetting")
    """The run folder; rows that it holds already are not measured again."""
    split: Literal["valid", "test"] = "test"
    """Which stories are told."""
    seeds: int = 5
    """Trained side by side; each with initial weights and an order of its own."""
    decay: float = 0.5
    """What usage is multiplied by at each statement, where it fades."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Which rows."""


def main(config: Config) -> None:
    """Measures every row."""
    common.check_names("rows", config.rows, ROWS)
    shared = {name: getattr(config, name) for name in ("seeds", "split", "decay")}
    kept = common.Rows(config.folder, config, shared)
    results = {name: kept.measure(name, _OURS, partial(_row, ROWS[name], config)) for name in config.rows}
    header = ["accuracy, %", *(f"{size} slots" for size in _COLUMNS), "most held"]
    common.finish(config.folder, common.markdown(header, [_cells(name, row) for name, row in results.items()]))
    _picture(config, results)


@functools.lru_cache(maxsize=1)
def _trained(seeds: int) -> tuple[Trained, Splits]:
    splits = load_splits(_OURS.corpus)
    with progress("training") as report:
        return train(_OURS, seeds=tuple(range(seeds)), splits=splits, report=report), splits


@functools.lru_cache(maxsize=1)
def _streams(seeds: int, split: str) -> Streams:
    """Stories of other worlds than the one trained on, each with initial places of its own."""
    generate = partial(
        simulation.generate,
        num_statements=NUM_STATEMENTS,
        num_questions=NUM_QUESTIONS,
        window=NUM_STATEMENTS,
        difficulty=Simulation.difficulty,
    )
    examples = [example for seed in range(NUM_STREAMS) for example in generate(seed, split)]
    trained, splits = _trained(seeds)
    stories = encode(examples, trained.vocabulary)
    about, names = Topics.learn(cast("tuple[Example, ...]", splits.train)).of(stories.sentences, trained.vocabulary)
    # A question sees its whole story so far: the last one of a story sees all that is ever asked about.
    told = np.maximum(stories.slots.reshape(NUM_STREAMS, NUM_QUESTIONS, -1)[:, -1], 0)  # [B, T]
    at = np.repeat(np.arange(NUM_STREAMS), NUM_QUESTIONS), (stories.slots >= 0).sum(axis=1) - 1
    questions = np.zeros((*told.shape, stories.questions.shape[1]), np.int32)
    answers = np.zeros(told.shape, np.int32)
    questions[at], answers[at] = stories.questions, stories.answers[:, 0]
    return Streams(*map(jnp.asarray, (stories.sentences, about, names, told, questions, answers)))


def _row(policy: Policy, config: Config) -> dict[str, Any]:
    trained, _ = _trained(config.seeds)
    streams = _streams(config.seeds, config.split)
    result: dict[str, Any] = {"accuracy": {}, "most_held": {}}
    for num_slots in policy.slots:

        def one(params: PyTree, num_slots: int = num_slots) -> tuple[Array, Array]:
            return run(with_params(trained.program.model, params), streams, policy, num_slots, config.decay)

        right, held = jax.device_get(jax.jit(jax.vmap(one))(trained.params))  # [R, B, T]
        asked = np.asarray(streams.answers) > 0
        result["accuracy"][str(num_slots)] = [round(100 * float(r[asked].mean()), 4) for r in right]
        result["most_held"][str(num_slots)] = int(held.max())
    return result


def run(model: MemNN, streams: Streams, policy: Policy, num_slots: int, decay: float) -> tuple[Array, Array]:
    """Tells stories to memories and asks.

    Args:
        model: a trained Memory Network.
        streams: B stories of T statements.
        policy: how to write.
        num_slots: N.
        decay: of usage, where it fades.

    Returns:
        Bool `[B, T]`, the questions answered right; int32 `[B, T]`, slots that held something at that time.
    """
    keys = jax.vmap(model.embed)(streams.sentences)
    store = _store(policy, streams)

    def step(memory: Memory, item: tuple[Array, ...]) -> tuple[Memory, tuple[Array, Array]]:
        row, question, answer = item
        memory = store(memory, row)
        embedded = dataclasses.replace(
            memory,
            keys=jax.tree.map(lambda leaf: leaf[memory.keys], keys),
            values=streams.sentences[memory.values],
        )
        reply = model(question, embedded)
        found = reply.hops.slots
        share = jnp.where(answer > 0, jnp.ones(found.shape) / found.shape[0], 0.0)
        if policy.fades:
            newest = jnp.argmax(memory.times)[None]
            memory = credit(memory, jnp.append(found, newest), jnp.append(share, 1.0), decay)
        else:
            memory = credit(memory, found, share)
        return memory, ((reply.words[0] == answer) & (answer > 0), valid(memory).sum())

    def story(*items: Array) -> tuple[Array, Array]:
        return jax.lax.scan(step, empty(num_slots, jnp.int32(0), jnp.int32(0)), items)[1]

    return jax.vmap(story)(streams.told, streams.questions, streams.answers)


def _store(policy: Policy, streams: Streams) -> Callable[[Memory, Array], Memory]:
    """How one statement, a row of `sentences`, is written; keys of the memory are rows, too."""

    def same(key: Array, held: Array) -> Array:
        return (streams.about[key] >= 0) & (streams.about[key] == streams.about[held])

    def needs(key: Array, held: Array) -> Array:
        return (streams.about[key] >= 0) & streams.names[held, streams.about[key]]

    def store(memory: Memory, row: Array) -> Memory:
        if policy.merges == "no":
            return write(memory, row, row, policy.slot_fn, row > 0)
        return merge(memory, row, row, same, needs if policy.merges == "not needed" else None, policy.slot_fn, row > 0)

    return store


def _cells(name: str, row: dict[str, Any]) -> list[str]:
    sizes = list(row["accuracy"])
    cells = [common.spread(row["accuracy"][size], digits=2) if size in sizes else "" for size in map(str, _COLUMNS)]
    return [name, *cells, str(row["most_held"][sizes[-1]])]


def _picture(config: Config, results: dict[str, dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axis = figure.subplots()
    for name, row in results.items():
        accuracy = np.array(list(row["accuracy"].values()))  # [sizes, R]
        if name == "nothing forgotten":
            axis.axhline(accuracy.mean(), color="#666666", linewidth=0.8, linestyle="--", label=name)
            continue
        bars = common.error_bars(accuracy)
        axis.errorbar(SLOTS, accuracy.mean(axis=1), yerr=bars, marker="o", markersize=4, label=name)
    axis.set_xscale("log", base=2)
    axis.set_xticks(SLOTS, map(str, SLOTS))
    axis.set(xlabel=f"slots, for {NUM_STATEMENTS} statements", ylabel="accuracy, %", ylim=(0, 103))
    figure.legend(loc="outside right upper", fontsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    save_picture(config.folder / "forgetting.png", figure)


if __name__ == "__main__":
    common.run(main, Config, __doc__)
