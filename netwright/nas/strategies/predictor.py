"""A predictor of results decides who is tried next."""

from __future__ import annotations

import random
from collections.abc import Sequence
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from pydantic import Field

from netwright.core.errors import SpaceError
from netwright.core.records import Objective, Trial
from netwright.nas.evidence import PENDING, Evidence, Key, Record, draw_new, gather, key_of, read
from netwright.nas.neighbourhood import untried_neighbour
from netwright.nas.ranking import ranking
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from netwright.nas.surrogate import Surrogate

PARENTS = 20
TWICE = 0.5
CROSSED = 0.3
SLIGHT = 0.1
"""Less than this is not worth asking for an end of the front, in standard deviations."""


class Predictor(Strategy):
    """Learns what decisions are worth, and tries the untried architecture that promises most.

    As BANANAS (White et al., 2021): mutations of the best are compared by a predictor that knows how sure it is.
    Here that is a Gaussian process over the decisions, which needs no training of its own. One objective: expected
    improvement. Two: expected gain of hypervolume; more: random weights (Chebyshev); at times one end of the front.
    """

    startup: int = Field(default=10, ge=2, description="trials drawn at random before the predictor is used")
    candidates: int = Field(default=100, ge=1, description="how many untried architectures are compared")
    explore: float = Field(default=0.1, ge=0, le=1, description="share of candidates that are drawn at random")
    ends: float = Field(
        default=0.4, ge=0, le=1, description="of several objectives: share of asks for one end of the front"
    )

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        from netwright.nas.surrogate import Surrogate

        record = read(space, trials)
        evidence = gather(record.own, objectives)
        if len(record.own) < self.startup or len(evidence) < 2:
            return Proposal(draw_new(space, record.known, rng), "random")
        at_ends = len(objectives) > 1 and rng.random() < self.ends
        front = ranking(evidence, most=PARENTS)
        parents = [*front[: PARENTS // 2], *_at_ends(evidence)] if at_ends else front
        candidates = self._candidates(space, parents, record, rng)
        if not candidates:
            return Proposal(draw_new(space, record.known, rng), "random")
        pending = [key_of(trial.decisions) for trial in record.own if trial.state in PENDING]
        model = Surrogate.fit(space, evidence, pending=pending)
        best = self._best(model, list(candidates), at_ends, rng)
        return Proposal(candidates[best], f"predictor, of {len(candidates)} candidates")

    def _candidates(
        self, space: SearchSpace, best: Sequence[Evidence], record: Record, rng: random.Random
    ) -> dict[Key, dict[str, Any]]:
        """Untried architectures: mutations of the best, once or twice, some of two parents, and a few at random."""
        parents = [item.trial.decisions for item in best]
        found: dict[Key, dict[str, Any]] = {}
        try:
            for _ in range(self.candidates):
                if rng.random() < self.explore:
                    made = space.sample(rng)
                else:
                    parent = rng.choice(parents)
                    if rng.random() < CROSSED:
                        parent = space.crossover(parent, rng.choice(parents), rng)
                    made = space.mutate(parent, rng)
                    if rng.random() < TWICE:
                        made = space.mutate(made, rng)
                if (key := key_of(made)) not in record.known:
                    found[key] = made
        except SpaceError:  # no neighbour is allowed, as in a space of one architecture
            return {}
        for parent in parents if not found else []:
            made_near = untried_neighbour(space, parent, record.known, rng)
            if made_near is not None:
                found[key_of(made_near)] = made_near
        return found

    def _best(self, model: Surrogate, keys: Sequence[Key], at_ends: bool, rng: random.Random) -> Key:
        import numpy as np

        from netwright.nas.acquisition import (
            chebyshev_gain,
            end_improvement,
            expected_area_gain,
            expected_improvement,
        )

        mean, spread = model.predict(keys)
        draws = np.random.default_rng(rng.getrandbits(32))
        count = mean.shape[1]
        if count == 1:
            gain = expected_improvement(mean[:, 0], spread[:, 0], float(model.values.min()))
            return keys[int(np.argmax(gain))]
        gain = end_improvement(mean, spread, model.values) if at_ends else np.zeros(len(keys))
        if gain.max() < SLIGHT:
            between = expected_area_gain if count == 2 else chebyshev_gain
            gain = between(mean, spread, model.values, draws)
        return keys[int(np.argmax(gain))]


def _at_ends(evidence: Sequence[Evidence]) -> list[Evidence]:
    """The best few by every single objective."""
    found: dict[int, Evidence] = {}
    for axis in range(len(evidence[0].losses)):
        best = nsmallest(PARENTS // 2, evidence, key=lambda item: (item.violation, item.losses[axis]))
        found |= {item.trial.number: item for item in best}
    return list(found.values())
