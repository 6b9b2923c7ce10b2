"""Zeros around an image, or a crop of its sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image

if TYPE_CHECKING:
    from torch import fx


class Pad2d(Operation):
    """Adds zeros at each side of (channels, height, width) and of the channels; negative numbers cut away."""

    family: ClassVar[Family] = "wiring"
    accompanies: ClassVar[bool] = True

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0
    first: int = Field(default=0, description="channels of zeros before the others")
    last: int = Field(default=0, description="channels of zeros after the others")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "padding")
        return (channels + self.first + self.last, height + self.top + self.bottom, width + self.left + self.right)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        from torch.nn import functional

        around = [self.left, self.right, self.top, self.bottom, self.first, self.last]
        return graph.call_function(functional.pad, (inputs[0], around))

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return not any((self.top, self.bottom, self.left, self.right, self.first, self.last))

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return "crop" if min(self.top, self.bottom, self.left, self.right) < 0 else "pad"
