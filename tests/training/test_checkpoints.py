# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: restored to the bit, refused where they do not fit, and named where they are damaged."""

import pathlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import memory as mm
from memjax.errors import RunError
from memjax.training import load_pytree, save_pytree
from memjax.training.checkpoints import Checkpoints, describe_difference

METADATA = {"config": {"features": 3, "hops": 2}, "vocabulary": "abc"}


def state(step: int) -> dict:
    """A state with all that a training run keeps: numbers of several dtypes, nested, and a random key."""
    return {
        "step": jnp.int32(step),
        "params": {"weights": jnp.arange(6.0).reshape(2, 3) / 7 + step, "half": jnp.full(2, 1 / 3, jnp.bfloat16)},
        "opt_state": (jnp.array([1e-30, -0.0, jnp.inf]), jnp.zeros((), jnp.int8)),
        "key": jax.random.key(step),
    }


def like(tree: dict) -> dict:
    """Shapes and dtypes alone."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def bits(tree: dict) -> list[tuple[str, bytes]]:
    """Dtype and bytes of every array."""
    leaves = jax.tree.leaves(tree | {"key": jax.random.key_data(tree["key"])})
    return [(str(leaf.dtype), np.asarray(leaf).tobytes()) for leaf in leaves]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the checkpoints of steps 10 and 15; not to be changed."""
    folder = tmp_path_factory.mktemp("checkpoints")
    checkpoints = Checkpoints(folder, METADATA)
    for step in (5, 10, 15):
        checkpoints.save(step, state(step))
    checkpoints.close()
    return folder


@pytest.fixture
def copy(saved: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """The same, to be changed."""
    return shutil.copytree(saved, tmp_path / "copy")


def restore(folder: pathlib.Path, tree: dict | None = None, metadata: dict = METADATA) -> dict:
    checkpoints = Checkpoints(folder, metadata, read_only=True)
    try:
        return checkpoints.restore(like(state(0)) if tree is None else tree)
    finally:
        checkpoints.close()


def test_the_newest_comes_back_to_the_bit(saved):
    assert bits(restore(saved)) == bits(state(15))


def test_a_state_of_arrays_will_do_as_pattern(saved):
    assert bits(restore(saved, state(0))) == bits(state(15))


def test_the_last_two_are_kept(saved):
    assert sorted(int(path.name) for path in saved.iterdir() if path.name.isdigit()) == [10, 15]


def test_a_step_that_is_saved_stays_as_it_is(copy):
    checkpoints = Checkpoints(copy, METADATA)
    checkpoints.save(15, state(99))
    checkpoints.save(12, state(99))
    assert checkpoints.step == 15
    checkpoints.close()
    assert bits(restore(copy)) == bits(state(15))


def test_without_the_newest_the_one_before_is_restored(copy):
    shutil.rmtree(copy / "15")
    assert bits(restore(copy)) == bits(state(10))


def test_no_checkpoint(tmp_path):
    with pytest.raises(RunError, match=rf"^{re.escape(str(tmp_path))}: expected a checkpoint, found none"):
        restore(tmp_path)
    with pytest.raises(RunError, match="none: expected a checkpoint, found none"):
        restore(tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (METADATA | {"vocabulary": "abd"}, r"belongs to something else: vocabulary: saved 'abc', asked for 'abd'$"),
        (METADATA | {"config": {"features": 4, "hops": 2}}, r"config\.features: saved 3, asked for 4$"),
        (METADATA | {"config": {"features": 3}}, r"config\.hops: saved 2, asked for 'nothing'$"),
        (
            METADATA | {"config": {"features": 4, "hops": 3}},
            r"features: saved 3, asked for 4; config\.hops: saved 2, asked for 3$",
        ),
    ],
)
def test_other_metadata_is_named(saved, metadata, message):
    with pytest.raises(RunError, match=message):
        restore(saved, metadata=metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": jnp.zeros((2, 4))}, r"params\.weights: saved 'float32\[2, 3\]', asked for 'float32\[2, 4\]'$"),
        ({"half": jnp.zeros(2)}, r"params\.half: saved 'bfloat16\[2\]', asked for 'float32\[2\]'$"),
        ({"more": jnp.zeros(1)}, r"params\.more: saved 'nothing', asked for 'float32\[1\]'$"),
    ],
)
def test_other_arrays_are_named(saved, change, message):
    tree = state(0)
    tree["params"] |= change
    with pytest.raises(RunError, match=rf"does not fit: {message}"):
        restore(saved, like(tree))


def test_an_array_that_is_not_asked_for_is_named(saved):
    tree = state(0)
    del tree["params"]["half"]
    with pytest.raises(RunError, match=r"params\.half: saved 'bfloat16\[2\]', asked for 'nothing'$"):
        restore(saved, like(tree))


DAMAGES = ("_CHECKPOINT_METADATA", "state/_METADATA", "state/manifest.ocdbt", "state/d/*")


@pytest.mark.parametrize("how", ["delete", "empty", "cut", "flip"])
@pytest.mark.parametrize("pattern", DAMAGES)
def test_a_damaged_checkpoint_is_named_with_a_way_out(copy, pattern, how):
    (path,) = (copy / "15").glob(pattern)
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    if how == "delete":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": content[:middle], "flip": flipped}[how])
    where, name = re.escape(str(copy / "15")), re.escape(path.name)
    with pytest.raises(RunError, match=rf"^{where}: .*damaged.*{name}.*remove that folder to use step 10"):
        restore(copy)
    shutil.rmtree(copy / "15")  # as the message says
    assert bits(restore(copy)) == bits(state(10))


