"""Recurrent layer over a sequence: plain RNN, LSTM or GRU."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx, nn

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


class Recurrent(Operation):
    """One recurrent layer: (time, features) -> (time, width), twice the width when bidirectional.

    LSTM: Hochreiter & Schmidhuber, 1997; GRU: Cho et al., 2014. Two bias vectors per direction, as in torch.
    """

    family: ClassVar[Family] = "recurrent"

    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    width: int = Field(ge=1, description="hidden units of one direction")
    bidirectional: bool = False

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        time, _ = require_sequence(shapes[0], f"a recurrent layer ({self.cell})")
        return (time, self.width * self._directions)

    def params(self, shapes: Sequence[Shape]) -> int:
        features = shapes[0][1]
        return self._directions * GATES[self.cell] * self.width * (features + self.width + 2)

    def macs(self, shapes: Sequence[Shape]) -> int:
        time, features = shapes[0]
        return time * self._directions * GATES[self.cell] * self.width * (features + self.width)

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        features = shapes[0][1]
        if self.cell == "rnn":
            return nn.RNN(features, self.width, batch_first=True, bidirectional=self.bidirectional)
        kind = nn.LSTM if self.cell == "lstm" else nn.GRU
        return kind(features, self.width, batch_first=True, bidirectional=self.bidirectional)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        return graph.call_function(operator.getitem, (graph.call_module(name, tuple(inputs)), 0))

    def label(self) -> str:
        return f"{'bi-' if self.bidirectional else ''}{self.cell} {self.width}"

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1
