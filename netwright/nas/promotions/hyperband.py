"""Hyperband: successive halving at several starting fidelities."""

from __future__ import annotations

from itertools import cycle
from math import ceil, prod

from pydantic import Field

from netwright.nas.promotion import Begin, Ladder, Promote, Promotion
from netwright.nas.promotion_brackets import Bracket, next_of
from netwright.nas.promotion_order import Second


class Hyperband(Promotion):
    """Runs groups that begin at every rung in turn: many short trainings first, then few long ones (Li et al., 2018).

    It hedges against a low fidelity that tells little. Each group is halved as by `successive_halving`; with several
    objectives the order is by fronts.
    """

    second: Second = Field(default="epsilon_net", description="order within a front of several objectives")

    def next(self, ladder: Ladder) -> Begin | Promote | None:
        top = ladder.top
        ahead = [prod(self.one_in(ladder, rung) for rung in range(start, top)) for start in range(top + 1)]
        sizes = [ceil((top + 1) / (top - start + 1) * ahead[start]) for start in range(top + 1)]
        brackets = cycle(Bracket(start, size) for start, size in enumerate(sizes))
        return next_of(ladder, brackets, one_in=self.one_in, second=self.second)
