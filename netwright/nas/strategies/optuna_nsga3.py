"""NSGA-III, by Optuna."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pydantic import Field

from netwright.core.records import Objective, Trial
from netwright.nas.optuna_sampling import genetic_sampler, propose
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace


class OptunaNsga3(Strategy):
    """Optuna's NSGA-III (Deb and Jain, 2014): reference directions instead of crowding, for many objectives.

    A suggestion that was tried before is mutated.
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
        sampler = genetic_sampler(
            "NSGAIIISampler", population=self.population, crossover=self.crossover, swap=self.swap
        )
        return propose(
            space,
            trials,
            objectives,
            rng,
            sampler=sampler,
            origin="optuna nsga3",
            generation=self.population,
            most=2 * self.population,
        )
