"""A predictor of results decides who is tried next."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from netwright.core.records import Objective, Trial
from netwright.nas.evidence import PENDING, Evidence, Key, Record, draw_new, gather, key_of, read
from netwright.nas.known_costs import NOTHING, KnownCosts
from netwright.nas.promise import candidates_of, gains, parents_of
from netwright.nas.rung_evidence import by_rung
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace

SLIGHT = 0.02
"""Less than this is not worth asking for an end of the front, in standard deviations."""


class Predictor(Strategy):
    """Learns what decisions are worth, and tries the untried architecture that promises most.

    As BANANAS (White et al., 2021): mutations of the best are compared by a predictor that knows how sure it is.
    By default that is a Gaussian process over the decisions, which needs no training of its own; with `model:
    ensemble`, `encoding: path` and `acquisition: its` it is that paper's. One objective: expected improvement. Up
    to five: expected gain of hypervolume; more: random weights (Chebyshev); at times the best of one alone. Costs that
    are known before training are not predicted but taken as they are.
    """

    startup: int = Field(default=10, ge=2, description="trials drawn at random before the predictor is used")
    candidates: int = Field(default=100, ge=1, description="how many untried architectures are compared")
    explore: float = Field(default=0.1, ge=0, le=1, description="share of candidates that are drawn at random")
    ends: float = Field(
        default=0.4, ge=0, le=1, description="of several objectives: share of asks for one end of the front"
    )

    model: Literal["gp", "ensemble"] = Field(
        default="gp",
        description="a Gaussian process, or five small networks, trained anew after ten results or a twentieth",
    )
    encoding: Literal["one_hot", "path"] = Field(
        default="one_hot", description="what a model sees: the decisions, or the ways through the network's blocks"
    )
    acquisition: Literal["gain", "its", "thompson"] = Field(
        default="gain",
        description="compare by expected gain, by a draw for each architecture (independent Thompson sampling), or by "
        "one function drawn for all",
    )

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        record = read(space, trials)
        if len(record.own) < self.startup or len(gather(record.own, objectives)) < 2:
            return Proposal(draw_new(space, record.known, rng), "random")
        asked = _Asked(space, record, by_rung(record.own, objectives), objectives, self._costs or NOTHING)
        found = None
        if len(objectives) > 1 and rng.random() < self.ends:
            found = self._end(asked, rng)
        return found or self._between(asked, rng) or Proposal(draw_new(space, record.known, rng), "random")

    def _end(self, asked: _Asked, rng: random.Random) -> Proposal | None:
        """What promises most for one objective alone, or None where little is to be gained.

        The ends of a front are far from each other, and the gain of area at one of them is small until it is near.
        """
        place = rng.choice(asked.unknown or list(range(len(asked.objectives))))
        alone = [[Evidence(item.trial, (item.losses[place],), item.violation) for item in at] for at in asked.rungs]
        return self._chosen(asked, alone, rng, known=(), least=SLIGHT, aim=asked.objectives[place].metric)

    def _between(self, asked: _Asked, rng: random.Random) -> Proposal | None:
        """What promises most for all objectives together; None where nothing new was found."""
        return self._chosen(asked, asked.rungs, rng, known=asked.known, least=-math.inf, aim="")

    def _chosen(
        self,
        asked: _Asked,
        rungs: Sequence[Sequence[Evidence]],
        rng: random.Random,
        *,
        known: Sequence[int],
        least: float,
        aim: str,
    ) -> Proposal | None:
        """The candidate of the largest gain, if that is at least `least`."""
        from netwright.nas.surrogate import Surrogate

        candidates = candidates_of(
            asked.space, parents_of(rungs), asked.record.known, rng, count=self.candidates, explore=self.explore
        )
        costs = {key: asked.costs.losses(asked.space, one, asked.objectives) for key, one in candidates.items()}
        keeping = {key: found for key, found in costs.items() if found is not None}
        if not keeping:
            return None
        model = Surrogate.fit(
            asked.space,
            rungs[-1],
            lower=rungs[:-1],
            pending=asked.pending,
            known=known,
            kind=self.model,
            encoding=self.encoding,
        )
        told = {place: [found[place] for found in keeping.values()] for place in known}
        gain = gains(model, list(keeping), told, rng, acquisition=self.acquisition)
        best = max(range(len(gain)), key=gain.__getitem__)
        if gain[best] < least:
            return None
        origin = f"predictor, of {len(keeping)} candidates" + (f" for {aim}" if aim else "")
        return Proposal(candidates[list(keeping)[best]], origin)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one ask is about."""

    space: SearchSpace
    record: Record
    rungs: Sequence[Sequence[Evidence]]
    """What was measured at every fidelity, the lowest first."""
    objectives: Sequence[Objective]
    costs: KnownCosts

    @property
    def pending(self) -> list[Key]:
        """Architectures that are being trained."""
        return [key_of(trial.decisions) for trial in self.record.own if trial.state in PENDING]

    @property
    def known(self) -> list[int]:
        """The places of objectives that are known before training."""
        return self.costs.among(self.objectives)

    @property
    def unknown(self) -> list[int]:
        """The places of the other ones."""
        return [place for place in range(len(self.objectives)) if place not in self.known]
