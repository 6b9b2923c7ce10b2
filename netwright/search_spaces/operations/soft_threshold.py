"""Soft thresholding with learned thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx, nn


class SoftThreshold(Operation):
    """sign(x)·max(|x| - θ, 0), written max(x - θ, 0) - max(-x - θ, 0); the proximal step of the l1 norm."""

    family: ClassVar[Family] = "pointwise"

    thresholds: Literal["one", "each"] = Field(
        default="one", description="one θ for all, or each value of a vector (channel of an image) its own"
    )
    start: float = Field(default=0.1, ge=0, description="θ before training")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def params(self, shapes: Sequence[Shape]) -> int:
        return 1 if self.thresholds == "one" else shapes[0][0]

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        import torch
        from torch import nn

        size = () if self.thresholds == "one" else (shapes[0][0], *(1 for _ in shapes[0][1:]))
        holder = nn.Module()
        holder.register_parameter("threshold", nn.Parameter(torch.full(size, self.start)))
        return holder

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        threshold = graph.get_attr(f"{name}.threshold")
        above = graph.call_function(torch.relu, (graph.call_function(torch.sub, (inputs[0], threshold)),))
        turned = graph.call_function(torch.neg, (inputs[0],))
        below = graph.call_function(torch.relu, (graph.call_function(torch.sub, (turned, threshold)),))
        return graph.call_function(torch.sub, (above, below))

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return "soft threshold" if self.thresholds == "one" else "soft thresholds"
