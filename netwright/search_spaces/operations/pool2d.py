"""Two-dimensional pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image, window_output

if TYPE_CHECKING:
    from torch import nn


class Pool2d(Operation):
    """The largest or the mean value in a window; odd windows are padded so that stride 1 keeps the size.

    The mean does not count padded places.
    """

    family: ClassVar[Family] = "pooling"

    mode: Literal["max", "average"] = "max"
    kernel: int = Field(default=2, ge=1)
    stride: int = Field(default=2, ge=1)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "pooling")
        return (channels, self._size(height), self._size(width))

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        if self.mode == "max":
            return nn.MaxPool2d(self.kernel, self.stride, self._padding)
        return nn.AvgPool2d(self.kernel, self.stride, self._padding, count_include_pad=False)

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        stride = f" /{self.stride}" if self.stride > 1 else ""
        return f"{self.mode} pool {self.kernel}×{self.kernel}{stride}"

    @property
    def _padding(self) -> int:
        return (self.kernel - 1) // 2

    def _size(self, size: int) -> int:
        return window_output(size, kernel=self.kernel, stride=self.stride, padding=self._padding)
