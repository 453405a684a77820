# SPDX-License-Identifier: Apache-2.0
"""The Memory Network's training in PyTorch, as its own users would write it: the peer of `benchmarks.memnn_train`."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from memjax import data
from memjax.typing import NUM_SPECIAL

FEATURES = 50
BATCH = 32
SEEDS = 10
MARGIN = 0.1
LEARNING_RATE = 0.01
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def layout(stories: data.Stories, num_words: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Lays out all that does not depend on the weights, as a user of PyTorch would before the loop.

    Returns:
        The sentences as bags of words [M, W]; and for Q questions: `given` [Q, 3 W], the bags of the question and of
        its two supports; `rows` [Q, N] of the sentences; `gold` [Q, 2], the right slots; `offset` [Q, 2, N], the
        margin where a slot is wrong, -inf where there is none; `seen` and `newer` [Q, 2, N], the signed time
        features of each slot over the right one; `answer` [Q]; `answer_offset` [Q, W], the margin of wrong words.
    """

    def bags(tokens: np.ndarray) -> np.ndarray:
        counts = np.zeros((len(tokens), NUM_SPECIAL + num_words), np.float32)
        np.add.at(counts, (np.arange(len(tokens))[:, None], tokens), 1)
        return counts[:, NUM_SPECIAL:]

    table, told = bags(stories.sentences), stories.slots >= 0
    rows = np.where(told, stories.slots, 0).astype(np.int64)
    gold = stories.supports[:, :2].astype(np.int64)
    gold[:, 1] = np.where(gold[:, 1] < 0, gold[:, 0], gold[:, 1])
    if gold.min() < 0 or stories.answers.shape[1] != 1:
        raise ValueError("stories: expected a support and an answer of one word for each question")
    supports = table[np.take_along_axis(rows, gold, axis=1)]  # [Q, 2, W]
    given = np.concatenate([bags(stories.questions)[:, None], supports], axis=1).reshape(len(stories), -1)
    slot, right = np.arange(rows.shape[1]), gold[:, :, None]
    previous = np.stack([told.sum(axis=1), gold[:, 0]], axis=1)[:, :, None]  # [Q, 2, 1]
    answer = stories.answers[:, 0].astype(np.int64) - NUM_SPECIAL
    tensors = {
        "given": given,
        "rows": rows,
        "gold": gold,
        "offset": np.where(slot == right, 0, np.where(told[:, None], MARGIN, -np.inf)).astype(np.float32),
        "seen": ((previous < slot).astype(np.float32) - (previous < right)).astype(np.float32),
        "newer": np.sign(slot - right).astype(np.float32),
        "answer": answer,
        "answer_offset": np.where(np.arange(num_words) == answer[:, None], 0, MARGIN).astype(np.float32),
    }
    return table, tensors


def torch_loss(torch: Any, table: Any, form: str) -> Callable[[Sequence[Any], dict[str, Any]], Any]:
    """Returns the loss of a batch, `fn(weights, batch)`, summed over a leading axis of seeds if there is one."""
    functional = torch.nn.functional

    def loss(weights: Sequence[Any], batch: dict[str, Any]) -> Any:
        output, times, response = weights
        num_words, num_slots = table.shape[1], batch["rows"].shape[-1]
        given = batch["given"]  # [B, 3 W]; all shapes without the axis of seeds
        first = given[..., :num_words] @ output[..., 0, :, :]
        second = first + given[..., num_words : 2 * num_words] @ output[..., 1, :, :]
        queries = torch.stack([first, second], dim=-2)  # [B, 2, n]
        flat, candidate = queries.flatten(-3, -2), output[..., 2, :, :]  # [2 B, n], [W, n]
        if form == "slots":
            embedded, rows = table @ candidate, batch["rows"]  # [M, n], [B, N]
            if embedded.ndim == 3:
                rows = rows + len(table) * torch.arange(len(embedded), device=rows.device)[:, None, None]
            slots = functional.embedding(rows, embedded.flatten(0, -2))  # [B, N, n]
            scores = queries @ slots.transpose(-1, -2)  # [B, 2, N]
        elif form == "words":
            by_word = (flat @ candidate.transpose(-1, -2)).unflatten(-2, queries.shape[-3:-1])  # [B, 2, W]
            scores = by_word @ functional.embedding(batch["rows"], table).transpose(-1, -2)
        else:
            by_row = (flat @ candidate.transpose(-1, -2) @ table.T).unflatten(-2, queries.shape[-3:-1])  # [B, 2, M]
            scores = by_row.gather(-1, batch["rows"].unsqueeze(-2).expand(*queries.shape[:-1], num_slots))
        by_time = (flat @ times.transpose(-1, -2)).unflatten(-2, queries.shape[-3:-1])  # [B, 2, F]
        scores = torch.addcmul(scores + batch["offset"], batch["seen"], by_time[..., :1])
        scores = torch.addcmul(scores, batch["newer"], by_time[..., 1:])
        hops = functional.cross_entropy(scores.reshape(-1, num_slots), batch["gold"].flatten(), reduction="sum")
        roles = torch.cat([response[..., :2, :, :], response[..., 3:, :, :]], dim=-3).flatten(-3, -2)  # [3 W, n]
        words = given @ roles @ response[..., 2, :, :].transpose(-1, -2) + batch["answer_offset"]  # [B, W]
        answer = functional.cross_entropy(words.reshape(-1, num_words), batch["answer"].flatten(), reduction="sum")
        # The right memory stands on either side of s(x, y, y'); with signed features the two terms are equal.
        return (2 * hops + answer) / given.shape[-2]

    return loss


