"""Flatten everything but the batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, ClassVar

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import nn


class Flatten(Operation):
    """All values of one sample in a row."""

    family: ClassVar[Family] = "wiring"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return (prod(shapes[0]),)

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.Flatten()

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return len(shapes[0]) == 1

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return "flatten"
