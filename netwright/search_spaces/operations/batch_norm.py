"""Batch normalisation over channels or features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import nn


class BatchNorm(Operation):
    """Normalises each channel with learned scale and shift (Ioffe & Szegedy, 2015)."""

    family: ClassVar[Family] = "pointwise"
    accompanies: ClassVar[bool] = True

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if len(shapes[0]) not in (1, 3):
            raise ShapeError(f"batch normalisation needs (features,) or (channels, height, width), came {shapes[0]}")
        return shapes[0]

    def params(self, shapes: Sequence[Shape]) -> int:
        return 2 * shapes[0][0]

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.BatchNorm2d(shapes[0][0]) if len(shapes[0]) == 3 else nn.BatchNorm1d(shapes[0][0])

    def label(self) -> str:
        return "batch norm"
