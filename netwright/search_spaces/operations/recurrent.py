"""Recurrent layer over a sequence: plain RNN, LSTM or GRU."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

GATES = {"rnn": 1, "gru": 3, "lstm": 4, "lstm_cells": 4}


class Recurrent(Operation):
    """One recurrent layer: (time, features) -> (time, width), twice the width when bidirectional.

    LSTM: Hochreiter & Schmidhuber, 1997; GRU: Cho et al., 2014. Two bias vectors per direction, as in torch.
    With `windows` the input is (windows, time, features), and each window is read from a fresh state. Further inputs
    are the states that it starts from, (width,) or twice that: of LSTM the hidden one and the cells', else zeros.
    """

    family: ClassVar[Family] = "recurrent"
    inputs: ClassVar[int | None] = None

    cell: Literal["rnn", "lstm", "gru", "lstm_cells"] = Field(
        default="lstm", description="lstm_cells: an LSTM, after whose steps the last state of its cells stands"
    )
    width: int = Field(ge=1, description="hidden units of one direction")
    bidirectional: bool = False
    windows: bool = Field(default=False, description="whether the input is many windows, read apart")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        what = f"a recurrent layer ({self.cell})"
        if self.windows and len(shapes[0]) != 3:
            raise ShapeError(f"{what} over windows needs (windows, time, features), came {shapes[0]}")
        time, _ = require_sequence(shapes[0][-2:] if self.windows else shapes[0], what)
        state = (self.width * self._directions,)
        if any(shape != state for shape in shapes[1:]) or len(shapes) not in (1, 3 if GATES[self.cell] == 4 else 2):
            raise ShapeError(f"{what} starts from states {state}, came {', '.join(map(str, shapes[1:]))}")
        return (*shapes[0][:-2], time + (self.cell == "lstm_cells"), *state)

    def params(self, shapes: Sequence[Shape]) -> int:
        features = shapes[0][-1]
        return self._directions * GATES[self.cell] * self.width * (features + self.width + 2)

    def macs(self, shapes: Sequence[Shape]) -> int:
        *windows, time, features = shapes[0]
        steps = time * (windows[0] if windows else 1)
        return steps * self._directions * GATES[self.cell] * self.width * (features + self.width)

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        features = shapes[0][-1]
        if self.cell == "rnn":
            return nn.RNN(features, self.width, batch_first=True, bidirectional=self.bidirectional)
        kind = nn.GRU if self.cell == "gru" else nn.LSTM
        return kind(features, self.width, batch_first=True, bidirectional=self.bidirectional)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        x = inputs[0]
        if self.windows:
            windows = graph.call_method("size", (x, 1))
            x = graph.call_function(torch.flatten, (x, 0, 1))
        directions = (self._directions, self.width)
        starts = [graph.call_function(torch.unflatten, (state, 1, directions)) for state in inputs[1:]]
        starts = [graph.call_method("contiguous", (graph.call_method("transpose", (s, 0, 1)),)) for s in starts]
        start = starts if len(starts) < 2 else [tuple(starts)]
        made = graph.call_module(name, (x, *start))
        y = graph.call_function(operator.getitem, (made, 0))
        if self.cell == "lstm_cells":
            last = graph.call_function(operator.getitem, (graph.call_function(operator.getitem, (made, 1)), 1))
            last = graph.call_function(torch.flatten, (graph.call_method("transpose", (last, 0, 1)), 1))
            y = graph.call_function(torch.cat, ([y, graph.call_method("unsqueeze", (last, 1))], 1))
        return graph.call_function(torch.unflatten, (y, 0, (-1, windows))) if self.windows else y

    def shared_as(self) -> str:
        return "lstm" if self.cell == "lstm_cells" else self.cell

    def shared_part(self, weight: str, full: torch.Tensor, shape: Shape) -> torch.Tensor:
        """The first units of every gate: torch stacks the gates along the first axis of each weight.

        A view for one gate, otherwise a copy that passes gradients on to the whole.
        """
        gates = GATES[self.cell]
        units = full.shape[0] // gates
        parts = full.reshape(gates, units, *full.shape[1:]).narrow(1, 0, shape[0] // gates)
        for axis in range(1, len(shape)):
            parts = parts.narrow(axis + 1, 0, shape[axis])
        return parts.flatten(0, 1)

    def label(self) -> str:
        return f"{'bi-' if self.bidirectional else ''}{self.cell} {self.width}"

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1
