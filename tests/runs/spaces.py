"""Spaces for tests of what goes wrong."""

from __future__ import annotations

from typing import Any

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace


class WrongEnd(SearchSpace):
    """Ends in a shape that no task of ten classes can use."""

    def decide(self, choose: Chooser) -> Any:
        return choose.integer("depth", 1, 3)

    def lower(self, plan: Any, net: GraphBuilder, shapes: Shapes) -> Tensor:
        return net.chain(net.input, Flatten(), Linear(features=shapes.output + 1))
