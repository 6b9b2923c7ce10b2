"""Asynchronous successive halving for one objective."""

from __future__ import annotations

from math import ceil

from netwright.nas.promotion import Begin, Ladder, Promote, Promotion


class Asha(Promotion):
    """Promotes the best 1/eta of every rung by the first objective; nobody waits for others (Li et al., 2020).

    Bounds that are kept come before broken ones. Where nobody may be promoted, a new trial begins. Once all have
    begun, the best of every rung go on until somebody has reached the top.
    """

    def next(self, ladder: Ladder) -> Begin | Promote | None:
        for rung in reversed(range(ladder.top)):
            there = sorted(ladder.at(rung), key=lambda e: (e.results[rung].violation, e.results[rung].losses[0]))
            share = len(there) / self.one_in(ladder, rung)
            places = ceil(share) if ladder.closing else int(share)
            for entrant in there[:places]:
                if entrant.paused and entrant.rung == rung:
                    return Promote(entrant.number)
        return Begin() if ladder.may_ask else None
