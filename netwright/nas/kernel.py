"""How alike a model takes two architectures to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from netwright.nas.rows import distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.float64]

MAIN = (0.0, 0.3, 0.6, 0.9)
"""Shares of the variance that each decision explains by itself."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The prior covariance of two architectures' scores: what decisions explain one by one, and what they do together.

    `main` is the share of the former, linear in the rows and relative to `scale`; the rest falls with the distance
    of the rows in units of `length`. A choice that is good by itself thus counts far from where it was tried.
    """

    length: float
    main: float
    scale: float

    def between(self, left: Array, right: Array) -> Array:
        """A row for each of `left`, a column for each of `right`."""
        near = np.exp(-distances(left, right) / self.length)
        if not self.main:
            return near
        found: Array = (1 - self.main) * near + self.main / self.scale * (left @ right.T)
        return found

    def of(self, rows: Array) -> Array:
        """The variance at each of the rows, shape (n,)."""
        found: Array = 1 - self.main + self.main / self.scale * (rows**2).sum(axis=1)
        return found


def kernels_for(rows: Array, lengths: Sequence[float]) -> list[Kernel]:
    """Those that a likelihood chooses from: lengths in units of the rows' mean square, and shares of main effects."""
    scale = max(float((rows**2).sum(axis=1).mean()), 1.0)
    return [Kernel(length * scale, main, scale) for length in lengths for main in MAIN]
