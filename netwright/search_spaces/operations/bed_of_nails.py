"""Up-sampling that puts zeros between the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image

if TYPE_CHECKING:
    from torch import fx


class BedOfNails(Operation):
    """Each value in the upper left of a block of `factor` × `factor`, zeros elsewhere in it."""

    family: ClassVar[Family] = "wiring"

    factor: int = Field(default=2, ge=1, description="how many times as high and wide")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "a bed of nails")
        return (channels, height * self.factor, width * self.factor)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch
        from torch.nn import functional

        # (c, h, w) -> (c, h, 1, w, 1) -> (c, h, f, w, f), which read in order is (c, h·f, w·f)
        apart = inputs[0]
        for axis in (3, 5):
            apart = graph.call_function(torch.unsqueeze, (apart, axis))
        filled = graph.call_function(functional.pad, (apart, [0, self.factor - 1, 0, 0, 0, self.factor - 1]))
        rows = graph.call_function(torch.flatten, (filled, 2, 3))
        return graph.call_function(torch.flatten, (rows, 3, 4))

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return self.factor == 1

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"bed of nails ×{self.factor}"
