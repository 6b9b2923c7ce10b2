"""A learned step put before a sequence."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx, nn


class ClassToken(Operation):
    """(time, features) -> (time + 1, features): a learned first step, to read the result from (Devlin et al., 2019)."""

    family: ClassVar[Family] = "attention"
    accompanies: ClassVar[bool] = True

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        time, features = require_sequence(shapes[0], "a class token")
        return (time + 1, features)

    def params(self, shapes: Sequence[Shape]) -> int:
        return shapes[0][1]

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        import torch
        from torch import nn

        holder = nn.Module()
        holder.token = nn.Parameter(nn.init.normal_(torch.empty(shapes[0][1]), std=0.02))
        return holder

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        first = graph.call_function(operator.getitem, (inputs[0], (slice(None), slice(0, 1))))
        # added to zeros, which repeats it for every sample of the batch
        zeros = graph.call_function(torch.zeros_like, (first,))
        token = graph.call_function(torch.add, (zeros, graph.get_attr(f"{name}.token")))
        return graph.call_function(torch.cat, ([token, inputs[0]],), {"dim": 1})

    def label(self) -> str:
        return "class token"
