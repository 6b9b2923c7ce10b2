"""An image read as a sequence of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image

if TYPE_CHECKING:
    from torch import fx


class Rows(Operation):
    """(channels, height, width) -> (height, channels × width): one step per row."""

    family: ClassVar[Family] = "wiring"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "reading rows")
        return (height, channels * width)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        rows = graph.call_function(torch.transpose, (inputs[0], 1, 2))
        return graph.call_function(torch.flatten, (rows, 2))

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return "rows as steps"
