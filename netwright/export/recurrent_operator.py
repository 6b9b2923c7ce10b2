"""Exports simple recurrent layers as ONNX's RNN; the exporter itself writes out every step of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def recurrent_operators() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What torch's exporter lacks: torch's operators for simple recurrent layers, and how each is written."""
    import torch

    aten = torch.ops.aten
    return {aten.rnn_tanh.input: _written("Tanh"), aten.rnn_relu.input: _written("Relu")}


def _written(activation: str) -> Callable[..., tuple[Any, Any]]:
    def write(
        inputs: Any,
        states: Any,
        params: Sequence[Any],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Any, Any]:
        """Outputs and last states of torch's operator, whose arguments these are, in evaluation mode.

        `states` are those at the start [layers x directions, batch, hidden], `params` two weights and maybe two biases
        of each layer and direction.
        """
        from onnxscript.onnx_opset import opset18 as op

        del dropout, train
        sides, each = 2 if bidirectional else 1, 4 if has_biases else 2
        current = op.Transpose(inputs, perm=[1, 0, 2]) if batch_first else inputs
        last = []
        for layer in range(num_layers):
            slots = [params[each * slot : each * (slot + 1)] for slot in range(sides * layer, sides * (layer + 1))]
            weights = [_stacked(op, [op.Unsqueeze(slot[kind], [0]) for slot in slots]) for kind in (0, 1)]
            if has_biases:
                weights.append(_stacked(op, [op.Unsqueeze(op.Concat(*slot[2:], axis=0), [0]) for slot in slots]))
            outputs, state = op.RNN(
                current,
                *weights,
                initial_h=op.Slice(states, [sides * layer], [sides * (layer + 1)], [0]),
                activations=[activation] * sides,
                direction="bidirectional" if bidirectional else "forward",
                hidden_size=states.shape[2],
            )
            # [time, directions, batch, hidden] to [time, batch, directions x hidden]
            current = op.Reshape(op.Transpose(outputs, perm=[0, 2, 1, 3]), [0, 0, -1])
            last.append(state)
        return op.Transpose(current, perm=[1, 0, 2]) if batch_first else current, _stacked(op, last)

    return write


def _stacked(op: Any, parts: Sequence[Any]) -> Any:
    return op.Concat(*parts, axis=0) if len(parts) > 1 else parts[0]
