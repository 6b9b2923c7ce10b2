"""A sequence of places put back together as a feature map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx


class FeatureMap(Operation):
    """(height × width, channels) -> (channels, height, width): the steps of a sequence as places, row by row."""

    family: ClassVar[Family] = "wiring"

    height: int = Field(default=1, ge=1, description="rows; 1 makes a signal of a sequence")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        steps, channels = require_sequence(shapes[0], "putting places together")
        if steps % self.height:
            raise ShapeError(f"{steps} steps do not make {self.height} rows")
        return (channels, self.height, steps // self.height)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        turned = graph.call_function(torch.transpose, (inputs[0], 1, 2))
        return graph.call_function(torch.unflatten, (turned, 2, (self.height, -1)))

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return "steps as places"
