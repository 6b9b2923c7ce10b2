"""A search space of one's own, for the tests of `netwright space`."""

from __future__ import annotations

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace


class Narrowing(SearchSpace):
    """Fully connected layers, none wider than the one before it."""

    depth: tuple[int, int] = (1, 3)
    widths: tuple[int, ...] = (4, 8, 16)

    def decide(self, choose: Chooser) -> list[int]:
        depth = choose.integer("depth", *self.depth)
        plan = [int(choose.one_of(f"layer{index + 1}/width", self.widths)) for index in range(depth)]
        choose.require(plan == sorted(plan, reverse=True), "a layer is wider than the one before it")
        return plan

    def lower(self, plan: list[int], net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = net.add(Flatten(), net.input)
        for index, width in enumerate(plan):
            with net.scope(f"layer{index + 1}"):
                x = net.chain(x, Linear(features=width), Activation())
        return net.add(Linear(features=shapes.classes), x, name="head")
