"""All windows of a sequence."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx


class SlidingWindows(Operation):
    """(time, features) -> (time - steps + 1, steps, features): the window moves on by one step at a time.

    With `overlap_mean` after the network it makes a sliding bidirectional detector for streams (Farsad &
    Goldsmith, 2018, "Neural network detection of data sequences in communication systems").
    """

    family: ClassVar[Family] = "wiring"

    steps: int = Field(ge=1, description="length of a window")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        time, features = require_sequence(shapes[0], "a sliding window")
        if time < self.steps:
            raise ShapeError(f"a window of {self.steps} steps does not fit into a sequence of {time}")
        return (time - self.steps + 1, self.steps, features)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        places = [slice(i, i - self.steps + 1 or None) for i in range(self.steps)]
        shifted = [graph.call_function(operator.getitem, (inputs[0], (slice(None), place))) for place in places]
        return graph.call_function(torch.stack, (shifted,), {"dim": 2})

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"windows of {self.steps} steps"
