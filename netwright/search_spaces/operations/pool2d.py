"""Two-dimensional pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import (
    Family,
    Operation,
    Padding,
    require_image,
    window_output,
    window_padding,
)

if TYPE_CHECKING:
    from torch import nn


class Pool2d(Operation):
    """The largest or the mean value in a window; by default odd windows are padded to keep the size at stride 1."""

    family: ClassVar[Family] = "pooling"

    mode: Literal["max", "average"] = "max"
    kernel: int = Field(default=2, ge=1)
    stride: int = Field(default=2, ge=1)
    padding: Padding = Field(default="same", description="same, valid (none), or a number for each side")
    ceil: bool = Field(default=False, description="keep a last window that is only partly filled")
    count_padding: bool = Field(default=False, description="whether padded places count in the mean")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "pooling")
        return (channels, self._size(height, self._padding[0]), self._size(width, self._padding[1]))

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        if self.mode == "max":
            return nn.MaxPool2d(self.kernel, self.stride, self._padding, ceil_mode=self.ceil)
        return nn.AvgPool2d(self.kernel, self.stride, self._padding, self.ceil, self.count_padding)

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return self.kernel == 1 and self.stride == 1

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        stride = f" /{self.stride}" if self.stride > 1 else ""
        return f"{self.mode} pool {self.kernel}×{self.kernel}{stride}"

    @property
    def _padding(self) -> tuple[int, int]:
        return window_padding(self.padding, self.kernel)

    def _size(self, size: int, padding: int) -> int:
        made = window_output(size, kernel=self.kernel, stride=self.stride, padding=padding)
        over = (size + 2 * padding - self.kernel) % self.stride
        # a last window must start inside the input or its left padding
        if self.ceil and over and made * self.stride < size + padding:
            return made + 1
        return made
