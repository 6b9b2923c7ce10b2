"""In which order trials of one rung deserve to go on: non-dominated sorting, then a second criterion in a front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from netwright.nas.promotion import Entrant
from netwright.nas.ranking import Losses, crowding_distances, fronts

Second = Literal["epsilon_net", "hypervolume", "crowding"]
MARGIN = 0.1
"""The reference point lies this share of the range behind the worst, so that the ends of a front count."""


def ordered(entrants: Sequence[Entrant], *, rung: int, second: Second = "epsilon_net") -> list[Entrant]:
    """Entrants with a result at `rung` from the best to the worst; of equals the earlier trial comes first.

    Kept bounds before broken ones, little broken before much; then front by front, each in the order of `second`.
    """
    kept = [e for e in entrants if e.results[rung].violation == 0]
    broken = sorted((e for e in entrants if e.results[rung].violation > 0), key=lambda e: e.results[rung].violation)
    losses = [e.results[rung].losses for e in kept]
    return [kept[place] for place in best_first(losses, second=second)] + broken


def best_first(losses: Sequence[Losses], *, second: Second = "epsilon_net") -> list[int]:
    """The places of points, where smaller is better in every column, from the best to the worst."""
    found: list[int] = []
    for front in fronts(losses):
        inside = [losses[place] for place in front]
        found += [front[place] for place in _within(inside, second)]
    return found


def _within(front: Sequence[Losses], second: Second) -> list[int]:
    if len(front) < 2 or len(front[0]) < 2:
        return list(range(len(front)))
    points = _scaled(front)
    if second == "epsilon_net":
        return epsilon_net(points)
    worth = crowding_distances(points) if second == "crowding" else hypervolume_contributions(points)
    return sorted(range(len(front)), key=lambda place: (-worth[place], place))


def epsilon_net(points: Sequence[Losses]) -> list[int]:
    """Places of points in an order whose every beginning is spread out (farthest first; Gonzalez, 1985).

    The first is the best in the first column; each next one is farthest from its nearest among those before
    (Schmucker et al., 2021, use it to choose within a front). Of equally far ones the earlier comes first.
    """
    first = min(range(len(points)), key=lambda place: (points[place], place))
    order = [first]
    nearest = [math.dist(point, points[first]) for point in points]
    left = [place for place in range(len(points)) if place != first]
    while left:
        far = max(left, key=lambda place: (nearest[place], -place))
        left.remove(far)
        order.append(far)
        nearest = [min(old, math.dist(point, points[far])) for old, point in zip(nearest, points, strict=True)]
    return order


def hypervolume_contributions(points: Sequence[Losses]) -> list[float]:
    """The volume that only this point of a front dominates, up to a point a tenth of the range behind the worst.

    Of points that are equal none contributes anything.
    """
    import numpy as np

    from netwright.nas.acquisition import volume_gain

    array = np.array(points, dtype=np.float64)
    corner = array.max(axis=0) + MARGIN * np.maximum(array.max(axis=0) - array.min(axis=0), 1.0)
    places = range(len(points))
    return [float(volume_gain(array[[one]], np.delete(array, one, axis=0), corner)[0]) for one in places]


def _scaled(front: Sequence[Losses]) -> list[Losses]:
    """Every column from 0 for the best to 1 for the worst; what is infinite counts as twice as bad as the worst."""
    columns = []
    for column in zip(*front, strict=True):
        finite = [value for value in column if math.isfinite(value)]
        low = min(finite, default=0.0)
        span = (max(finite, default=0.0) - low) or 1.0
        columns.append([(value - low) / span if math.isfinite(value) else 2.0 for value in column])
    return list(zip(*columns, strict=True))
