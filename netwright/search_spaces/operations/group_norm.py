"""Group normalisation, of which instance normalisation is the case of one channel a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image

if TYPE_CHECKING:
    from torch import nn


class GroupNorm(Operation):
    """Normalises groups of channels of one sample with learned scale and shift (Wu & He, 2018)."""

    family: ClassVar[Family] = "pointwise"
    accompanies: ClassVar[bool] = True

    groups: int = Field(default=0, ge=0, description="0 means one group per channel: instance normalisation")
    epsilon: float = Field(default=1e-5, gt=0, description="added to the variance")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, _, _ = require_image(shapes[0], "group normalisation")
        if self.groups and channels % self.groups:
            raise ShapeError(f"{self.groups} groups do not divide {channels} channels")
        return shapes[0]

    def params(self, shapes: Sequence[Shape]) -> int:
        return 2 * shapes[0][0]

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.GroupNorm(self.groups or shapes[0][0], shapes[0][0], eps=self.epsilon)

    def label(self) -> str:
        return f"group norm {self.groups}" if self.groups else "instance norm"
