"""Summary of a sequence: one vector for all of its steps."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Family, Operation, require_sequence

if TYPE_CHECKING:
    from torch import fx


class Summary(Operation):
    """The first or last step, the mean or the largest value over time: (time, features) -> (features,)."""

    family: ClassVar[Family] = "pooling"

    mode: Literal["first", "last", "mean", "max"] = "last"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return (require_sequence(shapes[0], "a sequence summary")[1],)

    def emit(self, graph: fx.Graph, name: str, inputs: Sequence[fx.Node]) -> fx.Node:
        import torch

        if self.mode in ("first", "last"):
            step = 0 if self.mode == "first" else -1
            return graph.call_function(operator.getitem, (inputs[0], (slice(None), step)))
        reduce = torch.mean if self.mode == "mean" else torch.amax
        return graph.call_function(reduce, (inputs[0],), {"dim": 1})

    def keeps_zeros(self) -> bool:
        return True

    def label(self) -> str:
        return {"mean": "mean over time", "max": "max over time"}.get(self.mode, f"{self.mode} step")
