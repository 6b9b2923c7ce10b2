"""The rank of a matrix below noise of unknown strength, in closed form."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np

THRESHOLD = 2.5129
"""The limit of the smallest resolvable signal, over the square root of the shape's ratio (Nakajima et al., 2013)."""


def vbmf_rank(matrix: np.ndarray) -> int:
    """How many singular values of a matrix stand out of its noise; 0 when none does.

    Empirical variational Bayesian matrix factorization: Nakajima, Sugiyama, Babacan & Tomioka, Global analytic solution
    of fully-observed variational Bayesian matrix factorization, JMLR 14 (2013), theorem 2. The noise's variance is the
    minimum of the free energy, a function of one variable, found here on a fine grid.
    """
    rows, columns = sorted(matrix.shape)
    squared = np.linalg.svd(matrix.astype(np.float64), compute_uv=False) ** 2
    if squared.sum() <= 0 or rows < 2:
        return int(squared.sum() > 0)
    ratio = rows / columns
    tau = THRESHOLD * sqrt(ratio)
    smallest = (1 + tau) * (1 + ratio / tau)
    highest = squared.sum() / (rows * columns)
    ranks = min(ceil(rows / (1 + ratio)) - 1, rows - 1)
    tail = squared[ranks:]
    lowest = max(tail[0] / (columns * smallest), tail.mean() / columns, 1e-12 * highest)
    variances = np.geomspace(min(lowest, highest), highest, 4001)
    energies = [_free_energy(squared / (columns * variance), ratio, smallest) for variance in variances]
    noise = variances[int(np.argmin(energies))]
    return int((squared > columns * noise * smallest).sum())


def _free_energy(values: np.ndarray, ratio: float, smallest: float) -> float:
    """The free energy of squared singular values in units of the noise, up to a constant."""
    values = np.maximum(values, 1e-300)
    energy = values - np.log(values)
    seen = values[values > smallest]
    middle = seen - (1 + ratio)
    tau = (middle + np.sqrt(np.maximum(middle**2 - 4 * ratio, 0))) / 2
    return float(energy.sum() + (np.log(tau + 1) + ratio * np.log(tau / ratio + 1) - tau).sum())
