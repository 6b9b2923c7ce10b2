"""Small spaces that stand for what spaces can be: one architecture, every kind of decision, changing options."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pydantic import Field

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace


class Only(SearchSpace):
    """Decisions are all made here; the network does not matter."""

    def lower(self, plan: object, net: GraphBuilder, shapes: Shapes) -> Tensor:
        return net.chain(net.input, Flatten(), Linear(features=shapes.output))


class One(Only):
    """A single architecture."""

    def decide(self, choose: Chooser) -> Any:
        return choose.one_of("kind", ("a",)), choose.integer("width", 4, 4)


class Few(Only):
    """Three architectures, one of them forbidden."""

    def decide(self, choose: Chooser) -> Any:
        kind = choose.one_of("kind", ("a", "b", "c"))
        choose.require(kind != "c", "c is not allowed")
        return kind


class Mixed(Only):
    """Every kind of decision, conditional ones, and options that hang on other decisions."""

    sizes: list[int] = Field(default=[8, 16, 32, 64], description="a list: the space cannot be hashed")

    def decide(self, choose: Chooser) -> Any:
        depth = choose.integer("depth", 1, 4)
        least = 0
        for index in range(depth):
            with choose.scope(f"layer{index}"):
                least = int(choose.one_of("width", [size for size in self.sizes if size >= least]))
        picks = choose.subset("picks", tuple(range(depth + 1)), least=1, most=2)
        choose.require(least > 8 or depth < 4, "four layers of 8 are too few")
        odd = choose.integer("odd", 1, 2 * depth + 1, step=2)
        rate = choose.real("rate", 1e-4, 1e-1, log=True)
        return depth, picks, odd, rate, choose.boolean("flag"), choose.real("share", 0, 1)


class Knapsack(Only):
    """Twelve choices whose qualities add up, half of them only when a switch is on: an easy landscape."""

    def decide(self, choose: Chooser) -> Any:
        plan = [choose.one_of(f"a{i}", ("x", "y", "z", "w")) for i in range(6)]
        if choose.boolean("more"):
            plan += [choose.one_of(f"b{i}", ("x", "y", "z", "w")) for i in range(6)]
        return plan


def knapsack_value(decisions: Any) -> dict[str, float]:
    """Quality, best at 1, and a size that grows with it."""
    worth = {"x": 0, "y": 1, "z": 3, "w": 2}
    chosen = [worth[value] for name, value in sorted(decisions.items()) if name != "more"]
    bonus = sum(a == b == 3 for a, b in pairwise(chosen))
    return {"quality": (sum(chosen) + bonus) / 47, "size": 1.0 + sum(value**2 for value in chosen)}
