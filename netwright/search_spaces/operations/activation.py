"""A pointwise non-linear function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import nn


Function = Literal[
    "relu", "relu6", "leaky_relu", "elu", "silu", "gelu", "hardswish", "tanh", "sigmoid", "hardsigmoid", "softplus",
    "mish", "identity",
]  # fmt: skip


class Activation(Operation):
    """ReLU and its relatives, applied to every value."""

    family: ClassVar[Family] = "pointwise"
    accompanies: ClassVar[bool] = True

    function: Function = "relu"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        table: dict[str, type[nn.Module]] = {
            "relu": nn.ReLU,
            "relu6": nn.ReLU6,
            "leaky_relu": nn.LeakyReLU,
            "elu": nn.ELU,
            "silu": nn.SiLU,
            "gelu": nn.GELU,
            "hardswish": nn.Hardswish,
            "tanh": nn.Tanh,
            "sigmoid": nn.Sigmoid,
            "hardsigmoid": nn.Hardsigmoid,
            "softplus": nn.Softplus,
            "mish": nn.Mish,
            "identity": nn.Identity,
        }
        return table[self.function]()

    def keeps_zeros(self) -> bool:
        return self.function not in ("sigmoid", "hardsigmoid", "softplus")

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return self.function == "identity"

    def label(self) -> str:
        return self.function.replace("_", " ")
