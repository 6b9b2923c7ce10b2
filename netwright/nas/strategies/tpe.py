"""Tree-structured Parzen estimator, by Optuna."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pydantic import Field

from netwright.core.records import Objective, Trial
from netwright.nas.optuna_sampling import propose, tpe_sampler
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace


class Tpe(Strategy):
    """Models good and bad architectures apart and tries what is likely good (Bergstra et al., 2011).

    All decisions are modelled together, conditional ones in groups; trials that run count as bad, so
    that parallel trials differ. With several objectives see Ozaki et al., 2022.
    """

    startup: int = Field(default=10, ge=1, description="trials drawn at random before the model is used")
    candidates: int = Field(default=24, ge=1, description="how many draws from the model are compared")

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        sampler = tpe_sampler(startup=self.startup, candidates=self.candidates)
        return propose(space, trials, objectives, rng, sampler=sampler, origin="tpe")
