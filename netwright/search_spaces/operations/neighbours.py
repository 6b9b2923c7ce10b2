"""What a node's neighbours hold, brought together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx

LOWEST = -3e38


class Neighbours(Operation):
    """For every node the sum, mean or largest of its neighbours' features; zeros for a node without any.

    Takes features (nodes, features) and an adjacency matrix (nodes, nodes) of zeros and ones, whose row i marks
    the neighbours of node i.
    """

    family: ClassVar[Family] = "wiring"
    inputs: ClassVar[int | None] = 2

    mode: Literal["sum", "mean", "max"] = "sum"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        nodes, features = require_sequence(shapes[0], "bringing neighbours together")
        if shapes[1] != (nodes, nodes):
            raise ShapeError(f"{nodes} nodes need an adjacency matrix {(nodes, nodes)}, came {shapes[1]}")
        return (nodes, features)

    def macs(self, shapes: Sequence[Shape]) -> int:
        nodes, features = shapes[0]
        return 0 if self.mode == "max" else nodes * nodes * features

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        x, adjacency = inputs
        if self.mode == "max":
            joined = graph.call_function(torch.gt, (graph.call_function(torch.unsqueeze, (adjacency, -1)), 0.5))
            each = graph.call_function(torch.unsqueeze, (x, 1))
            seen = graph.call_function(torch.where, (joined, each, LOWEST))
            largest = graph.call_function(torch.amax, (seen,), {"dim": 2})
            any_joined = graph.call_function(torch.any, (joined,), {"dim": 2})
            return graph.call_function(torch.where, (any_joined, largest, 0.0))
        total = graph.call_function(torch.matmul, (adjacency, x))
        if self.mode == "sum":
            return total
        degrees = graph.call_function(torch.sum, (adjacency,), {"dim": -1, "keepdim": True})
        return graph.call_function(torch.div, (total, graph.call_function(torch.clamp, (degrees,), {"min": 1.0})))

    def label(self) -> str:
        return f"{self.mode} of neighbours"
