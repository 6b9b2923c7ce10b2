"""Sum of inputs with fixed or learned factors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx, nn


class WeightedSum(Operation):
    """c₁x₁ + c₂x₂ + ...: a gradient step, momentum, a difference; each factor is fixed or learned from its start."""

    family: ClassVar[Family] = "wiring"
    inputs: ClassVar[int | None] = None

    factors: tuple[float, ...] = Field(min_length=1, description="one for each input")
    learned: tuple[bool, ...] = Field(default=(), description="which factors are learned; by default none")

    @model_validator(mode="after")
    def _one_each(self) -> WeightedSum:
        if self.learned and len(self.learned) != len(self.factors):
            raise ValueError(f"`learned` needs {len(self.factors)} values, one for each factor")
        return self

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if len(shapes) != len(self.factors) or len(set(shapes)) != 1:
            raise ShapeError(f"a sum with {len(self.factors)} factors needs as many inputs of one shape, came {shapes}")
        return shapes[0]

    def params(self, shapes: Sequence[Shape]) -> int:
        return sum(self.learned)

    def module(self, shapes: Sequence[Shape]) -> nn.Module | None:
        import torch
        from torch import nn

        if not any(self.learned):
            return None
        holder = nn.Module()
        for index, factor in enumerate(self.factors):
            if self.learned[index]:
                holder.register_parameter(f"factor{index + 1}", nn.Parameter(torch.tensor(factor)))
        return holder

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        terms = []
        for index, value in enumerate(inputs):
            factor: fx.Node | float = self.factors[index]
            if any(self.learned) and self.learned[index]:
                factor = graph.get_attr(f"{name}.factor{index + 1}")
            terms.append(value if factor == 1 else graph.call_function(torch.mul, (value, factor)))
        return reduce(lambda left, right: graph.call_function(torch.add, (left, right)), terms)

    def keeps_zeros(self) -> bool:
        return True

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return self.factors == (1.0,) and not any(self.learned)

    def label(self) -> str:
        signs = ["c" if learned else f"{f:g}" for f, learned in zip(self.factors, self._flags, strict=True)]
        return "sum × " + ", ".join(signs)

    @property
    def _flags(self) -> tuple[bool, ...]:
        return self.learned or tuple(False for _ in self.factors)
