"""No connection: gives out zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, Size

if TYPE_CHECKING:
    from torch import fx


class Zero(Operation):
    """Zeros of the input's shape, or of one of their own."""

    family: ClassVar[Family] = "wiring"

    size: tuple[Size, ...] | None = Field(default=None, description="the shape of one sample; by default the input's")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return self.size or shapes[0]

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        if self.size is None:
            return graph.call_function(torch.zeros_like, (inputs[0],))
        samples = graph.call_method("size", (inputs[0], 0))
        return graph.call_method("new_zeros", (inputs[0], (samples, *self.size)))

    def is_zero(self) -> bool:
        return True

    def label(self) -> str:
        return "none"
