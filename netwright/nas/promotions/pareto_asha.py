"""Asynchronous successive halving for several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from pydantic import Field

from netwright.nas.promotion import Begin, Entrant, Ladder, Promote, Promotion
from netwright.nas.promotion_order import Second, ordered


class ParetoAsha(Promotion):
    """Promotes the best 1/eta of every rung, by fronts of all objectives; nobody waits for others.

    The rule of Li et al. (2020) with the order of Schmucker et al. (2021): non-dominated sorting, and within a front
    a second criterion. Higher rungs are served first; where nobody may be promoted, a new trial begins. Once all
    have begun, the best of every rung go on until somebody has reached the top.
    """

    second: Second = Field(
        default="epsilon_net",
        description="order within a front: epsilon_net (spread out), hypervolume (own contribution), or crowding",
    )

    def next(self, ladder: Ladder) -> Begin | Promote | None:
        for rung in reversed(range(ladder.top)):
            there = ladder.at(rung)
            share = len(there) / self.one_in(ladder, rung)
            places = ceil(share) if ladder.closing else int(share)
            for entrant in self.order(there, rung=rung)[:places]:
                if entrant.paused and entrant.rung == rung:
                    return Promote(entrant.number)
        return Begin() if ladder.may_ask else None

    def order(self, entrants: Sequence[Entrant], *, rung: int) -> list[Entrant]:
        """Those with a result at a rung, from the best to the worst."""
        return ordered(entrants, rung=rung, second=self.second)