@pytest.mark.parametrize("content", ["", "{", '{"state/_METADATA": "0"}'])
def test_damaged_digests(copy, content):
    (copy / "15" / "sha256.json").write_text(content)
    with pytest.raises(RunError, match=r"15: the checkpoint is damaged, .*(sha256\.json|state/_METADATA)"):
        restore(copy)


def test_without_digests_as_after_a_kill_just_after_the_save(copy):
    (copy / "15" / "sha256.json").unlink()
    assert bits(restore(copy)) == bits(state(15))


def test_every_number_is_watched(copy):
    for path in (copy / "15").rglob("*"):
        if path.is_file() and path.name != "sha256.json":
            content = path.read_bytes()
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            with pytest.raises(RunError, match=re.escape(path.name)):
                restore(copy)
            path.write_bytes(content)
    assert bits(restore(copy)) == bits(state(15))


def test_the_only_checkpoint_damaged_before_its_digests_were_written(copy):
    shutil.rmtree(copy / "10")
    shutil.rmtree(copy / "15" / "state")
    (copy / "15" / "sha256.json").unlink()
    with pytest.raises(RunError, match=r"15: the checkpoint is damaged, \w+ in reading it; there is no other one$"):
        restore(copy)


def test_what_a_killed_save_left_is_removed_by_the_run_alone(copy):
    left = copy / "20.orbax-checkpoint-tmp"
    shutil.copytree(copy / "15" / "state", left / "state")
    assert bits(restore(copy)) == bits(state(15))
    assert left.is_dir(), "a reader must not touch what a run may be saving"
    checkpoints = Checkpoints(copy, METADATA)
    assert checkpoints.step == 15
    checkpoints.save(20, state(20))
    checkpoints.close()
    assert not left.exists()
    assert bits(restore(copy)) == bits(state(20))


@pytest.mark.parametrize("gone", ["state", "state/_METADATA", "_CHECKPOINT_METADATA", "sha256.json"])
def test_an_older_checkpoint_that_was_being_removed_does_no_harm(copy, gone):
    path = copy / "10" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert bits(restore(copy)) == bits(state(15))
    checkpoints = Checkpoints(copy, METADATA)
    checkpoints.save(20, state(20))
    checkpoints.close()
    assert bits(restore(copy)) == bits(state(20))
    assert not (copy / "10").exists()


def test_describe_difference():
    saved = {"same": 1, "gone": {"a": 1}, "deep": {"x": {"y": [1]}}, "kind": 1}
    asked = {"same": 1, "deep": {"x": {"y": [2]}}, "kind": {"a": 1}, "new": None}
    assert describe_difference(saved, asked) == [
        "deep.x.y: saved [1], asked for [2]",
        "gone: saved {'a': 1}, asked for 'nothing'",
        "kind: saved 1, asked for {'a': 1}",
        "new: saved 'nothing', asked for None",
    ]
    assert describe_difference(saved, saved) == []


def test_a_memory_is_saved_and_loaded_without_a_trainer(tmp_path):
    folder = tmp_path / "new" / "memory"
    memory = mm.empty(4, {"key": jnp.zeros(2)}, jnp.int32(0))
    memory = mm.write(memory, {"key": jnp.array([1 / 3, -0.0])}, jnp.int32(7))
    save_pytree(folder, {"facts": memory, "seed": jax.random.key(3)})
    like = jax.eval_shape(lambda: {"facts": memory, "seed": jax.random.key(0)})
    loaded = load_pytree(str(folder), like)
    assert isinstance(loaded["facts"], mm.Memory)
    for one, other in zip(jax.tree.leaves(loaded["facts"]), jax.tree.leaves(memory), strict=True):
        assert one.dtype == other.dtype and one.tobytes() == other.tobytes()
    assert (jax.random.key_data(loaded["seed"]) == jax.random.key_data(jax.random.key(3))).all()

    with pytest.raises(RunError, match=r"memory: expected nothing saved there; pass overwrite=True to replace it"):
        save_pytree(folder, memory)
    wider = like | {"facts": jax.eval_shape(lambda: mm.empty(4, {"key": jnp.zeros(3)}, jnp.int32(0)))}
    with pytest.raises(
        RunError, match=r"does not fit: facts\.keys\.key: saved 'float32\[4, 2\]', asked for 'float32\[4, 3\]'$"
    ):
        load_pytree(folder, wider)
    save_pytree(folder, {"facts": memory.replace(values=memory.values + 1)}, overwrite=True)
    del like["seed"]
    assert load_pytree(folder, like)["facts"].values.tolist() == [8, 1, 1, 1]
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1
    (path,) = folder.glob("*/state/manifest.ocdbt")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(
        RunError, match=r"the checkpoint is damaged, not as it was saved: .*manifest\.ocdbt; there is no"
    ):
        load_pytree(folder, like)


def test_a_numbered_folder_of_somebody_else_is_not_taken_for_a_checkpoint(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="expected a folder of save_pytree or none, found 7 in it"):
            save_pytree(tmp_path, {"a": jnp.zeros(1)}, overwrite=overwrite)
    assert (tmp_path / "7" / "thesis.txt").read_text() == "precious"


def test_what_cannot_be_saved_or_loaded(tmp_path):
    with pytest.raises(ValueError, match=r"empty\.0: expected an array with elements, got shape \(0, 3\)"):
        save_pytree(tmp_path, {"empty": [jnp.zeros((0, 3))]})
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(RunError, match="expected arrays of save_pytree, found nothing; check the folder's name"):
            load_pytree(folder, {"a": jnp.zeros(1)})
    assert not (tmp_path / "none").exists()
