"""Median stopping rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from statistics import median

from pydantic import Field

from netwright.nas.stopper import Stopper


class Median(Stopper):
    """Stops a training that is worse than the median of the others at the same epoch (Golovin et al., 2017)."""

    min_epochs: int = Field(default=3, ge=1, description="no training is stopped before this epoch")
    min_trials: int = Field(default=5, ge=1, description="how many others must have reached the epoch")
    spare_front: bool = Field(default=True, description="never stop what its cheap objectives put on the front")

    def keep_going(
        self,
        *,
        epoch: int,
        value: float,
        history: Sequence[Mapping[int, float]],
        protected: bool = False,
    ) -> bool:
        if epoch < self.min_epochs or (protected and self.spare_front):
            return True
        others = [curve[epoch] for curve in history if epoch in curve and not isnan(curve[epoch])]
        if len(others) < self.min_trials:
            return True
        return value <= median(others)
