# SPDX-License-Identifier: Apache-2.0
"""Questions about images: Sort-of-CLEVR (Santoro et al. 2017), read by soft hops over a memory of cells or objects.

`python -m experiments.images` trains each seed of each row in a run folder of its own, from which it goes on after a
stop, and measures the test images once. Settings are chosen with `--split valid`, which never draws the test images.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from experiments import common
from memjax.recipes import IMAGE_RECIPES, ImageConfig, SortOfClevr, progress, train_images

_STATE, _PIXELS = IMAGE_RECIPES["state"], IMAGE_RECIPES["default"]
MODELS = {
    "state description": _STATE,
    "state description with supports": dataclasses.replace(_STATE, supports=1.0),
    "pixels": dataclasses.replace(_PIXELS, supports=0.0),
    "pixels with supports": _PIXELS,
    "CNN + MLP": dataclasses.replace(_PIXELS, model="mlp", supports=0.0),
}

#: The paper's accuracies on relational and other questions; of pixels those of its relation network.
PAPER = {"pixels": ("94", "94"), "CNN + MLP": ("63", "")}


@dataclasses.dataclass(frozen=True)
class Config:
    """Questions about images."""

    folder: Path = Path("runs/images_table")
    """The run folder; rows that it holds already are not measured again."""
    split: Literal["valid", "test"] = "test"
    """What is measured."""
    models: tuple[str, ...] = tuple(MODELS)
    """Rows of the table."""
    seeds: int = 3
    """Of initial weights and order, trained one after another; the images are the same."""
    images: int = SortOfClevr.num_train
    """To train on."""
    epochs: int = 0
    """Of each row; 0 for those of its configuration."""


def main(config: Config) -> None:
    """Trains and measures every model."""
    common.check_names("models", config.models, MODELS)
    kept = common.Rows(config.folder, config, {"split": config.split, "images": config.images, "epochs": config.epochs})
    rows = []
    for name in config.models:
        found = []
        for seed in range(config.seeds):
            settings = dataclasses.replace(MODELS[name], corpus=SortOfClevr(num_train=config.images), seed=seed)
            if config.epochs:
                settings = dataclasses.replace(settings, epochs=config.epochs)
            measure = lambda settings=settings, name=name: _measure(config, name, settings)  # noqa: E731
            found.append(kept.measure(f"{name} | seed {seed}", settings, measure))
        cells = [
            f"{common.spread(one[column][0] for one in found)}{f' [{paper}]' if paper else ''}"
            for column, paper in zip(("relational", "single"), PAPER.get(name, ("", "")), strict=True)
        ]
        valid = [common.spread(one["valid"][column][0] for one in found) for column in ("relational", "single")]
        rows.append([name, *cells, *valid, f"{found[0]['parameters']:,}", str(len(found))])
    columns = ["", "relational [paper]", "one object [paper]", "valid: relational", "valid: one object", "parameters"]
    common.finish(config.folder, common.markdown([*columns, "seeds"], rows))


def _measure(config: Config, name: str, settings: ImageConfig) -> dict[str, Any]:
    """Trains one seed, or goes on with training it, and measures it."""
    run = common.run_folder(config.folder, name) / str(settings.seed)
    with progress(f"{name}, seed {settings.seed}") as report:
        trained = train_images(settings, folder=run, resume=common.is_begun(run), report=report)
    return {
        **trained.evaluate(settings.corpus.scenes(config.split)),
        "valid": json.loads((run / "results.json").read_text())["valid"],
        "parameters": sum(int(np.prod(leaf.shape[1:])) for leaf in jax.tree.leaves(trained.params)),
    }


if __name__ == "__main__":
    common.run(main, Config, __doc__)
