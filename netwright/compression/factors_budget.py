"""Ranks for all layers together: the least loss that fits a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from netwright.core.errors import CompressionError

STEPS = 60


@dataclass(frozen=True, slots=True)
class Option:
    """One way to factorize a layer: its parameters and MACs, and the share of its squared weights that it loses.

    An empty method leaves the layer as it is.
    """

    method: str
    ranks: tuple[int, ...]
    params: int
    macs: int
    loss: float


def within_budget(layers: Sequence[Sequence[Option]], *, limit: float, of: Literal["macs", "params"]) -> list[Option]:
    """One option per layer, of the least summed loss that a price per unit of cost finds within the limit.

    With a price each layer chooses by itself the option of the least loss plus price times cost; the price is found
    by bisection (Lagrangian relaxation, Everett 1963). Where a price jumps over the limit, layers are then given back,
    the best loss per cost first. Raises CompressionError when even the cheapest options cost more.
    """

    def cost(option: Option) -> int:
        return option.macs if of == "macs" else option.params

    def at(price: float) -> list[Option]:
        return [min(options, key=lambda one: (one.loss + price * cost(one), cost(one))) for options in layers]

    cheapest = sum(min(cost(one) for one in options) for options in layers)
    if cheapest > limit:
        least = f"even the smallest ranks leave {cheapest:.4g} {of} in the layers that can be factorized"
        raise CompressionError(f"{least}, the budget allows {max(limit, 0):.4g}")
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low * high) ** 0.5 if low else high * 1e-3
        if sum(map(cost, at(middle))) > limit:
            low = middle
        else:
            high = middle
    chosen = at(high)
    if sum(map(cost, chosen)) > limit:
        chosen = [min(options, key=cost) for options in layers]
    return _filled(layers, chosen, limit=limit, of=of)


def _filled(
    layers: Sequence[Sequence[Option]], chosen: list[Option], *, limit: float, of: Literal["macs", "params"]
) -> list[Option]:
    """The choice with what is left of the budget spent, each time on the step that saves most loss per cost."""
    chosen = list(chosen)
    while True:
        spent = sum(getattr(option, of) for option in chosen)
        steps = [
            ((now.loss - one.loss) / max(1, getattr(one, of) - getattr(now, of)), place, one)
            for place, (now, options) in enumerate(zip(chosen, layers, strict=True))
            for one in options
            if one.loss < now.loss and spent - getattr(now, of) + getattr(one, of) <= limit
        ]
        if not steps:
            return chosen
        _, place, one = max(steps, key=lambda step: (step[0], -step[1]))
        chosen[place] = one
