"""NSGA-II, by Optuna."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pydantic import Field

from netwright.core.records import Objective, Trial
from netwright.nas.optuna_sampling import nsga2_sampler, propose
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace


class Nsga2(Strategy):
    """Genetic algorithm that sorts by non-domination and crowding (Deb et al., 2002), for several objectives.

    Each generation is bred from the best of all before it. One decision per child changes on average.
    """

    population: int = Field(default=50, ge=2, description="trials of a generation")
    crossover: float = Field(default=0.9, ge=0, le=1, description="share of children that have two parents")
    swap: float = Field(default=0.5, ge=0, le=1, description="share of decisions taken from the second parent")

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        sampler = nsga2_sampler(
            population=self.population, crossover_probability=self.crossover, swap_probability=self.swap
        )
        return propose(space, trials, objectives, rng, sampler=sampler, origin="nsga2", generation=self.population)
