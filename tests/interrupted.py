# SPDX-License-Identifier: Apache-2.0
"""A training that is killed, for tests of what goes on after it."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from memjax.recipes.runs import open_run


class Killed(Exception):
    """Stands for a kill inside this process."""


def killed(train: Callable[..., Any], folder: pathlib.Path, epochs: float = 1) -> None:
    """Runs `train(folder=.., report=..)`, which saves after each epoch, and kills it when so many are done.

    Part of an epoch, as in 1.1, is inside the next one, where a recipe reports from there.
    """

    def die(done, total, metrics):
        if done >= epochs:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memjax.recipes.fit.SAVE_SECONDS", -1)
        with pytest.raises(Killed):
            train(folder=folder, report=die)
    assert open_run(folder).checkpoints(read_only=True).step, "it has something to go on from"
