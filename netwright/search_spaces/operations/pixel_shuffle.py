"""Sub-pixel up-sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image

if TYPE_CHECKING:
    from torch import nn


class PixelShuffle(Operation):
    """Channels become pixels (Shi et al., 2016): (c·f², height, width) -> (c, f·height, f·width)."""

    family: ClassVar[Family] = "wiring"

    factor: int = Field(default=2, ge=1, description="how many times as high and wide")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "sub-pixel up-sampling")
        if channels % self.factor**2:
            raise ShapeError(
                f"sub-pixel up-sampling by {self.factor} needs {self.factor**2}·n channels, came {channels}"
            )
        return (channels // self.factor**2, height * self.factor, width * self.factor)

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.PixelShuffle(self.factor)

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return self.factor == 1

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"sub-pixel ×{self.factor}"
