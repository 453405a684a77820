# SPDX-License-Identifier: Apache-2.0
"""What does it save to train ten restarts side by side, over ten runs one after another?

    python -m benchmarks.restarts [--json FILE] [--repeats N]

One epoch of the end-to-end Memory Network's own training (of `memjax.recipes`: d = 20, three hops, 50 memories,
position encoding, random noise, batches of 32) over 1,000 questions of the simulated world, as many as a bAbI task has.
Ten restarts lie on a `jax.vmap` axis of one program; the peer is the same jitted epoch for one restart, which is
compiled once and called ten times. Every timing begins at the initial weights, and both must come to the same losses to
1e-4. Goal: 5 times as fast, on a GPU; on a CPU as it comes.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _harness
from memjax import data
from memjax.recipes import EndToEndConfig, Simulation
from memjax.recipes.end_to_end import one_symbol
from memjax.recipes.end_to_end_program import Longest, build_end_to_end
from memjax.recipes.program import encode
from memjax.training import CountedStories

RESTARTS, QUESTIONS = 10, 1000
TOLERANCE = 1e-4
GOAL = 5


def main() -> None:
    """Measures, prints and writes the table."""
    flags = _harness.parser(__doc__)
    args = flags.parse_args()

    config = EndToEndConfig(Simulation(difficulty=5, objects=True, num_questions=QUESTIONS), linear_start="none")
    examples = [one_symbol(example, config.memory) for example in config.corpus.examples("train")]
    vocabulary = data.Vocabulary.build(data.token_lists(examples))
    program = build_end_to_end(config, vocabulary.num_words, Longest(1, 1), len(examples) // config.batch_size)
    corpus = CountedStories.of(program.model, encode(examples, vocabulary))
    seeds = jnp.arange(RESTARTS)
    groups = {"side by side": [seeds], "one after another": list(seeds[:, None])}
    initial = {name: [program.init(group) for group in each] for name, each in groups.items()}
    compile_seconds = {
        name: _harness.compiled(program.epoch, each[0], corpus, donate=[0])[1] for name, each in initial.items()
    }
    states: dict[str, Any] = {}
    losses: dict[str, Any] = {}

    def restart(name: str) -> Any:
        states[name] = jax.tree.map(jnp.copy, initial[name])
        return states[name]

    def train(name: str) -> Any:
        losses[name] = [program.epoch(state, corpus)[1]["loss"] for state in states.pop(name)]
        return losses[name]

    times = _harness.interleaved({name: lambda name=name: train(name) for name in groups}, args.repeats, before=restart)
    found, peer = (np.concatenate([np.asarray(loss) for loss in losses[name]]) for name in groups)
    if not np.allclose(found, peer, rtol=TOLERANCE):
        raise AssertionError(f"losses: expected {peer} of the runs one after another, got {found} side by side")

    whole = times["one after another"].median
    rows = [
        [name, round(compile_seconds[name], 2), timing, round(whole / timing.median, 2), round(float(found.mean()), 4)]
        for name, timing in times.items()
    ]
    settings = {"questions": len(examples), "restarts": RESTARTS, "slots": config.memory, "repeats": args.repeats}
    _harness.report(args.json, settings, ["restarts", "compile s", "epoch ms", "x one after another", "loss"], rows)
    if jax.default_backend() == "gpu":
        print(_harness.verdict("restarts as an axis", rows[0][3], "ten runs", GOAL, GOAL))


if __name__ == "__main__":
    main()
