"""Several objectives as one number, for methods that know only one."""

from __future__ import annotations

import random
from collections.abc import Sequence

from netwright.nas.evidence import Evidence


def random_weights(count: int, rng: random.Random) -> tuple[float, ...]:
    """Weights that add up to 1, drawn evenly from all such."""
    drawn = [rng.expovariate(1.0) for _ in range(count)]
    total = sum(drawn)
    return tuple(value / total for value in drawn)


def scalarised(evidence: Sequence[Evidence], weights: Sequence[float]) -> list[float]:
    """One loss per trial: the largest weighted objective (Chebyshev), each scaled by what the record spans.

    The sum of all is added with little weight, so that of two with an equal largest the better one wins. A broken
    bound adds more than any objective can.
    """
    axes = list(zip(*(item.losses for item in evidence), strict=True))
    scaled = [_scaled(axis) for axis in axes]
    found = []
    for item, row in zip(evidence, zip(*scaled, strict=True), strict=True):
        weighted = [weight * value for weight, value in zip(weights, row, strict=True)]
        beyond = 2.0 + item.violation if item.violation else 0.0
        found.append(max(weighted) + 0.05 * sum(weighted) + beyond)
    return found


def _scaled(axis: Sequence[float]) -> list[float]:
    low, high = min(axis), max(axis)
    return [(value - low) / (high - low) if high > low else 0.0 for value in axis]
