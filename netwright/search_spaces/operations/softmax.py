"""Softmax over classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import nn


class Softmax(Operation):
    """Shares that sum to 1: over the channels of an image, over the features of a sequence or vector."""

    family: ClassVar[Family] = "pointwise"
    accompanies: ClassVar[bool] = True

    log: bool = Field(default=False, description="whether their logarithm is given out")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        axis = 1 if len(shapes[0]) == 3 else -1
        return nn.LogSoftmax(dim=axis) if self.log else nn.Softmax(dim=axis)

    def label(self) -> str:
        return "log softmax" if self.log else "softmax"
