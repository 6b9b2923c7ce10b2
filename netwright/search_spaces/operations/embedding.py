"""Learned vectors for words or signs that come as whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation

if TYPE_CHECKING:
    from torch import fx, nn

SPREAD = 0.1
"""Standard deviation of the vectors at the start; torch's own is 1, which drowns what training learns."""


class Embedding(Operation):
    """(time, 1) of whole numbers -> (time, features): a learned vector for each number (Bengio et al., 2003).

    Number 0 is padding: its vector is zero and stays so. Vectors begin small, with a standard deviation of 0.1, so that
    words which are rarely seen weigh little until they have been learned. Numbers come as floats, as all inputs do,
    exact up to 2^24; those below 0 or too large are taken for the nearest there is.
    """

    family: ClassVar[Family] = "other"
    reads_tokens: ClassVar[bool] = True

    tokens: int = Field(ge=2, description="how many numbers there are, from 0")
    features: int = Field(ge=1, description="length of each vector")

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if len(shapes[0]) != 2 or shapes[0][1] != 1:
            raise ShapeError(f"an embedding needs a whole number per step, (time, 1), came {shapes[0]}")
        return (shapes[0][0], self.features)

    def params(self, shapes: Sequence[Shape]) -> int:
        return self.tokens * self.features

    def module(self, shapes: Sequence[Shape]) -> nn.Module:
        from torch import nn

        vectors = nn.Embedding(self.tokens, self.features, padding_idx=0)
        vectors.weight.data.mul_(SPREAD)
        return vectors

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        numbers = graph.call_function(torch.squeeze, (inputs[0], 2))
        known = graph.call_function(torch.clamp, (numbers, 0, self.tokens - 1))
        return graph.call_module(name, (graph.call_method("long", (known,)),))

    def label(self) -> str:
        return f"embedding {self.tokens} x {self.features}"
