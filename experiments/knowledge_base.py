# SPDX-License-Identifier: Apache-2.0
"""Large-scale question answering: section 5.1 of Weston et al. 2015, on MetaQA.

`python -m experiments.knowledge_base --data DIR` trains each row on nine tenths of the dev questions and tests it once
on the test questions, all triples of the knowledge base being memories. Settings are chosen with `--split valid`, the
last tenth, which never reads the test files. The last epoch counts.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from experiments import common
from memjax import hashing
from memjax.cli.pictures import save_picture
from memjax.memory import Memory
from memjax.models import FactMemNN
from memjax.recipes import KnowledgeBase, KnowledgeConfig, MetaQA, measure_knowledge, progress, train_knowledge
from memjax.recipes.knowledge import TrainedKnowledge
from memjax.recipes.knowledge_base import SearchOf, exact_search
from memjax.search import hashed
from memjax.typing import NUM_SPECIAL, Array, SearchFn

_OURS = KnowledgeConfig()
#: Embeddings alone have to tell all names apart by their codes, so these weigh more.
_EMBEDDINGS = dataclasses.replace(_OURS, match=False, code_scale=20.0)


def _more_hops(hops: int, **settings: Any) -> KnowledgeConfig:
    return dataclasses.replace(_OURS, supervision="types", corpus=MetaQA(hops=hops), **settings)


#: Rows: what is trained.
MODELS = {
    "embeddings": _EMBEDDINGS,
    "embeddings + match": _OURS,
    "words: embeddings": dataclasses.replace(_OURS, match=False, bag="words"),
    "words: embeddings + match": dataclasses.replace(_OURS, bag="words"),
    "words and phrases: embeddings + match": dataclasses.replace(_OURS, bag="both"),
    "in-batch negatives": dataclasses.replace(_OURS, negatives="in_batch"),
    "sampled negatives": dataclasses.replace(_OURS, negatives="sampled"),
    "sampled hinge": dataclasses.replace(_OURS, negatives="sampled", loss="hinge"),
    "supervised by question types": dataclasses.replace(_OURS, supervision="types"),
    "paraphrase training": dataclasses.replace(_OURS, corpus=MetaQA(paraphrases=True)),
    "2 hops": _more_hops(2),
    "2 hops, one chain": _more_hops(2, beam=1),
    "3 hops": _more_hops(3),
    "3 hops, one chain": _more_hops(3, beam=1),
}
#: Buckets of more facts than these are skipped, where frequent buckets are: of words, and of clusters.
MAX_BUCKETS = (1000, 8000)
#: Clusters of the cluster hash, as in the paper.
CLUSTERS = 1000


def _word_buckets(model: FactMemNN) -> Array:
    return hashing.word_buckets(model.num_tokens + NUM_SPECIAL)


def _cluster_buckets(model: FactMemNN) -> Array:
    return hashing.cluster_buckets(jax.random.key(0), model.token_vectors(), CLUSTERS)


def _hashed(
    buckets_of: Callable[[FactMemNN], Array], max_bucket: int | None, model: FactMemNN, memory: Memory
) -> Callable[[int], SearchFn]:
    """Search by a hash of the facts' tokens, wide enough for every question."""
    index = hashing.build(memory, buckets_of(model))
    sizes = np.sort(np.diff(np.asarray(index.offsets)))[::-1]
    sizes = sizes if max_bucket is None else sizes[sizes <= max_bucket]
    width = max(int(sizes[:16].sum()), 1)  # few questions have more tokens than this
    return lambda k: hashed(index, k, width, max_bucket=max_bucket)


#: Rows of Table 2: how facts are searched for.
SEARCHES: dict[str, SearchOf] = {
    "no hashing": exact_search,
    "word hash": partial(_hashed, _word_buckets, None),
    "word hash, frequent ones skipped": partial(_hashed, _word_buckets, MAX_BUCKETS[0]),
    "cluster hash": partial(_hashed, _cluster_buckets, None),
    "cluster hash, frequent ones skipped": partial(_hashed, _cluster_buckets, MAX_BUCKETS[1]),
}

#: Rows that also answer machine paraphrases of the test questions.
PARAPHRASED = ("embeddings + match", "paraphrase training")
#: Questions of the timing.
NUM_TIMED = 1024


