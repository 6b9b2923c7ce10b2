"""How much an untried architecture promises, from what a surrogate expects of it; all losses, small is good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import moocore
import numpy as np

from netwright.analysis.front import volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netwright.nas.surrogate import Scale

    Array: TypeAlias = NDArray[np.float64]

STEPS, TURN = 17, 5
"""So many quantiles stand for a distribution; each further objective is `TURN` steps on, which spreads them."""
FEWER, TURN_FEWER = 7, 3
"""The same for more than two objectives, whose volumes take longer."""
MOST_AXES = 5
"""Volumes in more dimensions take too long."""
BEHIND = 0.1
"""How far the corner lies behind the worst values, as a share of what the values span."""


def expected_improvement(mean: Array, spread: Array, best: float) -> Array:
    """How far each falls below the best, on average (Jones et al., 1998); all of shape (n,)."""
    from scipy.special import ndtr

    gap = (best - mean) / spread
    found: Array = spread * (gap * ndtr(gap) + np.exp(-(gap**2) / 2) / math.sqrt(2 * math.pi))
    return found


def expected_volume_gain(mean: Array, spread: Array, scales: Sequence[Scale], losses: Array) -> Array:
    """The share of hypervolume each would add to the front of measured `losses`, in the objectives' own units.

    For two to five objectives. Scores become losses by `scales`; where a spread is 0 the loss is known. The corner is
    the worst of `losses`, moved out by a tenth of what they span. `mean` and `spread` have a column per objective.
    """
    low, high = losses.min(axis=0), losses.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    measured, axes = (losses - low) / span, losses.shape[1]
    front = lower_front(measured) if axes == 2 else measured[moocore.is_nondominated(measured)]
    corner = np.full(axes, 1.0 + BEHIND)
    steps = _steps(spread)
    total = np.zeros(len(mean))
    for step in steps:
        drawn = mean + spread * step
        points = np.stack([scale.loss(drawn[:, place]) for place, scale in enumerate(scales)], axis=1)
        unit = (points - low) / span
        total += area_gain(unit, front, corner) if axes == 2 else volume_gain(unit, front, corner)
    return total / len(steps)


def _steps(spread: Array) -> Array:
    """Standard normal quantiles [steps, objectives], spread evenly over what is uncertain."""
    from scipy.special import ndtri

    count, turn = (STEPS, TURN) if spread.shape[1] == 2 else (FEWER, TURN_FEWER)
    quantiles = ndtri((np.arange(count) + 0.5) / count)
    uncertain = np.cumsum((spread > 0).any(axis=0)) - 1
    columns = [quantiles[(np.arange(count) * turn ** max(int(place), 0)) % count] for place in uncertain]
    return np.stack(columns, axis=1)


def volume_gain(points: Array, front: Array, corner: Array) -> Array:
    """The volume that each point adds to what a front dominates up to a corner, in any number of dimensions."""
    found = np.zeros(len(points))
    dominated = np.any(np.all(front[None, :, :] <= points[:, None, :], axis=2), axis=1)
    behind = dominated | np.any(points >= corner, axis=1)
    for place in np.flatnonzero(~behind):
        # what the front leaves of the point's own box, which the front cut to that box measures
        taken = volume(np.maximum(front, points[place]), corner)
        found[place] = np.prod(corner - points[place]) - taken
    return found


def area_gain(points: Array, front: Array, corner: Array) -> Array:
    """The area that each point adds to what a front dominates up to a corner; the front is in ascending order."""
    left = np.concatenate([[-np.inf], front[:, 0]])
    right = np.minimum(np.concatenate([front[:, 0], [corner[0]]]), corner[0])
    ceiling = np.minimum(np.concatenate([[corner[1]], front[:, 1]]), corner[1])
    width = np.maximum(right[None, :] - np.maximum(left[None, :], points[:, :1]), 0.0)
    height = np.maximum(ceiling[None, :] - points[:, 1:2], 0.0)
    found: Array = (width * height).sum(axis=1)
    return found


def lower_front(values: Array) -> Array:
    """The points that no other dominates, in ascending order of the first loss; two columns."""
    kept: list[Array] = []
    for point in values[np.lexsort((values[:, 1], values[:, 0]))]:
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return np.array(kept)


def chebyshev_gain(mean: Array, spread: Array, values: Array, rng: np.random.Generator) -> Array:
    """The negative largest weighted loss of one draw for each, with weights drawn at random for all."""
    weights = np.asarray(rng.exponential(size=mean.shape[1]), dtype=float)
    shares = weights / weights.sum()
    drawn = mean + spread * rng.standard_normal(mean.shape)
    weighted: Array = np.multiply(drawn - values.min(axis=0), shares)
    found: Array = -(weighted.max(axis=1) + 0.05 * weighted.sum(axis=1))
    return found