class Torch:
    """The training in PyTorch; with `seeds` above 1 they lie along a leading axis of the weights.

    Attributes:
        compile_seconds: of one step; 0 where nothing is compiled.
    """

    def __init__(
        self,
        torch: Any,
        device: str,
        layout: tuple[np.ndarray, dict[str, np.ndarray]],
        weights: Sequence[np.ndarray],
        seeds: int,
        form: str,
        compiled: bool,
        threads: int,
    ):
        self.torch, self.device, self.seeds, self.compiled, self.threads = torch, device, seeds, compiled, threads
        self.tensors = {name: torch.from_numpy(array).to(device) for name, array in layout[1].items()}
        self._loss = torch_loss(torch, torch.from_numpy(layout[0]).to(device), form)
        self._initial = [torch.tensor(array, device=device) for array in weights]
        self.compile_seconds = 0.0
        torch.set_num_threads(threads)
        if compiled:
            mode = "reduce-overhead" if device == "cuda" else "default"
            self._functional_step = torch.compile(self._write_step(), mode=mode)
            self.restart()
            start = time.perf_counter()
            self._step(self._batches(torch.zeros((1, *self._shape()), dtype=torch.int64, device=device))[0])
            self._wait()
            self.compile_seconds = time.perf_counter() - start

    def _shape(self) -> tuple[int, ...]:
        return (self.seeds, BATCH) if self.seeds > 1 else (BATCH,)

    def _wait(self) -> None:
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def _write_step(self) -> Callable[..., Any]:
        torch, loss_fn = self.torch, self._loss

        def step(weights: list[Any], means: list[Any], squares: list[Any], count: Any, batch: dict[str, Any]) -> Any:
            grads, loss = torch.func.grad_and_value(loss_fn)(weights, batch)
            count = count + 1
            means = [BETA1 * mean + (1 - BETA1) * grad for mean, grad in zip(means, grads, strict=True)]
            squares = [BETA2 * square + (1 - BETA2) * grad**2 for square, grad in zip(squares, grads, strict=True)]
            rate, scale = LEARNING_RATE / (1 - BETA1**count), 1 / (1 - BETA2**count)
            weights = [
                weight - rate * mean / (torch.sqrt(square * scale) + EPSILON)
                for weight, mean, square in zip(weights, means, squares, strict=True)
            ]
            return weights, means, squares, count, loss

        return step

    def restart(self) -> None:
        """Goes back to the initial weights."""
        torch = self.torch
        self._weights = [weight.clone() for weight in self._initial]
        if self.compiled:
            self._means, self._squares = ([torch.zeros_like(weight) for weight in self._weights] for _ in range(2))
            self._count = torch.zeros((), device=self.device)
        else:
            for weight in self._weights:
                weight.requires_grad_()
            # Measured: faster than foreach=True and than the default.
            betas = (BETA1, BETA2)
            self._optimizer = torch.optim.Adam(self._weights, LEARNING_RATE, betas, EPSILON, fused=True)
        self._wait()

    def _step(self, batch: dict[str, Any]) -> Any:
        if not self.compiled:
            loss = self._loss(self._weights, batch)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            return loss.detach()
        state = (self._weights, self._means, self._squares, self._count)
        with self.torch.no_grad():
            *state, loss = self._functional_step(*state, batch)
            if self.device == "cuda":  # A CUDA graph writes its next results over these.
                *state, loss = self.torch.utils._pytree.tree_map(lambda tensor: tensor.clone(), (*state, loss))
        self._weights, self._means, self._squares, self._count = state
        return loss

    def _batches(self, order: Any) -> list[dict[str, Any]]:
        """Gathers the data in an order [steps, .., B], all at once, and cuts it into batches."""
        gathered = {
            name: tensor.index_select(0, order.flatten()).unflatten(0, order.shape).unbind(0)
            for name, tensor in self.tensors.items()
        }
        return [{name: batches[i] for name, batches in gathered.items()} for i in range(len(order))]

    def epoch(self, max_steps: int | None = None) -> Any:
        """Trains for an epoch, or for its first steps; returns the mean loss."""
        torch = self.torch
        torch.set_num_threads(self.threads)
        size = len(self.tensors["rows"])
        steps = min(size // BATCH, max_steps or size)
        orders = torch.stack([torch.randperm(size, device=self.device) for _ in range(self.seeds)])[:, : steps * BATCH]
        orders = orders.unflatten(1, (steps, BATCH)).transpose(0, 1).reshape(steps, *self._shape())
        total = torch.zeros((), device=self.device)
        for batch in self._batches(orders):
            total = total + self._step(batch)
        self._wait()
        return total / (steps * self.seeds)

    def first(self, indices: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Returns loss (summed over seeds) and gradients of the first step, on the questions at `indices`."""
        self.restart()
        self.torch.set_num_threads(self.threads)
        loss = self._step(self._batches(self.torch.from_numpy(indices).to(self.device)[None])[0])
        moments = self._means if self.compiled else [self._optimizer.state[w]["exp_avg"] for w in self._weights]
        return loss.cpu().numpy(), [moment.cpu().numpy() / (1 - BETA1) for moment in moments]
