# SPDX-License-Identifier: Apache-2.0
"""The LSTMN in PyTorch, as its own users would write it: the peer of `benchmarks.lstmn`."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def torch_append(torch: Any) -> Callable[..., Any]:
    """Returns `append(tape, slot, buffer, index)`, which makes a tape `[B, N, F]` longer by a slot without a copy.

    All tapes are views of one buffer, filled in order. A slot is written once and never changed, so that tensors saved
    for the backward pass stay right, but autograd does not know this: it counts a write as a change of all views. The
    write goes through `.data`, which is not counted. Measured on two CPU cores: as fast as `torch.cat` at each step for
    25 steps, 1.1 to 1.3 times as fast for 100, 1.2 for 400; a list that is stacked at each step is slower throughout.
    """

    class Append(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, tape: Any, slot: Any, buffer: Any, index: int) -> Any:
            buffer.data[:, index] = slot
            return buffer.data[:, : index + 1]

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return gradient[:, :-1], gradient[:, -1], None, None

    return Append.apply


def torch_lstmn(torch: Any, compiled: bool) -> Callable[[Mapping[str, Any], Any], Any]:
    """Returns the LSTMN, `fn(weights, inputs [B, T, D]) -> hidden [B, T, H]`.

    A whole batch at once; inputs projected for all steps before the loop; keys projected once, when their slot is
    written; one product a step for all that reads h~. Compiled, attention and cell are one function for any number of
    slots (a graph of all steps would take minutes to compile), and the tape is as in the eager form.
    """
    append = torch_append(torch)

    def attend(keys: Any, values: Any, query: Any, score: Any) -> Any:
        activated = torch.tanh(keys + query[:, None]) if compiled else (keys + query[:, None]).tanh_()
        weights = torch.softmax(activated @ score, dim=1)
        return torch.bmm(weights[:, None], values)[:, 0]  # [B, 2H]

    def advance(gates: Any, read_cell: Any) -> tuple[Any, Any]:
        features = gates.shape[-1] // 4
        sigmoids, update = gates.split((3 * features, features), dim=1)
        i, f, o = sigmoids.sigmoid().chunk(3, dim=1)
        cell = i * update.tanh()
        cell = cell if read_cell is None else torch.addcmul(cell, f, read_cell)
        return o * cell.tanh(), cell

    def first(x_gates: Any, key_weights: Any) -> Any:
        hidden, cell = advance(x_gates, None)
        return hidden, hidden @ key_weights, torch.cat([hidden, cell], dim=1)

    def step(keys: Any, values: Any, x_gates: Any, query: Any, score: Any, read_weights: Any, key_weights: Any) -> Any:
        features = key_weights.shape[0]
        read_hidden, read_cell = attend(keys, values, query, score).split(features, dim=1)
        from_read, next_query = (read_hidden @ read_weights).split((4 * features, key_weights.shape[1]), dim=1)
        hidden, cell = advance(x_gates + from_read, read_cell)
        return hidden, hidden @ key_weights, torch.cat([hidden, cell], dim=1), next_query

    if compiled:
        step = torch.compile(step, dynamic=True)

    def lstmn(weights: Mapping[str, Any], inputs: Any) -> Any:
        batch, steps, _ = inputs.shape
        features, attention = weights["key"].shape
        projected = torch.addmm(
            torch.cat([weights["gates_bias"], weights["attention_bias"]]),
            inputs.reshape(batch * steps, -1),
            torch.cat([weights["gates_input"], weights["query_input"]], dim=1),
        ).view(batch, steps, -1)
        # Unbound at once: the backward pass of an index would fill an array of all steps at each step.
        x_gates, x_query = (x.unbind(1) for x in projected.split((4 * features, attention), dim=2))
        read_weights = torch.cat([weights["gates_read"], weights["query_read"]], dim=1)
        key_buffer = inputs.new_empty(batch, steps, attention)
        value_buffer = inputs.new_empty(batch, steps, 2 * features)
        keys, values, next_query = key_buffer[:, :0], value_buffer[:, :0], 0.0
        hiddens = []
        for t in range(steps):
            if t == 0:
                hidden, key, value = first(x_gates[0], weights["key"])
            else:
                query = x_query[t] + next_query
                hidden, key, value, next_query = step(
                    keys, values, x_gates[t], query, weights["score"], read_weights, weights["key"]
                )
            hiddens.append(hidden)
            if t < steps - 1:
                keys = append(keys, key, key_buffer, t)
                values = append(values, value, value_buffer, t)
        return torch.stack(hiddens, dim=1)

    return lstmn


def torch_lstm(torch: Any, weights: Mapping[str, np.ndarray], device: str) -> Any:
    """Returns `torch.nn.LSTM` with weights in the order i, f, o, c^; PyTorch's own order is i, f, c^, o."""
    features_in, features = weights["gates_input"].shape[0], weights["gates_read"].shape[0]
    lstm = torch.nn.LSTM(features_in, features, batch_first=True).to(device)
    with torch.no_grad():
        for name, array in (
            ("weight_ih_l0", weights["gates_input"].T),
            ("weight_hh_l0", weights["gates_read"].T),
            ("bias_ih_l0", weights["gates_bias"]),
            ("bias_hh_l0", np.zeros_like(weights["gates_bias"])),
        ):
            i, f, o, update = np.split(array, 4)
            getattr(lstm, name).copy_(torch.tensor(np.concatenate([i, f, update, o])))
    return lstm


class TorchRun:
    """A model of PyTorch with its weights, ready to be timed.

    Args:
        kind: "eager" or "compiled" LSTMN, or "nn.LSTM".
    """

    def __init__(
        self, torch: Any, device: str, kind: str, weights: Mapping[str, np.ndarray], data: tuple[np.ndarray, np.ndarray]
    ):
        self.torch, self.device, self.kind = torch, device, kind
        self.inputs, self.cotangent = (torch.tensor(array, device=device) for array in data)
        self.inputs.requires_grad_()
        if kind == "nn.LSTM":
            lstm = torch_lstm(torch, weights, device)
            self.weights = dict(lstm.named_parameters())
            self._forward: Callable[[], Any] = lambda: lstm(self.inputs)[0]
        else:
            lstmn = torch_lstmn(torch, kind == "compiled")
            self.weights = {n: torch.tensor(array, device=device).requires_grad_() for n, array in weights.items()}
            self._forward = lambda: lstmn(self.weights, self.inputs)

    def run(self) -> tuple[Any, Any]:
        """Runs forward and backward; returns hidden `[B, T, H]` and the gradients of all weights and the input."""
        hidden = self._forward()
        loss = (hidden * self.cotangent).sum()
        gradients = self.torch.autograd.grad(loss, [*self.weights.values(), self.inputs])
        if self.device == "cuda":
            self.torch.cuda.synchronize()
        return hidden, gradients

    def result(self) -> dict[str, np.ndarray]:
        """Returns hidden and gradients by the names of memjax."""
        hidden, gradients = self.run()
        arrays = [gradient.cpu().numpy() for gradient in gradients]
        found = dict(zip([*self.weights, "inputs"], arrays, strict=True))
        if self.kind == "nn.LSTM":
            names = {"weight_ih_l0": "gates_input", "weight_hh_l0": "gates_read", "bias_ih_l0": "gates_bias"}
            for theirs, ours in names.items():
                i, f, update, o = np.split(found.pop(theirs), 4)
                found[ours] = np.concatenate([i, f, o, update]).T
            del found["bias_hh_l0"]  # the gradient of the other bias, once more
        return {"hidden": hidden.detach().cpu().numpy(), **found}
