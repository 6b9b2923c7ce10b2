"""Fully connected layer."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import nn


class Linear(Operation):
    """Every output feature is a weighted sum of all input features of the last axis."""

    family: ClassVar[Family] = "linear"

    features: int = Field(ge=1, description="output features")
    bias: bool = True

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return (*shapes[0][:-1], self.features)

    def params(self, shapes: Sequence[Shape]) -> int:
        return self.features * shapes[0][-1] + (self.features if self.bias else 0)

    def macs(self, shapes: Sequence[Shape]) -> int:
        return self.features * prod(shapes[0])

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.Linear(shapes[0][-1], self.features, bias=self.bias)

    def keeps_zeros(self) -> bool:
        return not self.bias

    def label(self) -> str:
        return f"linear {self.features}"
