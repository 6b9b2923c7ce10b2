"""Two-dimensional convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import (
    Family,
    Operation,
    Padding,
    Sides,
    require_image,
    sides,
    window_output,
    window_padding,
)

if TYPE_CHECKING:
    import torch
    from torch import nn


class Conv2d(Operation):
    """Convolution of (channels, height, width); by default padded so that stride 1 keeps height and width."""

    family: ClassVar[Family] = "convolution"

    filters: int = Field(default=0, ge=0, description="output channels; 0 means as many as come in")
    kernel: Sides = Field(default=3, description="side of the square window, or (height, width)")
    stride: Sides = 1
    padding: Padding = Field(default="same", description="same, valid (none), or a number for each side")
    dilation: int = Field(default=1, ge=1)
    groups: int = Field(default=1, ge=0, description="0 means depthwise: one group per input channel")
    bias: bool = False

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "a convolution")
        groups, filters = self.groups or channels, self.filters or channels
        if channels % groups or filters % groups:
            raise ShapeError(f"{groups} groups do not divide {channels} input and {filters} output channels")
        (kernel, wide), (down, right), (top, left) = sides(self.kernel), sides(self.stride), self._padding
        rows = window_output(height, kernel=kernel, stride=down, padding=top, dilation=self.dilation)
        columns = window_output(width, kernel=wide, stride=right, padding=left, dilation=self.dilation)
        return (filters, rows, columns)

    def params(self, shapes: Sequence[Shape]) -> int:
        filters = self.filters or shapes[0][0]
        return filters * self._window(shapes[0][0]) + (filters if self.bias else 0)

    def macs(self, shapes: Sequence[Shape]) -> int:
        filters, height, width = self.output_shape(shapes)
        return filters * height * width * self._window(shapes[0][0])

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        channels = shapes[0][0]
        return nn.Conv2d(
            channels,
            self.filters or channels,
            sides(self.kernel),
            stride=sides(self.stride),
            padding=self._padding,
            dilation=self.dilation,
            groups=self.groups or channels,
            bias=self.bias,
        )

    def shared_part(self, weight: str, full: torch.Tensor, shape: Shape) -> torch.Tensor:
        """The first filters and channels, and the middle of the window (Once for All: Cai et al., 2020)."""
        full = super().shared_part(weight, full, (*shape[:2], *full.shape[2:]))
        for axis in range(2, len(shape)):
            full = full.narrow(axis, (full.shape[axis] - shape[axis]) // 2, shape[axis])
        return full

    def keeps_zeros(self) -> bool:
        return not self.bias

    def completed_by(self, following: Operation) -> bool:
        return self.groups == 0 and isinstance(following, Conv2d) and sides(following.kernel) == (1, 1)

    def label(self) -> str:
        return self._words("depthwise" if self.groups == 0 else "conv", self.filters)

    def label_with(self, following: Operation) -> str:
        plain = isinstance(following, Conv2d) and self.filters == 0 and following.stride == 1
        return self._words("separable", following.filters) if plain else super().label_with(following)  # type: ignore[attr-defined]  # a convolution

    def _words(self, name: str, count: int) -> str:
        filters = f", {count}" if count else ""
        stride = "" if sides(self.stride) == (1, 1) else f" /{max(sides(self.stride))}"
        dilation = f" dilated {self.dilation}" if self.dilation > 1 else ""
        return f"{name} {'×'.join(map(str, sides(self.kernel)))}{filters}{stride}{dilation}"

    @property
    def _padding(self) -> tuple[int, int]:
        return window_padding(self.padding, self.kernel, dilation=self.dilation)

    def _window(self, channels: int) -> int:
        """Weights of one filter."""
        height, width = sides(self.kernel)
        return channels // (self.groups or channels) * height * width
