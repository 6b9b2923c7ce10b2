"""Every n-th row and column of an image."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image

if TYPE_CHECKING:
    from torch import fx


class Subsample2d(Operation):
    """Keeps the first of every `stride` rows and columns: (channels, height, width) -> (channels, height/stride, ...).

    Sizes that `stride` does not divide are rounded up.
    """

    family: ClassVar[Family] = "pooling"

    stride: int = Field(default=2, ge=1)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "subsampling")
        return (channels, -(-height // self.stride), -(-width // self.stride))

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        every = slice(None, None, self.stride)
        return graph.call_function(operator.getitem, (inputs[0], (slice(None), slice(None), every, every)))

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return self.stride == 1

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"every {self.stride}. pixel"
