"""The values of a sample in another shape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, Size

if TYPE_CHECKING:
    from torch import fx


class Reshape(Operation):
    """All values of one sample, in order, in a given shape such as (channels, height, width)."""

    family: ClassVar[Family] = "wiring"
    accompanies: ClassVar[bool] = True

    shape: tuple[Size, ...]

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if prod(shapes[0]) != prod(self.shape):
            raise ShapeError(f"{shapes[0]} has {prod(shapes[0])} values, which do not make the shape {self.shape}")
        return self.shape

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        return graph.call_function(torch.reshape, (inputs[0], (-1, *self.shape)))

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return shapes[0] == self.shape

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return "as " + "×".join(map(str, self.shape))
