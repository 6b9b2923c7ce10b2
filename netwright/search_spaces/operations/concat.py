"""Concatenation of channels or features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx


class Concat(Operation):
    """Inputs side by side: along channels for images and vectors, along features for sequences.

    Say `any_order` where all that reads the result mixes all channels with weights of its own, such as plain
    convolutions and linear layers, be it through pooling, normalisation or activations. Networks that differ in the
    order alone then are one: reordering the weights that read it turns one into the other.
    """

    family: ClassVar[Family] = "wiring"
    inputs: ClassVar[int | None] = None

    features_last: bool = False
    any_order: bool = Field(default=False, description="whether identity passes over the order of the inputs")

    @property
    def commutative(self) -> bool:  # type: ignore[override]  # most operations say it once for all of their kind
        """Whether the order of the inputs means nothing."""
        return self.any_order

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        axis = self._axis(shapes[0])
        rest = {shape[:axis] + shape[axis + 1 :] for shape in shapes if len(shape) == len(shapes[0])}
        if len(rest) != 1 or any(len(shape) != len(shapes[0]) for shape in shapes):
            raise ShapeError(f"a concatenation needs inputs alike but for channels, came {', '.join(map(str, shapes))}")
        total = sum(shape[axis] for shape in shapes)
        return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        return graph.call_function(torch.cat, (list(inputs),), {"dim": self._dimension})

    def keeps_zeros(self) -> bool:
        return True

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return len(shapes) == 1

    def label(self) -> str:
        return "concat"

    @property
    def _dimension(self) -> int:
        return -1 if self.features_last else 1

    def _axis(self, shape: Shape) -> int:
        return len(shape) - 1 if self.features_last else 0
