"""Learned positions, added to the steps of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx, nn


class Positions(Operation):
    """Adds a learned vector to every step of (time, features), its own for each place (Dosovitskiy et al., 2021)."""

    family: ClassVar[Family] = "attention"
    accompanies: ClassVar[bool] = True

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return require_sequence(shapes[0], "learned positions")

    def params(self, shapes: Sequence[Shape]) -> int:
        return shapes[0][0] * shapes[0][1]

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        import torch
        from torch import nn

        holder = nn.Module()
        holder.positions = nn.Parameter(nn.init.normal_(torch.empty(shapes[0]), std=0.02))
        return holder

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        return graph.call_function(torch.add, (inputs[0], graph.get_attr(f"{name}.positions")))

    def label(self) -> str:
        return "positions"
