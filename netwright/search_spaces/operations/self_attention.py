"""Self-attention of several heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    import torch
    from torch import fx, nn


class SelfAttention(Operation):
    """Every step takes in what it attends to: (time, features) -> (time, width) (Vaswani et al., 2017).

    One linear layer gives queries, keys and values of all heads, another mixes what the heads found.
    """

    family: ClassVar[Family] = "attention"

    width: int = Field(ge=1, description="features of all heads together")
    heads: int = Field(default=4, ge=1)
    causal: bool = Field(default=False, description="whether a step attends to itself and earlier ones only")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        time, _ = require_sequence(shapes[0], "self-attention")
        if self.width % self.heads:
            raise ShapeError(f"{self.heads} heads do not divide a width of {self.width}")
        return (time, self.width)

    def params(self, shapes: Sequence[Shape]) -> int:
        return 3 * self.width * (shapes[0][1] + 1) + self.width * (self.width + 1)

    def macs(self, shapes: Sequence[Shape]) -> int:
        time, features = shapes[0]
        linear = time * self.width * (3 * features + self.width)
        return linear + 2 * time * time * self.width

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        qkv = nn.Linear(shapes[0][1], 3 * self.width)
        return nn.ModuleDict({"qkv": qkv, "out": nn.Linear(self.width, self.width)})

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        call = graph.call_function
        qkv = graph.call_module(f"{name}.qkv", (inputs[0],))
        by_head = call(torch.unflatten, (qkv, -1, (3, self.heads, self.width // self.heads)))
        queries, keys, values = (
            call(torch.transpose, (call(torch.select, (by_head, 2, index)), 1, 2)) for index in range(3)
        )
        # written out, since fused kernels are counted by torch's counter on some devices only
        scaled = call(torch.mul, (queries, (self.width // self.heads) ** -0.5))
        scores = call(torch.matmul, (scaled, call(torch.transpose, (keys, 2, 3))))
        if self.causal:
            never = call(torch.full_like, (scores, float("-inf")))
            scores = call(torch.add, (scores, call(torch.triu, (never, 1))))
        found = call(torch.matmul, (call(torch.softmax, (scores, -1)), values))
        together = call(torch.flatten, (call(torch.transpose, (found, 1, 2)), 2))
        return graph.call_module(f"{name}.out", (together,))

    def shared_part(self, weight: str, full: torch.Tensor, shape: Shape) -> torch.Tensor:
        """The first features of queries, of keys and of values, which are rows of one weight.

        A copy that passes gradients on to the whole for these, a view otherwise.
        """
        if not weight.startswith("qkv"):
            return super().shared_part(weight, full, shape)
        parts = full.reshape(3, full.shape[0] // 3, *full.shape[1:]).narrow(1, 0, shape[0] // 3)
        for axis in range(1, len(shape)):
            parts = parts.narrow(axis + 1, 0, shape[axis])
        return parts.flatten(0, 1)

    def label(self) -> str:
        return f"{'causal ' if self.causal else ''}attention, {self.heads} heads"
