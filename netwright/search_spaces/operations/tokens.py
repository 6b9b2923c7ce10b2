"""An image or feature map read as a sequence of its places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image

if TYPE_CHECKING:
    from torch import fx


class Tokens(Operation):
    """(channels, height, width) -> (height × width, channels): one step per place, row by row."""

    family: ClassVar[Family] = "wiring"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "reading places")
        return (height * width, channels)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        return graph.call_function(torch.transpose, (graph.call_function(torch.flatten, (inputs[0], 2)), 1, 2))

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return "places as steps"
