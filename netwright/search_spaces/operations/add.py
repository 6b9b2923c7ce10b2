"""Sum of several inputs of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx


class Add(Operation):
    """The element-wise sum; all inputs must have the same shape."""

    family: ClassVar[Family] = "wiring"
    commutative: ClassVar[bool] = True
    associative: ClassVar[bool] = True
    drops_zeros: ClassVar[bool] = True
    inputs: ClassVar[int | None] = None

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if len(set(shapes)) != 1:
            raise ShapeError(f"a sum needs inputs of one shape, came {', '.join(map(str, shapes))}")
        return shapes[0]

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        return reduce(lambda left, right: graph.call_function(torch.add, (left, right)), inputs)

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return len(shapes) == 1

    def label(self) -> str:
        return "+"
