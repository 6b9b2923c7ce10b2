"""Asynchronous successive halving for one objective."""

from __future__ import annotations

from collections.abc import Sequence

from netwright.nas.promotion import AsynchronousPromotion, Entrant


class Asha(AsynchronousPromotion):
    """Promotes the best 1/eta of every rung by the first objective; nobody waits for others (Li et al., 2020).

    Bounds that are kept come before broken ones. Where nobody may be promoted, a new trial begins. Once all have
    begun, the best of every rung go on until somebody has reached the top.
    """

    def order(self, entrants: Sequence[Entrant], *, rung: int) -> list[Entrant]:
        return sorted(entrants, key=lambda e: (e.results[rung].violation, e.results[rung].losses[0]))
