"""Batch normalisation over channels or features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import nn


class BatchNorm(Operation):
    """Normalises each channel with learned scale and shift (Ioffe & Szegedy, 2015)."""

    family: ClassVar[Family] = "pointwise"
    accompanies: ClassVar[bool] = True

    epsilon: float = Field(default=1e-5, gt=0, description="added to the variance")
    momentum: float = Field(default=0.1, ge=0, le=1, description="weight of the newest batch in the running mean")
    affine: bool = Field(default=True, description="whether scale and shift are learned")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if len(shapes[0]) not in (1, 3):
            raise ShapeError(f"batch normalisation needs (features,) or (channels, height, width), came {shapes[0]}")
        return shapes[0]

    def params(self, shapes: Sequence[Shape]) -> int:
        return 2 * shapes[0][0] if self.affine else 0

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        kind = nn.BatchNorm2d if len(shapes[0]) == 3 else nn.BatchNorm1d
        return kind(shapes[0][0], eps=self.epsilon, momentum=self.momentum, affine=self.affine)

    def label(self) -> str:
        return "batch norm"
