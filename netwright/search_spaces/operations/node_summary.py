"""Summary of a graph: one vector for all of its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx

LOWEST = -3e38


class NodeSummary(Operation):
    """The sum, mean or largest over nodes: (nodes, features) and presence (nodes, 1) -> (features,).

    softmax: each node is first softmax-ed to shares of the features, then all are summed, which is a
    differentiable form of writing each node into a hash table (neural fingerprint: Duvenaud et al., 2015).
    Rows whose presence is 0 are left out; a graph without nodes gives zeros.
    """

    family: ClassVar[Family] = "pooling"
    inputs: ClassVar[int | None] = 2

    mode: Literal["softmax", "sum", "mean", "max"] = "sum"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        nodes, features = require_sequence(shapes[0], "a summary of nodes")
        if shapes[1] != (nodes, 1):
            raise ShapeError(f"{nodes} nodes need their presence {(nodes, 1)}, came {shapes[1]}")
        return (features,)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        x, presence = inputs
        present = graph.call_function(torch.gt, (presence, 0.5))
        if self.mode == "max":
            seen = graph.call_function(torch.where, (present, x, LOWEST))
            largest = graph.call_function(torch.amax, (seen,), {"dim": 1})
            return graph.call_function(
                torch.where, (graph.call_function(torch.any, (present,), {"dim": 1}), largest, 0.0)
            )
        if self.mode == "softmax":
            x = graph.call_function(torch.softmax, (x,), {"dim": -1})
        total = graph.call_function(torch.sum, (graph.call_function(torch.where, (present, x, 0.0)),), {"dim": 1})
        if self.mode != "mean":
            return total
        ones = graph.call_method("to", (present, torch.float32))
        count = graph.call_function(torch.sum, (ones,), {"dim": 1})
        return graph.call_function(torch.div, (total, graph.call_function(torch.clamp, (count,), {"min": 1.0})))

    def label(self) -> str:
        return "fingerprint" if self.mode == "softmax" else f"{self.mode} of nodes"
