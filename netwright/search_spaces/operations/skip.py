"""Skip connection: gives out what comes in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx


class Skip(Operation):
    """The identity."""

    family: ClassVar[Family] = "wiring"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        return inputs[0]

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return True

    def label(self) -> str:
        return "skip"
