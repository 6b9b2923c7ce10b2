"""Two-dimensional transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image

if TYPE_CHECKING:
    from torch import nn


class ConvTranspose2d(Operation):
    """Learned up-sampling: every value spreads a window of weights over a grid `stride` times as fine.

    (channels, height, width) -> (filters, (height - 1)·stride + kernel - 2·padding, likewise the width).
    With `start` = bilinear it begins as bilinear interpolation, channel by channel; with `fixed_bilinear` it
    stays so and has no parameters (Long et al., 2015).
    """

    family: ClassVar[Family] = "convolution"

    filters: int = Field(default=0, ge=0, description="output channels; 0 means as many as come in")
    kernel: int = Field(default=2, ge=1, description="side of the square window")
    stride: int = Field(default=2, ge=1)
    padding: int = Field(default=0, ge=0, description="places cut from each side of the result")
    bias: bool = False
    start: Literal["random", "bilinear", "fixed_bilinear"] = "random"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, height, width = require_image(shapes[0], "a transposed convolution")
        return (self._filters(channels), self._size(height), self._size(width))

    def params(self, shapes: Sequence[Shape]) -> int:
        filters = self._filters(shapes[0][0])
        learned = 0 if self._fixed else shapes[0][0] * filters * self.kernel**2
        return learned + (filters if self.bias else 0)

    def macs(self, shapes: Sequence[Shape]) -> int:
        channels, height, width = shapes[0]
        pairs = channels if self._fixed else channels * self._filters(channels)
        return height * width * pairs * self.kernel**2

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        channels = shapes[0][0]
        layer = nn.ConvTranspose2d(
            channels,
            self._filters(channels),
            self.kernel,
            stride=self.stride,
            padding=self.padding,
            groups=channels if self._fixed else 1,
            bias=self.bias,
        )
        if self.start != "random":
            _make_bilinear(layer, self.kernel)
        if self._fixed:
            weight = layer.weight.detach()
            del layer.weight
            layer.register_buffer("weight", weight)
        return layer

    def keeps_zeros(self) -> bool:
        return not self.bias

    def label(self) -> str:
        filters = f", {self.filters}" if self.filters else ""
        return f"transposed conv {self.kernel}×{self.kernel}{filters} ×{self.stride}"

    @property
    def _fixed(self) -> bool:
        return self.start == "fixed_bilinear"

    def _filters(self, channels: int) -> int:
        return channels if self._fixed else self.filters or channels

    def _size(self, size: int) -> int:
        return (size - 1) * self.stride + self.kernel - 2 * self.padding


def _make_bilinear(layer: nn.ConvTranspose2d, kernel: int) -> None:
    """Set the weights to a tent over each window, from each channel to the one of its number."""
    import torch

    half = (kernel + 1) // 2
    middle = half - 1 if kernel % 2 else half - 0.5
    tent = 1 - (torch.arange(kernel) - middle).abs() / half
    window = torch.outer(tent, tent)
    with torch.no_grad():
        layer.weight.zero_()
        rows, columns = layer.weight.shape[:2]
        for channel in range(rows):
            if columns == 1 or channel < columns:
                layer.weight[channel, min(channel, columns - 1)] = window
