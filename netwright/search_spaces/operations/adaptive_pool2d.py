"""Pooling to a given height and width, whatever the input's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, Sides, require_image, sides

if TYPE_CHECKING:
    from torch import nn


class AdaptivePool2d(Operation):
    """The mean or largest value of evenly spread windows: (channels, height, width) -> (channels, *size)."""

    family: ClassVar[Family] = "pooling"

    size: Sides
    mode: Literal["average", "max"] = "average"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, _, _ = require_image(shapes[0], "adaptive pooling")
        return (channels, *sides(self.size))

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        kind = nn.AdaptiveAvgPool2d if self.mode == "average" else nn.AdaptiveMaxPool2d
        return kind(sides(self.size))

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return shapes[0][1:] == sides(self.size)

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"{self.mode} pool to {'×'.join(map(str, sides(self.size)))}"
