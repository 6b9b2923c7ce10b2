"""The first channels of an image-like input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image

if TYPE_CHECKING:
    from torch import fx


class FirstChannels(Operation):
    """(channels, height, width) -> (count, height, width): the other channels are left out."""

    family: ClassVar[Family] = "wiring"

    count: int = Field(ge=1, description="how many channels are kept")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "taking channels")
        if channels < self.count:
            raise ShapeError(f"the first {self.count} channels are asked for, {channels} come in")
        return (self.count, height, width)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        return graph.call_function(torch.narrow, (inputs[0], 1, 0, self.count))

    def keeps_zeros(self) -> bool:
        return True

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return shapes[0][0] == self.count

    def label(self) -> str:
        return f"first {self.count} channels"
