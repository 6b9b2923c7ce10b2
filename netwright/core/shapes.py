"""What a network takes in and gives out, without the batch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shapes:
    """Per-sample shapes of a task: `input` is (channels, height, width) or (time, features),
    `output` the number of classes or values.
    """

    input: Shape
    output: int

    @property
    def input_size(self) -> int:
        """Number of values in one input."""
        return prod(self.input)
