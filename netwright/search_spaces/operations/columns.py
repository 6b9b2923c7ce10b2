"""Some columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx


class Columns(Operation):
    """The entries from `start` up to `stop` of the last axis: (..., columns) -> (..., stop - start)."""

    family: ClassVar[Family] = "wiring"

    start: int = Field(ge=0)
    stop: int = Field(ge=1)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if not self.start < self.stop <= shapes[0][-1]:
            raise ShapeError(f"columns {self.start} to {self.stop} are not all in the shape {shapes[0]}")
        return (*shapes[0][:-1], self.stop - self.start)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        return graph.call_function(torch.narrow, (inputs[0], -1, self.start, self.stop - self.start))

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return self.start == 0 and self.stop == shapes[0][-1]

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"columns {self.start}-{self.stop - 1}"
