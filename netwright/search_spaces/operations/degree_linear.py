"""A fully connected layer with weights of its own for every number of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx, nn


class DegreeLinear(Operation):
    """Row i times the matrix of its node's degree, without bias (Duvenaud et al., 2015).

    Takes rows (nodes, features) and an adjacency matrix (nodes, nodes); degrees from `degrees` - 1 on share a matrix.
    All matrices are multiplied and one is kept, which batches well and is what `macs` counts.
    """

    family: ClassVar[Family] = "linear"
    inputs: ClassVar[int | None] = 2

    features: int = Field(ge=1, description="output features")
    degrees: int = Field(default=6, ge=1, description="how many matrices: degrees 0, 1, 2, ...")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        nodes, _ = require_sequence(shapes[0], "a layer by degrees")
        if shapes[1] != (nodes, nodes):
            raise ShapeError(f"{nodes} nodes need an adjacency matrix {(nodes, nodes)}, came {shapes[1]}")
        return (nodes, self.features)

    def params(self, shapes: Sequence[Shape]) -> int:
        return self.degrees * self.features * shapes[0][1]

    def macs(self, shapes: Sequence[Shape]) -> int:
        return shapes[0][0] * self.params(shapes)

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        import torch
        from torch import nn

        columns = shapes[0][1]
        holder = nn.Module()
        weight = torch.empty(self.degrees, self.features, columns)
        holder.register_parameter("weight", nn.Parameter(weight.uniform_(-(columns**-0.5), columns**-0.5)))
        holder.register_buffer("degrees", torch.arange(self.degrees, dtype=torch.float32))
        return holder

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch
        from torch.nn import functional

        x, adjacency = inputs
        degrees = graph.call_function(torch.sum, (adjacency,), {"dim": -1, "keepdim": True})
        rounded = graph.call_function(torch.round, (degrees,))
        bounded = graph.call_function(torch.clamp, (rounded, 0.0, float(self.degrees - 1)))
        chosen = graph.call_function(torch.eq, (bounded, graph.get_attr(f"{name}.degrees")))
        flat = graph.call_function(torch.flatten, (graph.get_attr(f"{name}.weight"), 0, 1))
        every = graph.call_function(functional.linear, (x, flat))
        by_degree = graph.call_function(torch.unflatten, (every, -1, (self.degrees, self.features)))
        mask = graph.call_function(torch.unsqueeze, (chosen, -1))
        kept = graph.call_function(torch.where, (mask, by_degree, 0.0))
        return graph.call_function(torch.sum, (kept,), {"dim": -2})

    def label(self) -> str:
        return f"linear {self.features} by degree"
