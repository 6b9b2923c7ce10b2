"""Densities by sensitivity: a layer that suffers more when it alone is pruned keeps more of its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import nn

from netwright.compression.sparsity import Densities, Scores, choose, masked

SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7)
"""What is tried; a layer that tolerates none of them counts as if it tolerated `MOST`."""
MOST = 0.9


def by_sensitivity(
    module: nn.Module, scores: Scores, wanted: Densities, *, loss: Callable[[nn.Module], float], allowed: float
) -> Densities:
    """The wanted densities, the rest given out layer by layer so that as many weights stay in all.

    A layer tolerates the smallest share at which it, pruned alone and not trained, costs no more than `allowed` of
    `loss(module)`. All tolerated shares are raised to one power, so that their order stays and the total is met.
    """
    trial = copy.deepcopy(module)
    before = loss(trial)
    tolerated = {
        name: next((s for s in SHARES if _cost(trial, {name: scores[name]}, s, loss) - before <= allowed), MOST)
        for name in scores
        if name not in wanted.own
    }
    sizes = {name: scores[name].numel() for name in tolerated}
    return replace(wanted, own={**wanted.own, **to_total(tolerated, sizes, wanted.rest)}, scope="layer")


def to_total(shares: Mapping[str, float], sizes: Mapping[str, int], density: float) -> dict[str, float]:
    """Shares below 1 raised to one power, so that together they keep the share `density` of all weights."""
    goal = density * sum(sizes.values())
    low, high = 0.0, 1000.0
    for _ in range(60):
        power = (low + high) / 2
        if sum(sizes[name] * share**power for name, share in shares.items()) > goal:
            low = power
        else:
            high = power
    return {name: share**high for name, share in shares.items()}


def _cost(module: nn.Module, scores: Scores, share: float, loss: Callable[[nn.Module], float]) -> float:
    kept = {name: module.get_parameter(name).detach().clone() for name in scores}
    masked(module, choose(scores, Densities(share, scope="layer")))
    found = loss(module)
    for name, value in kept.items():
        module.get_parameter(name).data.copy_(value)
    return found
