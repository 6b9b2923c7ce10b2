"""What a network takes in and gives out, without the batch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from netwright.core.errors import ShapeError

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shapes:
    """Per-sample shapes of a task: `input` is (channels, height, width) or (time, features),
    `output` the number of classes or values, or a shape where the result is an image or a sequence.
    """

    input: Shape
    output: int | Shape

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
