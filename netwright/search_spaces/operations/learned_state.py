"""A learned vector, such as the state that a recurrent layer starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx, nn


class LearnedState(Operation):
    """Any input -> (features,): a learned vector that is the same for every sample."""

    family: ClassVar[Family] = "recurrent"
    accompanies: ClassVar[bool] = True

    features: int = Field(ge=1, description="length of the vector")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return (self.features,)

    def params(self, shapes: Sequence[Shape]) -> int:
        return self.features

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        import torch
        from torch import nn

        holder = nn.Module()
        holder.state = nn.Parameter(torch.zeros(self.features))
        return holder

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        state = graph.call_method("unsqueeze", (graph.get_attr(f"{name}.state"), 0))
        return graph.call_method("expand", (state, graph.call_method("size", (inputs[0], 0)), -1))

    def label(self) -> str:
        return "learned state"
