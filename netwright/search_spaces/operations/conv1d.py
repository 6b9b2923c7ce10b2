"""Convolution over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    import torch
    from torch import fx, nn


class Conv1d(Operation):
    """Convolution over time: (time, features) -> (time, filters).

    Causal padding goes before the first step, so that no result depends on a later step. With `weight_norm`
    a filter is a length (`weight_g`) times a direction (`weight_v`), and both are trained (Salimans & Kingma, 2016).
    """

    family: ClassVar[Family] = "convolution"

    filters: int = Field(ge=1, description="output features")
    kernel: int = Field(default=3, ge=1, description="steps under the window")
    dilation: int = Field(default=1, ge=1)
    padding: Literal["causal", "same", "valid"] = "causal"
    bias: bool = True
    weight_norm: bool = False

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        time, _ = require_sequence(shapes[0], "a convolution over time")
        return (time + sum(self._sides) - self.dilation * (self.kernel - 1), self.filters)

    def params(self, shapes: Sequence[Shape]) -> int:
        per_filter = shapes[0][1] * self.kernel + int(self.bias) + int(self.weight_norm)
        return self.filters * per_filter

    def macs(self, shapes: Sequence[Shape]) -> int:
        return self.output_shape(shapes)[0] * self.filters * shapes[0][1] * self.kernel

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        import torch
        from torch import nn

        layer = nn.Conv1d(shapes[0][1], self.filters, self.kernel, dilation=self.dilation, bias=self.bias)
        if not self.weight_norm:
            return layer
        # plain parameters: torch's parametrisation makes a class at run time, which cannot be pickled
        holder = nn.Module()
        holder.weight_g = nn.Parameter(torch.linalg.vector_norm(layer.weight.detach(), dim=(1, 2), keepdim=True))
        holder.weight_v = layer.weight
        if layer.bias is not None:
            holder.bias = layer.bias
        return holder

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch
        from torch.nn import functional

        x = graph.call_function(torch.transpose, (inputs[0], 1, 2))
        if any(self._sides):
            x = graph.call_function(functional.pad, (x, self._sides))
        y = self._normed(graph, name, x) if self.weight_norm else graph.call_module(name, (x,))
        return graph.call_function(torch.transpose, (y, 1, 2))

    def shared_part(self, weight: str, full: torch.Tensor, shape: Shape) -> torch.Tensor:
        """The first filters and features, and the newest steps of the window (its middle unless causal)."""
        if len(shape) < 3:
            return super().shared_part(weight, full, shape)
        surplus = full.shape[2] - shape[2]
        start = surplus if self.padding == "causal" else surplus // 2
        return super().shared_part(weight, full.narrow(2, start, shape[2]), shape)

    def keeps_zeros(self) -> bool:
        return not self.bias

    def label(self) -> str:
        dilation = f" dilated {self.dilation}" if self.dilation > 1 else ""
        return f"conv {self.kernel}, {self.filters}{dilation}"

    def _normed(self, graph: fx.Graph, name: str, x: fx.Node) -> fx.Node:
        import torch
        from torch.nn import functional

        length, direction = (graph.get_attr(f"{name}.{part}") for part in ("weight_g", "weight_v"))
        norm = graph.call_function(torch.linalg.vector_norm, (direction,), {"dim": (1, 2), "keepdim": True})
        weight = graph.call_function(torch.mul, (direction, graph.call_function(torch.div, (length, norm))))
        bias = graph.get_attr(f"{name}.bias") if self.bias else None
        return graph.call_function(functional.conv1d, (x, weight, bias), {"dilation": self.dilation})

    @property
    def _sides(self) -> tuple[int, int]:
        """Steps added before and after."""
        total = self.dilation * (self.kernel - 1)
        if self.padding == "causal":
            return total, 0
        return (total // 2, total - total // 2) if self.padding == "same" else (0, 0)
