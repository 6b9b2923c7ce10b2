"""Max-unpooling: each value goes back to where the maximum came from."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image

if TYPE_CHECKING:
    from torch import fx


class MaxUnpool2d(Operation):
    """Up-sampling by the places of the maxima of an earlier max-pooling (Zeiler & Fergus, 2014).

    Takes x (channels, height, width) and the tensor before that pooling, whose maxima it finds again; gives
    a tensor of the latter's shape, zeros but for the places of the maxima. A last window may be partly filled.
    """

    family: ClassVar[Family] = "wiring"
    inputs: ClassVar[int | None] = 2

    factor: int = Field(default=2, ge=2, description="side and stride of the pooling's windows")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        x, before = (require_image(shape, "max-unpooling") for shape in shapes)
        pooled = (before[0], -(-before[1] // self.factor), -(-before[2] // self.factor))
        if x != pooled:
            raise ShapeError(f"max-unpooling of {x} needs places in a tensor that pools to it; {before} gives {pooled}")
        return before

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        from torch.nn import functional

        x, before = inputs
        window = (self.factor, self.factor)
        pooled = graph.call_function(functional.max_pool2d_with_indices, (before, *window), {"ceil_mode": True})
        places = graph.call_function(operator.getitem, (pooled, 1))
        size = graph.call_function(operator.getitem, (graph.call_method("size", (before,)), slice(2, None)))
        return graph.call_function(functional.max_unpool2d, (x, places, *window), {"output_size": size})

    def label(self) -> str:
        return f"max-unpool ×{self.factor}"
