"""Product of two inputs, value by value or channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx


class Multiply(Operation):
    """The element-wise product of two inputs; one may be (channels, 1, 1), which scales whole channels."""

    family: ClassVar[Family] = "wiring"
    commutative: ClassVar[bool] = True
    zeroed_by_one: ClassVar[bool] = True
    inputs: ClassVar[int | None] = 2

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        left, right = shapes
        fits = len(left) == len(right) and all(a == b or 1 in (a, b) for a, b in zip(left, right, strict=True))
        if not fits:
            raise ShapeError(f"a product needs inputs of one shape, or sizes of 1 to repeat, came {left} and {right}")
        return tuple(max(a, b) for a, b in zip(left, right, strict=True))

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        return graph.call_function(torch.mul, tuple(inputs))

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return "×"
