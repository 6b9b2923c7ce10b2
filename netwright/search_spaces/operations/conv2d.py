"""Two-dimensional convolution with `same` padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image, window_output

if TYPE_CHECKING:
    from torch import nn


class Conv2d(Operation):
    """Convolution of (channels, height, width); padded so that stride 1 keeps height and width."""

    family: ClassVar[Family] = "convolution"

    filters: int = Field(ge=1, description="output channels")
    kernel: int = Field(default=3, ge=1, description="side of the square window, odd")
    stride: int = Field(default=1, ge=1)
    dilation: int = Field(default=1, ge=1)
    groups: int = Field(default=1, ge=0, description="0 means depthwise: one group per input channel")
    bias: bool = False

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "a convolution")
        groups = self._groups(channels)
        if channels % groups or self.filters % groups:
            raise ShapeError(f"{groups} groups do not divide {channels} input and {self.filters} output channels")
        return (self.filters, self._size(height), self._size(width))

    def params(self, shapes: Sequence[Shape]) -> int:
        channels = shapes[0][0]
        weights = self.filters * (channels // self._groups(channels)) * self.kernel**2
        return weights + (self.filters if self.bias else 0)

    def macs(self, shapes: Sequence[Shape]) -> int:
        channels = shapes[0][0]
        _, height, width = self.output_shape(shapes)
        return self.filters * height * width * (channels // self._groups(channels)) * self.kernel**2

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        channels = shapes[0][0]
        return nn.Conv2d(
            channels,
            self.filters,
            self.kernel,
            stride=self.stride,
            padding=self._padding,
            dilation=self.dilation,
            groups=self._groups(channels),
            bias=self.bias,
        )

    def keeps_zeros(self) -> bool:
        return not self.bias

    def completed_by(self, following: Operation) -> bool:
        return self.groups == 0 and isinstance(following, Conv2d) and following.kernel == 1

    def label(self) -> str:
        name = "depthwise" if self.groups == 0 else "conv"
        stride = f" /{self.stride}" if self.stride > 1 else ""
        dilation = f" dilated {self.dilation}" if self.dilation > 1 else ""
        return f"{name} {self.kernel}×{self.kernel}, {self.filters}{stride}{dilation}"

    @property
    def _padding(self) -> int:
        return self.dilation * (self.kernel - 1) // 2

    def _groups(self, channels: int) -> int:
        return self.groups or channels

    def _size(self, size: int) -> int:
        return window_output(
            size, kernel=self.kernel, stride=self.stride, padding=self._padding, dilation=self.dilation
        )
