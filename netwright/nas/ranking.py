"""Who is better when there are several objectives and bounds: domination and crowding."""

from __future__ import annotations

import math
from collections.abc import Sequence

from netwright.nas.evidence import Evidence

Losses = tuple[float, ...]


def ranking(population: Sequence[Evidence]) -> list[Evidence]:
    """The population from best to worst.

    Kept bounds come before broken ones and little broken before much (Deb, 2000); within that fronts of
    non-dominated trials, and within a front those in sparse places first (NSGA-II, Deb et al., 2002).
    Among equals the newer comes first.
    """
    feasible = [e for e in population if e.violation == 0]
    broken = sorted((e for e in population if e.violation > 0), key=lambda e: (e.violation, -e.trial.number))
    ordered: list[Evidence] = []
    for front in fronts([e.losses for e in feasible]):
        crowding = crowding_distances([feasible[index].losses for index in front])
        by_index = dict(zip(front, crowding, strict=True))
        best_first = sorted(front, key=lambda index: (-by_index[index], -feasible[index].trial.number))
        ordered += [feasible[index] for index in best_first]
    return ordered + broken


def dominates(left: Losses, right: Losses) -> bool:
    """Whether `left` is at least as small everywhere and smaller somewhere."""
    return left != right and all(a <= b for a, b in zip(left, right, strict=True))


def fronts(losses: Sequence[Losses]) -> list[list[int]]:
    """Indices by layer: the non-dominated ones, then those without them, and so on."""
    if losses and len(losses[0]) == 1:
        levels = sorted({loss for (loss,) in losses})
        places: dict[float, list[int]] = {level: [] for level in levels}
        for index, (loss,) in enumerate(losses):
            places[loss].append(index)
        return [places[level] for level in levels]
    better = [[j for j, other in enumerate(losses) if dominates(other, own)] for own in losses]
    layers: list[list[int]] = []
    left = set(range(len(losses)))
    while left:
        front = [index for index in sorted(left) if not any(j in left for j in better[index])]
        layers.append(front)
        left.difference_update(front)
    return layers


def crowding_distances(losses: Sequence[Losses]) -> list[float]:
    """How much room each point has to its neighbours along every objective; infinite at the ends."""
    distances = [0.0] * len(losses)
    for axis in range(len(losses[0]) if losses else 0):
        order = sorted(range(len(losses)), key=lambda index: losses[index][axis])
        low, high = losses[order[0]][axis], losses[order[-1]][axis]
        if low == high:
            continue
        distances[order[0]] = distances[order[-1]] = math.inf
        for before, here, after in zip(order, order[1:], order[2:], strict=False):
            distances[here] += (losses[after][axis] - losses[before][axis]) / (high - low)
    return distances
