"""Layer normalisation over features or channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import nn


class LayerNorm(Operation):
    """Normalises the last axis with learned scale and shift (Ba et al., 2016)."""

    family: ClassVar[Family] = "pointwise"
    accompanies: ClassVar[bool] = True

    epsilon: float = Field(default=1e-5, gt=0, description="added to the variance")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def params(self, shapes: Sequence[Shape]) -> int:
        return 2 * shapes[0][-1]

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.LayerNorm(shapes[0][-1], eps=self.epsilon)

    def label(self) -> str:
        return "layer norm"
