"""Dropout: zeros some values while training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import nn


class Dropout(Operation):
    """Each value is zeroed with the given probability while training (Srivastava et al., 2014)."""

    family: ClassVar[Family] = "pointwise"
    accompanies: ClassVar[bool] = True
    random: ClassVar[bool] = True

    probability: float = Field(default=0.5, ge=0, lt=1)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.Dropout(self.probability)

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return self.probability == 0

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"dropout {self.probability:g}"
