# SPDX-License-Identifier: Apache-2.0
"""What training changes, as one pytree; and the functions that change it."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx, struct

from memjax import _checks
from memjax.typing import Array, PyTree


@struct.dataclass
class TrainState:
    """All that a training run must keep to go on to the same bits.

    The position in the data follows from `step` and `key`: each epoch has an order of its own, drawn from them.
    Stack states along a leading axis, and `jax.vmap` the step, to train seeds side by side.

    Attributes:
        step: steps taken.
        params: the model's parameters.
        opt_state: the optimizer's state.
        key: the seed's random key; it never changes.
    """

    step: Array  # int32 []
    params: PyTree
    opt_state: PyTree
    key: Array


class Batches(Protocol):
    """A batch of examples, or a corpus of them; `memjax.training.StoryBatch` is one."""

    def __len__(self) -> int:
        """The number of examples."""
        ...

    def take(self, indices: Array) -> Any:
        """The examples at `indices`, int `[B]`."""
        ...


#: `fn(model, batch, key) -> (loss, metrics)`, with a dictionary of scalars.
ModelLossFn = Callable[[Any, Any, Array], tuple[Array, dict[str, Array]]]
#: `fn(state, batch) -> (state, metrics)`.
StepFn = Callable[[TrainState, Any], tuple[TrainState, dict[str, Array]]]


def create_state(model: nnx.Module, optimizer: optax.GradientTransformation, key: Array) -> TrainState:
    """Starts a training run.

    Args:
        model: any module whose only state is its parameters; these are copied.
        optimizer: any optax optimizer.
        key: a random key, the seed of the run.

    Returns:
        The state before the first step.

    Example:
        >>> from memjax.models import MemNN
        >>> state = create_state(MemNN(6, 8, rngs=nnx.Rngs(0)), optax.sgd(0.01), jax.random.key(0))
        >>> int(state.step)
        0
    """
    # Copies: a step that donates its state must not take the model's own arrays, or the caller's key, with it; and some
    # optimizers begin with the parameters themselves.
    params = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    opt_state = jax.tree.map(jnp.copy, optimizer.init(params))
    return TrainState(jnp.zeros((), jnp.int32), params, opt_state, jnp.copy(key))


def with_params(model: nnx.Module, params: PyTree) -> Any:
    """The model with other parameters; `model` itself stays as it is.

    Args:
        model: gives the structure only.
        params: `TrainState.params`.
    """
    graphdef, state = nnx.split(model)
    state = jax.tree.map(lambda leaf: leaf, state)
    nnx.replace_by_pure_dict(state, params)
    return nnx.merge(graphdef, state)


def make_step(model: nnx.Module, optimizer: optax.GradientTransformation, loss_fn: ModelLossFn) -> StepFn:
    """Makes the train step as a pure function: to be jitted, vmapped over seeds, or scanned over an epoch.

    Args:
        model: gives the structure only.
        optimizer: the one the state was created with.
        loss_fn: the loss.

    Returns:
        `fn(state, batch) -> (state, metrics)`; the metrics of the loss function, and `loss` itself.

    Example:
        Jitted, with the old state's memory used again:

        >>> from memjax.models import MemNN
        >>> from memjax.training import StoryBatch, make_memnn_loss
        >>> batch = StoryBatch(
        ...     sentences=jnp.array([[0, 0], [2, 3], [4, 5]]), slots=jnp.array([[1, 2, -1]]),
        ...     questions=jnp.array([[2, 0]]), supports=jnp.array([[0]]), answers=jnp.array([[3]]))
        >>> model, optimizer = MemNN(4, 8, rngs=nnx.Rngs(0)), optax.sgd(0.01)
        >>> step = jax.jit(make_step(model, optimizer, make_memnn_loss()), donate_argnums=0)
        >>> state, metrics = step(create_state(model, optimizer, jax.random.key(0)), batch)
        >>> int(state.step)
        1
    """

    def step(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(state.key, state.step)

        def loss(params: PyTree) -> tuple[Array, dict[str, Array]]:
            return loss_fn(with_params(model, params), batch, key)

        (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        state = dataclasses.replace(state, step=state.step + 1, params=params, opt_state=opt_state)
        return state, {"loss": value, **metrics}

    return step


def make_epoch(step: StepFn, batch_size: int) -> StepFn:
    """Makes one pass over a corpus that lies on the device: one `lax.scan`, no host in between.

    Each epoch has its own order, drawn from the state's key and its number. What does not fill a batch at the end is
    left out of that epoch.

    Args:
        step: of `make_step`.
        batch_size: B; a corpus with fewer examples is one batch.

    Returns:
        `fn(state, corpus) -> (state, metrics)`, metrics averaged over the epoch.

    Raises:
        ValueError: if `batch_size` is below 1.
    """
    _checks.positive("batch_size", batch_size)

    def epoch(state: TrainState, corpus: Batches) -> tuple[TrainState, dict[str, Array]]:
        size = min(batch_size, len(corpus))
        steps = len(corpus) // size
        # Orders are drawn from a key that no step uses: steps fold in their number, which never gets there.
        order_key = jax.random.fold_in(jax.random.fold_in(state.key, np.uint32(2**32 - 1)), state.step // steps)
        order = jnp.argsort(jax.random.bits(order_key, (len(corpus),)))  # one sort; a tie of 32 bits is no harm
        order = order[: steps * size].reshape(steps, size)  # [steps, B]
        state, metrics = jax.lax.scan(lambda state, indices: step(state, corpus.take(indices)), state, order)
        return state, jax.tree.map(jnp.mean, metrics)

    return epoch
