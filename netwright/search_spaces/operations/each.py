"""One operation on every part of a sample by itself, such as the frames of a clip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.plugins import built
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, Size

if TYPE_CHECKING:
    import torch
    from torch import fx, nn


class Each(Operation):
    """What another operation makes of every entry along the first axis: (parts, ...) -> (parts, ...).

    All parts go through the same weights, as frames, windows or patches do that a network joins with the batch.
    """

    family: ClassVar[Family] = "other"
    inputs: ClassVar[int | None] = None

    parts: Size = Field(description="length of the first axis")
    step: str = Field(description="the operation for one part, as JSON")

    @cached_property
    def operation(self) -> Operation:
        """The operation for one part."""
        return built(Operation, json.loads(self.step))

    def with_step(self, operation: Operation) -> Each:
        """Another operation for as many parts."""
        return self if operation == self.operation else Each(parts=self.parts, step=operation.key)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if any(shape[0] != self.parts for shape in shapes):
            raise ShapeError(f"{self.label()} needs {self.parts} parts, came {' and '.join(map(str, shapes))}")
        return (self.parts, *self.operation.output_shape(self.of_one(shapes)))

    def params(self, shapes: Sequence[Shape]) -> int:
        return self.operation.params(self.of_one(shapes))

    def macs(self, shapes: Sequence[Shape]) -> int:
        return self.parts * self.operation.macs(self.of_one(shapes))

    def module(self, shapes: Sequence[Shape]) -> nn.Module | None:
        return self.operation.module(self.of_one(shapes))

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        joined = [graph.call_function(torch.flatten, (x, 0, 1)) for x in inputs]
        made = self.operation.emit(graph, name, joined)
        return graph.call_function(torch.unflatten, (made, 0, (-1, self.parts)))

    def shared_part(self, weight: str, full: torch.Tensor, shape: Shape) -> torch.Tensor:
        return self.operation.shared_part(weight, full, shape)

    def label(self) -> str:
        return f"{self.operation.label()} of {self.parts} parts"

    @staticmethod
    def of_one(shapes: Sequence[Shape]) -> list[Shape]:
        """The shapes of one part."""
        return [shape[1:] for shape in shapes]
