"""A sequence cut into frames, which become the steps of a shorter one."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx


class Frames(Operation):
    """(time, features) -> (time // steps, steps × features): so many steps in a row become one.

    What does not fill a frame is left out at the beginning, so that the newest step is always read.
    """

    family: ClassVar[Family] = "wiring"

    steps: int = Field(ge=1, description="steps that become one")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        time, features = require_sequence(shapes[0], "cutting into frames")
        return (time // self.steps, self.steps * features)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        time = graph.call_method("size", (inputs[0], 1))
        surplus = graph.call_function(operator.mod, (time, self.steps))
        whole = graph.call_function(operator.getitem, (inputs[0], (slice(None), slice(surplus, None))))
        return graph.call_function(
            torch.flatten, (graph.call_function(torch.unflatten, (whole, 1, (-1, self.steps))), 2)
        )

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return self.steps == 1

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"frames of {self.steps} steps"
