"""Regularized (aging) evolution."""

from __future__ import annotations

import random
from collections.abc import Container, Sequence

from pydantic import Field

from netwright.core.errors import SpaceError
from netwright.core.records import Objective, Trial, TrialState
from netwright.nas.evidence import ATTEMPTS, Evidence, Key, draw_new, gather, key_of, read
from netwright.nas.ranking import ranking
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace


class Evolution(Strategy):
    """Mutates the best of a random few among the last trials (Real et al., 2019).

    Age, not quality, decides who leaves the population, so that a lucky measurement does not stay for
    ever. With several objectives or bounds the best is the first by kept bounds, front and crowding.
    """

    population: int = Field(default=20, ge=1, description="how many of the last finished trials may be parents")
    tournament: int = Field(default=10, ge=1, description="how many of them are drawn; the best is the parent")

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        record = read(space, trials)
        known, mine = record.known, record.own
        population = self._population(gather(mine, objectives))
        if len(mine) < self.population or not population:
            return Proposal(draw_new(space, known, rng), "random")
        try:
            return self._child(space, ranking(population), known, objectives, rng)
        except SpaceError:  # no neighbour is allowed, as in a space of one architecture
            return Proposal(draw_new(space, known, rng), "random")

    def _child(
        self,
        space: SearchSpace,
        ranked: Sequence[Evidence],
        known: Container[Key],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        """A mutation of a tournament's winner that is not on record, if one is found in time."""
        size = min(self.tournament, len(ranked))
        for _ in range(ATTEMPTS):
            parent = ranked[min(rng.sample(range(len(ranked)), size))].trial
            child = space.mutate(parent.decisions, rng)
            if key_of(child) not in known and self.affordable(space, child, objectives):
                return Proposal(child, f"mutation of trial {parent.number}")
        # every neighbour that came up was tried before or breaks a bound, so go one step further
        return Proposal(space.mutate(child, rng), f"double mutation of trial {parent.number}")

    def _population(self, evidence: Sequence[Evidence]) -> list[Evidence]:
        """The youngest trained trials; those that only failed a cheap bound fill the places left."""
        trained = [e for e in evidence if e.trial.state is not TrialState.INFEASIBLE][-self.population :]
        others = [e for e in evidence if e.trial.state is TrialState.INFEASIBLE]
        return trained + others[-(self.population - len(trained)) :] if len(trained) < self.population else trained
