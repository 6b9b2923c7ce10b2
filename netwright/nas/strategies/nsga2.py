"""NSGA-II without duplicates."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pydantic import Field

from netwright.core.errors import SpaceError
from netwright.core.records import Objective, Trial
from netwright.nas.evidence import ATTEMPTS, Evidence, draw_new, gather, key_of, read
from netwright.nas.ranking import ranking
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace


class Nsga2(Strategy):
    """Genetic algorithm that sorts by non-domination and crowding (Deb et al., 2002); it proposes nothing twice.

    Parents are the best of all trials by kept bounds, front and crowding. Every child is bred from what is known at
    that moment (steady state, Nebro and Durillo, 2009), so no result waits for a generation to fill.
    """

    population: int = Field(default=20, ge=2, description="how many of the best trials may be parents")
    startup: int = Field(default=10, ge=1, description="trials drawn at random before the first child")
    crossover: float = Field(default=0.5, ge=0, le=1, description="share of children that have two parents")
    mutation: float = Field(default=0.7, ge=0, le=1, description="share of children of two parents that also mutate")

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        record = read(space, trials)
        ranked = ranking(gather(record.own, objectives), most=self.population)
        if len(record.own) < self.startup or not ranked:
            return Proposal(draw_new(space, record.known, rng), "random")
        try:
            for _ in range(ATTEMPTS):
                child = self._child(space, ranked, rng)
                new = key_of(child.decisions) not in record.known
                if new and self.affordable(space, child.decisions, objectives):
                    return child
            # all that came up was tried before or breaks a bound, so go one step further
            return Proposal(space.mutate(child.decisions, rng), f"{child.origin}, mutated once more")
        except SpaceError:  # no neighbour is allowed, as in a space of one architecture
            return Proposal(draw_new(space, record.known, rng), "random")

    def _child(self, space: SearchSpace, ranked: Sequence[Evidence], rng: random.Random) -> Proposal:
        left = _winner(ranked, rng)
        if rng.random() >= self.crossover:
            return Proposal(space.mutate(left.decisions, rng), f"mutation of trial {left.number}")
        right = _winner(ranked, rng)
        child = space.crossover(left.decisions, right.decisions, rng)
        if rng.random() < self.mutation:
            child = space.mutate(child, rng)
        return Proposal(child, f"child of trials {left.number} and {right.number}")


def _winner(ranked: Sequence[Evidence], rng: random.Random) -> Trial:
    """The better of two drawn at random."""
    return ranked[min(rng.randrange(len(ranked)), rng.randrange(len(ranked)))].trial
