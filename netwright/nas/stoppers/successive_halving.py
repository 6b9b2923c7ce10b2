"""Asynchronous successive halving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, isnan

from pydantic import Field

from netwright.nas.stopper import Stopper


class SuccessiveHalving(Stopper):
    """At each rung only the best 1/eta of all that reached it go on (ASHA, Li et al., 2020).

    Rungs are at `min_epochs`, `min_epochs * eta`, `min_epochs * eta**2` and so on. Nobody waits: a
    trial is compared with those that reached the rung before it. The first `eta - 1` go on, since the
    best 1/eta of so few is nobody.
    """

    min_epochs: int = Field(default=1, ge=1, description="epoch of the first rung")
    eta: int = Field(default=3, ge=2, description="one in this many goes on")
    spare_front: bool = Field(default=True, description="never stop what its cheap objectives put on the front")

    def keep_going(
        self,
        *,
        epoch: int,
        value: float,
        history: Sequence[Mapping[int, float]],
        protected: bool = False,
    ) -> bool:
        if not self._is_rung(epoch) or (protected and self.spare_front):
            return True
        if isnan(value):
            return False
        others = [curve[epoch] for curve in history if epoch in curve and not isnan(curve[epoch])]
        if len(others) + 1 < self.eta:
            return True
        better = sum(other < value for other in others)
        return better < ceil((len(others) + 1) / self.eta)

    def _is_rung(self, epoch: int) -> bool:
        rung = self.min_epochs
        while rung < epoch:
            rung *= self.eta
        return rung == epoch
