"""How much an untried architecture promises, from what a surrogate expects of it; all losses, small is good."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

DRAWS = 8
ASIDE = 0.1
MARGIN = 0.5
"""How far the reference point lies behind the worst values, in standard deviations."""


def expected_improvement(mean: Array, spread: Array, best: float) -> Array:
    """How far each falls below the best, on average (Jones et al., 1998); all of shape (n,)."""
    from scipy.special import ndtr  # type: ignore[import-untyped]

    gap = (best - mean) / spread
    found: Array = spread * (gap * ndtr(gap) + np.exp(-(gap**2) / 2) / math.sqrt(2 * math.pi))
    return found


def expected_area_gain(mean: Array, spread: Array, values: Array, rng: np.random.Generator) -> Array:
    """How much each would add to the area that the front of `values` dominates, on average over a few draws.

    For two objectives: all have two columns. The reference point lies a little behind the worst of `values`.
    """
    front, corner = lower_front(values), values.max(axis=0) + MARGIN
    draws = [area_gain(mean + spread * rng.standard_normal(mean.shape), front, corner) for _ in range(DRAWS)]
    found: Array = np.mean(draws, axis=0)
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


def end_improvement(mean: Array, spread: Array, values: Array) -> Array:
    """The largest expected improvement of one objective; the others count a little: an end must be on the front.

    A front of few trials lacks most at its ends, which make up for most of the area that is still missing.
    """
    found: list[Array] = []
    for axis in range(mean.shape[1]):
        shares = np.full(mean.shape[1], ASIDE)
        shares[axis] = 1.0
        best = float((values @ shares).min())
        found.append(expected_improvement(mean @ shares, np.sqrt(spread**2 @ shares**2), best))
    return np.asarray(np.max(found, axis=0), dtype=float)


def chebyshev_gain(mean: Array, spread: Array, values: Array, rng: np.random.Generator) -> Array:
    """The negative largest weighted loss of one draw for each, with weights drawn at random for all."""
    weights = np.asarray(rng.exponential(size=mean.shape[1]), dtype=float)
    shares = weights / weights.sum()
    drawn = mean + spread * rng.standard_normal(mean.shape)
    weighted: Array = np.multiply(drawn - values.min(axis=0), shares)
    found: Array = -(weighted.max(axis=1) + 0.05 * weighted.sum(axis=1))
    return found
