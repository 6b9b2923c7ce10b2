"""k-means of single numbers: the few values that a weight's entries are replaced by.

On a line a cluster is an interval, so with the values sorted once and their sums kept, an iteration of Lloyd's rule
costs a binary search per cluster. The general tools look at every value again each time, for the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Start = Literal["linear", "density", "random"]


@dataclass(frozen=True, slots=True)
class Codebook:
    """Values [k], ascending and all in use, and which of them each entry has, int64 [N]."""

    values: Array
    places: npt.NDArray[np.int64]


def cluster(values: Array, *, count: int, start: Start, seed: int, iterations: int = 300) -> Codebook:
    """At most `count` values for the entries [N] of a weight, by Lloyd's k-means until nothing moves.

    `start`: `linear` spreads the first centroids evenly from the smallest to the largest value, which keeps the few
    large weights well (Han et al., ICLR 2016, section 3.2); `density` puts as many entries between each two; `random`
    draws them from the entries. An interval that no entry falls into leaves no value behind.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    ordered = np.sort(flat)
    distinct = np.unique(ordered)
    if len(distinct) <= count:
        centres = distinct
    else:
        sums = np.concatenate([[0.0], np.cumsum(ordered)])
        centres = _settled(_first(ordered, distinct, count, start, seed), ordered, sums, iterations)
    places = np.searchsorted((centres[1:] + centres[:-1]) / 2, flat, side="left")
    used, places = np.unique(places, return_inverse=True)
    return Codebook(centres[used].astype(np.float32), places.astype(np.int64).ravel())


def _first(ordered: Array, distinct: Array, count: int, start: Start, seed: int) -> Array:
    if start == "linear":
        return np.linspace(ordered[0], ordered[-1], count)
    if start == "density":
        return np.unique(np.quantile(ordered, (np.arange(count) + 0.5) / count))
    return np.sort(np.random.default_rng(seed).choice(distinct, size=count, replace=False))


def _settled(centres: Array, ordered: Array, sums: Array, iterations: int) -> Array:
    for _ in range(iterations):
        edges = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2, side="right")
        bounds = np.concatenate([[0], edges, [len(ordered)]])
        sizes = np.diff(bounds)
        means = np.where(sizes > 0, np.diff(sums[bounds]) / np.maximum(sizes, 1), centres)
        if np.array_equal(means, centres):
            break
        centres = np.sort(means)
    return centres
