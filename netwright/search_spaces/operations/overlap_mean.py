"""The results of overlapping windows put together to one sequence."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx


class OverlapMean(Operation):
    """(windows, steps, features) -> (windows + steps - 1, features): the mean over all windows that hold a step."""

    family: ClassVar[Family] = "pooling"

    steps: int = Field(ge=1, description="length of a window")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if len(shapes[0]) != 3 or shapes[0][1] != self.steps:
            raise ShapeError(f"a mean over windows needs (windows, {self.steps}, features), came {shapes[0]}")
        windows, steps, features = shapes[0]
        return (windows + steps - 1, features)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        total = self._sum(graph, inputs[0])
        # how many windows hold a step is summed like the values, so that no length is fixed here
        one = graph.call_function(operator.getitem, (inputs[0], (slice(None), slice(None), slice(None), slice(0, 1))))
        counts = self._sum(graph, graph.call_function(torch.ones_like, (one,)))
        return graph.call_function(torch.div, (total, counts))

    def _sum(self, graph: fx.Graph, windows: fx.Node) -> fx.Node:
        """Every window's values added at the steps that they belong to."""
        import torch
        from torch.nn import functional

        def at(index: int) -> fx.Node:
            values = graph.call_function(operator.getitem, (windows, (slice(None), slice(None), index)))
            return graph.call_function(functional.pad, (values, (0, 0, index, self.steps - 1 - index)))

        return reduce(
            lambda left, right: graph.call_function(torch.add, (left, right)), [at(i) for i in range(self.steps)]
        )

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return "mean over windows"
