"""The end of a sequence."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx


class LastSteps(Operation):
    """(time, features) -> (steps, features): only the last steps; all of them when there are fewer."""

    family: ClassVar[Family] = "wiring"

    steps: int = Field(ge=1)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        time, features = require_sequence(shapes[0], "taking the last steps")
        return (min(time, self.steps), features)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        return graph.call_function(operator.getitem, (inputs[0], (slice(None), slice(-self.steps, None))))

    def is_identity(self, shapes: Sequence[Shape]) -> bool:
        return shapes[0][0] <= self.steps

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return f"last {self.steps} steps"
