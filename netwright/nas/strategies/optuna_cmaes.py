"""CMA-ES, by Optuna."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pydantic import Field

from netwright.core.records import Objective, Trial
from netwright.nas.optuna_relaxation import propose_relaxed
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace


class OptunaCmaes(Strategy):
    """Optuna's CMA-ES, begun anew at every ask from the best tenth of the record (Nomura et al., 2021).

    Each option of a choice is a number of its own and the largest wins, since the method knows numbers only. With
    several objectives each ask draws weights and ranks by the weighted worst loss (Chebyshev). Needs `cmaes`.
    """

    startup: int = Field(default=20, ge=2, description="trials drawn at random before the model is used")

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        return propose_relaxed(space, trials, objectives, rng, startup=self.startup, origin="optuna cmaes")
