"""Who is better when there are several objectives and bounds: domination and crowding."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from netwright.nas.evidence import Evidence

Losses = tuple[float, ...]


def ranking(population: Sequence[Evidence], *, most: int | None = None) -> list[Evidence]:
    """The population from best to worst, or its best `most`.

    Kept bounds come before broken ones and little broken before much (Deb, 2000); within that fronts of
    non-dominated trials, and within a front those in sparse places first (NSGA-II, Deb et al., 2002).
    Among equals the newer comes first.
    """
    feasible = [e for e in population if e.violation == 0]
    broken = sorted((e for e in population if e.violation > 0), key=lambda e: (e.violation, -e.trial.number))
    if feasible and len(feasible[0].losses) == 1:  # fronts of equals, in which all are equally crowded
        return (sorted(feasible, key=lambda e: (e.losses, -e.trial.number)) + broken)[:most]
    ordered: list[Evidence] = []
    for front in _each_front([e.losses for e in feasible]):
        crowding = crowding_distances([feasible[index].losses for index in front])
        by_index = dict(zip(front, crowding, strict=True))
        best_first = sorted(front, key=lambda index: (-by_index[index], -feasible[index].trial.number))
        ordered += [feasible[index] for index in best_first]
        if most is not None and len(ordered) >= most:
            break
    return (ordered + broken)[:most]


def best_and_youngest(evidence: Sequence[Evidence], *, most: int) -> Sequence[Evidence]:
    """At most so many, in their order: the best half and the youngest of the others."""
    if len(evidence) <= most:
        return evidence
    best = {item.trial.number for item in ranking(evidence, most=most // 2)}
    others = [item for item in evidence if item.trial.number not in best][-(most - len(best)) :]
    kept = best | {item.trial.number for item in others}
    return [item for item in evidence if item.trial.number in kept]


def dominates(left: Losses, right: Losses) -> bool:
    """Whether `left` is at least as small everywhere and smaller somewhere."""
    return left != right and all(a <= b for a, b in zip(left, right, strict=True))


def fronts(losses: Sequence[Losses]) -> list[list[int]]:
    """Indices by layer: the non-dominated ones, then those without them, and so on."""
    return list(_each_front(losses))


def _each_front(losses: Sequence[Losses]) -> Iterator[list[int]]:
    """The same one after the other, since few of them may be needed."""
    if not losses:
        return
    places: dict[Losses, list[int]] = {}
    for index, own in enumerate(losses):
        places.setdefault(own, []).append(index)
    distinct = sorted(places)
    axes = len(distinct[0])
    layers = [[own] for own in distinct] if axes == 1 else _swept(distinct) if axes == 2 else _peeled(distinct)
    for layer in layers:
        yield sorted(index for own in layer for index in places[own])


def _swept(distinct: Sequence[Losses]) -> list[list[Losses]]:
    """Layers of distinct pairs in ascending order, each put into the first layer that does not dominate it.

    The last of a layer has its smallest second loss, and these grow from layer to layer, so that a bisection
    finds the place (Jensen, 2003).
    """
    layers: list[list[Losses]] = []
    lowest: list[float] = []
    for own in distinct:
        place = bisect_right(lowest, own[1])
        if place == len(layers):
            layers.append([])
            lowest.append(own[1])
        layers[place].append(own)
        lowest[place] = own[1]
    return layers


def _peeled(distinct: Sequence[Losses]) -> list[list[Losses]]:
    """Layers of distinct points in any number of dimensions."""
    import numpy as np

    points = np.array(distinct)
    better = np.ones((len(points), len(points)), dtype=bool)
    for axis in range(points.shape[1]):
        better &= points[:, None, axis] <= points[None, :, axis]
    np.fill_diagonal(better, val=False)
    count = better.sum(axis=0)
    layers: list[list[Losses]] = []
    while (front := np.flatnonzero(count == 0)).size:
        layers.append([distinct[index] for index in front.tolist()])
        count -= better[front].sum(axis=0)
        count[front] = -1
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
