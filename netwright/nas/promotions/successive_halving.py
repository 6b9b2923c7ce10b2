"""Synchronous successive halving."""

from __future__ import annotations

from itertools import repeat
from math import prod

from pydantic import Field

from netwright.nas.promotion import Begin, Ladder, Promote, Promotion
from netwright.nas.promotion_brackets import Bracket, next_of
from netwright.nas.promotion_order import Second


class SuccessiveHalving(Promotion):
    """Halves groups of trials: the best 1/eta of a group go on when all of it has come (Jamieson & Talwalkar, 2016).

    Groups follow each other; while one waits for its last results the next begins. With several objectives the
    order is by fronts.
    """

    group: int | None = Field(
        default=None,
        ge=2,
        description="trials that are compared; default: so many that one of them reaches the top",
    )
    second: Second = Field(default="epsilon_net", description="order within a front of several objectives")

    def next(self, ladder: Ladder) -> Begin | Promote | None:
        size = self.group or prod(self.one_in(ladder, rung) for rung in range(ladder.top))
        return next_of(ladder, repeat(Bracket(0, size)), one_in=self.one_in, second=self.second)
