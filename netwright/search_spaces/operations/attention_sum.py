"""Weighted sum over time with learned weights, as attention pooling needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx


class AttentionSum(Operation):
    """Values (time, features) and scores (time, 1) -> (features,): the scores' softmax over time weighs the steps.

    The pooling of Yang et al., 2016 ("Hierarchical attention networks for document classification", eq. 6-7).
    """

    family: ClassVar[Family] = "attention"
    inputs: ClassVar[int | None] = 2

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        time, features = require_sequence(shapes[0], "an attention sum")
        if shapes[1] != (time, 1):
            raise ShapeError(
                f"an attention sum over {time} steps needs scores of the shape {(time, 1)}, came {shapes[1]}"
            )
        return (features,)

    def macs(self, shapes: Sequence[Shape]) -> int:
        return shapes[0][0] * shapes[0][1]

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        values, scores = inputs
        shares = graph.call_function(torch.softmax, (graph.call_function(torch.transpose, (scores, 1, 2)), 2))
        return graph.call_function(torch.flatten, (graph.call_function(torch.matmul, (shares, values)), 1))

    def label(self) -> str:
        return "attention over time"