@dataclasses.dataclass(frozen=True)
class Config:
    """MetaQA."""

    data: str | None = None
    """Folder with the corpora; the environment variable MEMJAX_DATA where it is not given."""
    folder: Path = Path("runs/knowledge_base")
    """The run folder; rows that it holds already are not measured again."""
    split: Literal["valid", "test"] = "test"
    """Which questions are measured."""
    models: tuple[str, ...] = tuple(MODELS)
    """What is trained."""
    searches: tuple[str, ...] = ("no hashing",)
    """no hashing, word hash, cluster hash; the hashes with ", frequent ones skipped" added leave big buckets out."""
    seeds: int = 3
    """Trained one after another; each with initial weights, an order and negatives of its own."""


def main(config: Config) -> None:
    """Trains and measures every row."""
    common.check_names("models", config.models, MODELS)
    common.check_names("searches", config.searches, SEARCHES)
    kept = common.Rows(config.folder, config, {"seeds": config.seeds, "split": config.split})
    results = {}
    for model in config.models:
        corpus = dataclasses.replace(MODELS[model].corpus, data=config.data)
        settings = dataclasses.replace(MODELS[model], corpus=corpus)
        for search in config.searches:
            name = f"{model} | {search}"
            results[name] = kept.measure(name, settings, partial(_row, name, settings, search, config))
    common.finish(config.folder, _table(results))
    _picture(config, results)


def _row(name: str, settings: KnowledgeConfig, search: str, config: Config) -> dict[str, Any]:
    """Trains the seeds, measures each, and times one."""
    trained = _trained(settings, config.seeds)
    questions = settings.corpus.questions(config.split)
    results: dict[str, Any] = measure_knowledge(trained, questions, SEARCHES[search])
    if config.split == "test" and name.split(" | ")[0] in PARAPHRASED:
        others = measure_knowledge(trained, settings.corpus.questions("paraphrased"), SEARCHES[search])
        results["hits@1 paraphrased"] = others["hits@1"]
    return {
        **results,
        "milliseconds": _milliseconds(KnowledgeBase(trained, search=SEARCHES[search]), questions[:NUM_TIMED]),
    }


@functools.lru_cache(maxsize=1)
def _trained(settings: KnowledgeConfig, seeds: int) -> TrainedKnowledge:
    """The models of a row, which all its searches share."""
    with progress("training") as report:
        return train_knowledge(settings, seeds=tuple(range(seeds)), report=report)


def _milliseconds(knowledge: KnowledgeBase, questions: Any) -> float:
    """Wall-clock time of a question among many, after a first call that compiles."""
    texts = [question.text for question in questions]
    knowledge.ask_all(texts[:256])
    times = []
    for _ in range(3):
        start = time.perf_counter()
        knowledge.ask_all(texts)
        times.append(time.perf_counter() - start)
    return round(1000 * float(np.median(times)) / len(texts), 3)


_COLUMNS = ("hits@1", "f1", "hits@1 seen", "hits@1 unseen", "f1 seen", "f1 unseen", "hits@1 paraphrased")


def _table(results: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, result in results.items():
        cells = [common.spread(result[column], digits=2) if column in result else "" for column in _COLUMNS]
        rows.append([name, *cells, common.spread(result["candidates"], 0), f"{result['milliseconds']:.2f}"])
    return common.markdown(["%", *_COLUMNS, "candidates", "ms a question"], rows)


def _picture(config: Config, results: dict[str, dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.4 * len(results) + 1.2), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(results))
    for offset, column, color in ((-0.2, "hits@1", "#7aa6d1"), (0.2, "f1", "#d1a67a")):
        scores = np.array([result[column] for result in results.values()])  # [rows, seeds]
        bars = common.error_bars(scores)
        axis.barh(places + offset, scores.mean(axis=1), 0.38, xerr=bars, color=color, label=column)
    axis.set(yticks=places, xlim=(0, 100), xlabel=f"{config.split}, %")
    axis.set_yticklabels(results)
    axis.invert_yaxis()
    axis.legend(loc="lower left", fontsize=8)
    save_picture(config.folder / "answers.png", figure)


if __name__ == "__main__":
    common.run(main, Config, __doc__)
