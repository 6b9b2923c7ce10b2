"""No connection: gives out zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx


class Zero(Operation):
    """Zeros of the input's shape."""

    family: ClassVar[Family] = "wiring"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        return graph.call_function(torch.zeros_like, (inputs[0],))

    def is_zero(self) -> bool:
        return True

    def label(self) -> str:
        return "none"
