"""What a network takes in and gives out, without the batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from netwright.core.errors import ShapeError

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shapes:
    """Per-sample shapes of a task: `input` is (channels, height, width) or (time, features),
    `output` the number of classes or values, or a shape where the result is an image or a sequence.

    What a shape does not tell: with `tokens` the input is (time, 1) of whole numbers below that, each of
    which stands for a word or a sign; `edges` of the last columns of a packed graph are features of its edges.
    `standardised` says that networks see other values than those stored, which matters while a network is designed
    alone: it is no part of the JSON.
    """

    input: Shape
    output: int | Shape
    tokens: int = 0
    edges: int = 0
    standardised: bool = field(default=False, compare=False)

    @property
    def input_size(self) -> int:
        """Number of values in one input."""
        return prod(self.input)

    @property
    def output_shape(self) -> Shape:
        """The shape of one result; (classes,) for a classification."""
        return (self.output,) if isinstance(self.output, int) else tuple(self.output)

    @property
    def classes(self) -> int:
        """The number of classes or values; raises ShapeError when the result is not one row of values."""
        if len(self.output_shape) != 1:
            raise ShapeError(f"this network gives one row of values, the task needs the shape {self.output_shape}")
        return self.output_shape[0]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; what is zero is left out."""
        output = self.output if isinstance(self.output, int) else list(self.output)
        more = {name: found for name, found in (("tokens", self.tokens), ("edges", self.edges)) if found}
        return {"input": list(self.input), "output": output, **more}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Shapes:
        output = data["output"]
        return cls(
            tuple(data["input"]),
            output if isinstance(output, int) else tuple(output),
            tokens=data.get("tokens", 0),
            edges=data.get("edges", 0),
        )
