"""Flatten everything but the batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Operation

if TYPE_CHECKING:
    from torch import nn


class Flatten(Operation):
    """All values of one sample in a row."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return (prod(shapes[0]),)

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        return nn.Flatten()

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return len(shapes[0]) == 1

    def label(self) -> str:
        return "flatten"
