"""NSGA-II, by Optuna."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from netwright.core.plugins import name_of
from netwright.core.records import Objective, Trial
from netwright.nas.optuna_sampling import genetic_sampler, propose
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace


class OptunaNsga2(Strategy):
    """Optuna's NSGA-II (Deb et al., 2002), generation by generation; one decision per child changes on average.

    A suggestion that was tried before is mutated. `nsga2` is our own, and needs fewer trials.
    """

    population: int = Field(default=50, ge=2, description="trials of a generation")
    crossover: float = Field(default=0.9, ge=0, le=1, description="share of children that have two parents")
    swap: float = Field(default=0.5, ge=0, le=1, description="share of decisions taken from the second parent")

    _sampler: ClassVar[str] = "NSGAIISampler"
    _parents: ClassVar[int] = 1
    """So many generations' worth of the best are told as possible parents."""

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        sampler = genetic_sampler(self._sampler, population=self.population, crossover=self.crossover, swap=self.swap)
        return propose(
            space,
            trials,
            objectives,
            rng,
            sampler=sampler,
            origin=name_of(self).replace("_", " "),
            generation=self.population,
            most=self._parents * self.population,
        )
