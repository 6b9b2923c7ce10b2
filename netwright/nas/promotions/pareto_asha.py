"""Asynchronous successive halving for several objectives."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from netwright.nas.promotion import AsynchronousPromotion, Entrant
from netwright.nas.promotion_order import Second, ordered


class ParetoAsha(AsynchronousPromotion):
    """Promotes the best 1/eta of every rung, by fronts of all objectives; nobody waits for others.

    The rule of Li et al. (2020) with the order of Schmucker et al. (2021): non-dominated sorting, and within a front
    a second criterion. Higher rungs are served first; where nobody may be promoted, a new trial begins. Once all
    have begun, the best of every rung go on until somebody has reached the top.
    """

    second: Second = Field(
        default="epsilon_net",
        description="order within a front: epsilon_net (spread out), hypervolume (own contribution), or crowding",
    )

    def order(self, entrants: Sequence[Entrant], *, rung: int) -> list[Entrant]:
        return ordered(entrants, rung=rung, second=self.second)
