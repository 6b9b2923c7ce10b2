"""Random search."""

from __future__ import annotations

import random
from collections.abc import Sequence

from netwright.core.records import Objective, Trial
from netwright.nas.evidence import draw_new, read
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace


class RandomSearch(Strategy):
    """Every decision drawn evenly, without regard to results: the baseline that others must beat."""

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        return Proposal(draw_new(space, read(space, trials).known, rng), "random")
