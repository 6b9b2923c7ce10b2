"""How much an untried architecture promises, from what a surrogate expects of it; all losses, small is good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netwright.nas.surrogate import Scale

    Array: TypeAlias = NDArray[np.float64]

STEPS, TURN = 17, 5
"""So many quantiles stand for a distribution; for two of them the second is `TURN` steps on, which spreads pairs."""
BEHIND = 0.1
"""How far the corner lies behind the worst values, as a share of what the values span."""


def expected_improvement(mean: Array, spread: Array, best: float) -> Array:
    """How far each falls below the best, on average (Jones et al., 1998); all of shape (n,)."""
    from scipy.special import ndtr

    gap = (best - mean) / spread
    found: Array = spread * (gap * ndtr(gap) + np.exp(-(gap**2) / 2) / math.sqrt(2 * math.pi))
    return found


def expected_area_gain(mean: Array, spread: Array, scales: Sequence[Scale], losses: Array) -> Array:
    """The share of area each would add to the front of measured `losses`, in the objectives' own units.

    For two objectives. Scores become losses by `scales`; where a spread is 0 the loss is known. The corner is the
    worst of `losses`, moved out by a tenth of what they span. `mean` and `spread` have two columns.
    """
    low, high = losses.min(axis=0), losses.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    front, corner = lower_front((losses - low) / span), np.full(2, 1.0 + BEHIND)
    total = np.zeros(len(mean))
    for first, second in _steps(spread):
        drawn = mean + spread * np.array([first, second])
        points = np.stack([scale.loss(drawn[:, place]) for place, scale in enumerate(scales)], axis=1)
        total += area_gain((points - low) / span, front, corner)
    return total / STEPS


def _steps(spread: Array) -> list[tuple[float, float]]:
    """Pairs of standard normal quantiles, spread evenly over what is uncertain."""
    from scipy.special import ndtri

    steps = ndtri((np.arange(STEPS) + 0.5) / STEPS)
    turned = steps[(np.arange(STEPS) * TURN) % STEPS] if (spread > 0).all() else steps
    return list(zip(steps.tolist(), turned.tolist(), strict=True))


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
