"""How far a measured share can be trusted."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from netwright.core.errors import DataError


def wilson(share: float, *, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval that holds the true share, given the share seen in `n` independent samples.

    The score interval of Wilson (1927); unlike share ± 2 standard errors it stays within 0 and 1 and is
    right near them. Raises DataError when the share is not within 0 and 1 or there are no samples.

    >>> low, high = wilson(0.98, n=1000)
    >>> round(low, 4), round(high, 4)
    (0.9693, 0.987)
    """
    if not 0 <= share <= 1:
        raise DataError(f"a share lies between 0 and 1, came {share}; give a fraction, not a percentage")
    if n < 1:
        raise DataError(f"an interval needs at least one sample, came n = {n}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)
