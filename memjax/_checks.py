# SPDX-License-Identifier: Apache-2.0
"""Checks at the border: each message says the argument, what was expected, what came, and what to do."""

import difflib
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memjax.typing import PyTree


def positive(name: str, value: int) -> None:
    """Raises `ValueError` unless `value` is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}: expected an integer of at least 1, got {value!r}")


def above_zero(name: str, value: float) -> None:
    """Raises `ValueError` unless `value` is a finite number above 0."""
    if not (_is_number(value) and 0 < value < float("inf")):
        raise ValueError(f"{name}: expected a number above 0, got {value!r}")


def at_least_zero(name: str, value: float) -> None:
    """Raises `ValueError` unless `value` is a finite number of at least 0."""
    if not (_is_number(value) and 0 <= value < float("inf")):
        raise ValueError(f"{name}: expected a number of at least 0, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


class NoEffectError(ValueError):
    """A field of a configuration, `name`, was given that has no effect there."""

    def __init__(self, name: str, message: str):
        super().__init__(message)
        self.name = name


def no_effect(config: Any, names: Iterable[str], where: str) -> None:
    """Raises `NoEffectError` where a field of a configuration that has no effect there differs from its default."""
    for name in names:
        value, default = getattr(config, name), getattr(type(config), name)
        if value != default:
            raise NoEffectError(
                name, f"{name}: expected no other than {default!r} {where}, got {value!r}; pass {default!r}"
            )


def one_of(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Raises `ValueError` unless `value` is among `choices`; proposes the nearest one."""
    choices = list(choices)
    if value in choices:
        return
    by_letters = {str(choice).lower(): str(choice) for choice in choices}
    near = difflib.get_close_matches(str(value).lower(), by_letters, n=1)
    hint = f"; did you mean {by_letters[near[0]]!r}?" if near else ""
    raise ValueError(f"{name}: expected one of {choices}, got {value!r}{hint}")


def rank(name: str, array: Any, expected: int, axes: str) -> None:
    """Raises `ValueError` unless `array` has `expected` axes, described by `axes` (as `[N, D]`)."""
    if jnp.ndim(array) != expected:
        more = "this takes one item, lift it over a batch with jax.vmap"
        fewer = "of a single item, make a batch of one with array[None]"
        advice = more if jnp.ndim(array) > expected else fewer
        raise ValueError(f"{name}: expected {expected} axes {axes}, got shape {jnp.shape(array)}; {advice}")


def leading_size(name: str, tree: PyTree) -> int:
    """Returns the size of the leading axis of the first leaf; raises `ValueError` where there is none."""
    leaves = jax.tree.leaves(tree)
    if not leaves or jnp.ndim(leaves[0]) == 0:
        raise ValueError(f"{name}: expected leaves with a leading axis, one for each item, got {tree!r}")
    return int(jnp.shape(leaves[0])[0])


def slot_indices(name: str, slots: Any) -> None:
    """Raises `ValueError` unless `slots` is an integer array `[K]`."""
    rank(name, slots, 1, "[K]")
    if not jnp.issubdtype(jnp.result_type(slots), jnp.integer):
        raise ValueError(
            f"{name}: expected integers, got dtype {jnp.result_type(slots)}; convert it with .astype(int32)"
        )


def shape(name: str, array: Any, expected: tuple[int, ...]) -> None:
    """Raises `ValueError` unless `array` has the shape `expected`."""
    if jnp.shape(array) != tuple(expected):
        raise ValueError(f"{name}: expected shape {tuple(expected)}, got {jnp.shape(array)}")


def integers(name: str, array: Any) -> None:
    """Raises `ValueError` unless `array` holds integers."""
    if not jnp.issubdtype(jnp.result_type(array), jnp.integer):
        raise ValueError(f"{name}: expected integers, got dtype {jnp.result_type(array)}; encode words first")


def floats(name: str, array: Any, hint: str = "embed token ids first") -> None:
    """Raises `ValueError` unless `array` holds floats; `hint` says what to do."""
    if not jnp.issubdtype(jnp.result_type(array), jnp.floating):
        raise ValueError(f"{name}: expected floats, got dtype {jnp.result_type(array)}; {hint}")


def sequences(
    name: str, inputs: Any, features: int, lengths: Any = None, lengths_name: str = "lengths"
) -> tuple[int, int, Any]:
    """Returns B, T and `lengths` as an array; raises `ValueError` unless inputs are floats `[B, T, features]`, T >= 1.

    `lengths`, where given, must be integers `[B]`, and within [0, T] where they are known (not traced).
    """
    got = jnp.shape(inputs)
    if len(got) != 3 or got[2] != features:
        raise ValueError(f"{name}: expected shape [B, T, {features}] (batch, steps, features), got {got}")
    floats(name, inputs)
    if got[1] == 0:
        raise ValueError(f"{name}: expected at least one step, got shape {got}; leave empty batches out")
    if lengths is not None:
        lengths = jnp.asarray(lengths)
        shape(lengths_name, lengths, got[:1])
        if not jnp.issubdtype(jnp.result_type(lengths), jnp.integer):
            raise ValueError(f"{lengths_name}: expected integers, got dtype {jnp.result_type(lengths)}")
        if not isinstance(lengths, jax.core.Tracer):
            known = np.asarray(lengths)
            if known.size and not (known.min() >= 0 and known.max() <= got[1]):
                raise ValueError(
                    f"{lengths_name}: expected values in [0, {got[1]}], the steps of {name}, got {known.tolist()}; "
                    "pad the inputs to the longest length"
                )
    return got[0], got[1], lengths


def same_leaves(name: str, tree: PyTree, like_name: str, like: PyTree, drop: int, lead: tuple[int, ...] = ()) -> None:
    """Raises `ValueError` unless `tree` looks like `like`, its first `drop` axes replaced by those of `lead`."""
    leaves, like_leaves = jax.tree.leaves_with_path(tree), jax.tree.leaves_with_path(like)
    structure: Any = jax.tree.structure(tree)
    if structure != jax.tree.structure(like):
        raise ValueError(f"{name}: expected the structure of {like_name}, {jax.tree.structure(like)}, got {structure}")
    for (path, leaf), (_, like_leaf) in zip(leaves, like_leaves, strict=True):
        shape, dtype = jnp.shape(leaf), jnp.result_type(leaf)
        expected = lead + jnp.shape(like_leaf)[drop:]
        at = f"{name}{jax.tree_util.keystr(path)}"
        if shape != expected:
            items = f"{lead} items like" if lead else "as"
            raise ValueError(f"{at}: expected shape {expected}, {items} one slot of {like_name}, got {shape}")
        if dtype != jnp.result_type(like_leaf):
            raise ValueError(
                f"{at}: expected dtype {jnp.result_type(like_leaf)}, as {like_name}, got {dtype}; "
                "convert it with .astype"
            )
