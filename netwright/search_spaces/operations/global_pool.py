"""Global pooling: one value per channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_image

if TYPE_CHECKING:
    from torch import fx, nn


class GlobalPool(Operation):
    """The mean or largest value of every channel: (channels, height, width) -> (channels,)."""

    family: ClassVar[Family] = "pooling"

    mode: Literal["average", "max"] = "average"
    keep_axes: bool = Field(default=False, description="give (channels, 1, 1), as squeeze-and-excitation needs")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels, _, _ = require_image(shapes[0], "global pooling")
        return (channels, 1, 1) if self.keep_axes else (channels,)

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.AdaptiveAvgPool2d(1) if self.mode == "average" else nn.AdaptiveMaxPool2d(1)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        pooled = graph.call_module(name, tuple(inputs))
        return pooled if self.keep_axes else graph.call_function(torch.flatten, (pooled, 1))

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"global {self.mode} pool"
