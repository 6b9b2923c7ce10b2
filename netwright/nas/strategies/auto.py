"""The strategy that fits a search, chosen by what is known before it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from statistics import mean

from pydantic import Field, PrivateAttr

from netwright.core.plugins import built
from netwright.core.records import Objective, Trial
from netwright.core.text import readable
from netwright.nas.evidence import Same, gather, memo_key, space_of
from netwright.nas.promotion import first_looks
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.size import size_of
from netwright.search_spaces.space import SearchSpace

MODELLED = 1000
"""A record longer than this is searched without a model, whose price grows with it."""
WALKS = 200
MANY = 20
"""Of more decisions few may matter; then the Parzen estimator, which finds these sooner, takes part."""
LAST, LEAST, AHEAD = 20, 5, 0.8
"""Of so many proposals each, and at least so many, the one with the better best quarter gets this share of asks."""


class Auto(Strategy):
    """Picks a strategy by the size of the space, the budget and the objectives, and says why in a trial's origin.

    A budget that allows the whole space: random search. Else a predictor while the record is short, which for one
    objective and more than 20 decisions takes turns with TPE, more of them for the one whose last proposals were
    better; after that local search for one objective, NSGA-II for several.
    """

    budget: int | None = Field(default=None, ge=1, description="trials in all; the search's own unless given")

    _rungs: Sequence[float] = PrivateAttr(default=())

    def expecting(self, trials: int | None, *, rungs: Sequence[float] = ()) -> Strategy:
        told = self.model_copy(update={"budget": self.budget or trials})
        told._rungs = rungs
        return told

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        name, why = self.choice(space, objectives, tried=len(trials))
        turns = name == "predictor" and len(objectives) == 1 and not self._rungs and _many(trials)
        if turns and rng.random() < _share_of_tpe(trials, objectives):
            name, why = "tpe", f"in turns with the predictor, since of more than {MANY} decisions few may matter"
        strategy = built(Strategy, {"kind": name, **self._settings(name)})
        strategy = strategy.prepare(self._context) if self._context is not None else strategy.knowing(self._costs)
        proposal = strategy.proposed(space, trials, objectives, rng)
        return Proposal(proposal.decisions, f"auto: {name}, {why}: {proposal.origin}")

    def _settings(self, name: str) -> dict[str, int]:
        """A model of several rungs begins with more trials drawn at random, since they are short."""
        if name != "predictor" or not self._rungs:
            return {}
        return {"startup": min(first_looks(self._rungs), max(10, (self.budget or 0) // 3))}

    def choice(self, space: SearchSpace, objectives: Sequence[Objective], *, tried: int = 0) -> tuple[str, str]:
        """The name of the strategy, and why, in a few words; `tried` counts the trials on record."""
        size = _size(memo_key(space))
        if size is not None and size <= (self.budget or 0):
            return "random_search", f"since the budget allows all {readable(size)} architectures"
        if tried < MODELLED and self._rungs:
            return "predictor", "since a model learns from all rungs together"
        if tried < MODELLED:
            return "predictor", f"since a model learns most from fewer than {readable(MODELLED)} trials"
        if len(objectives) == 1:
            return "local_search", f"since a model of more than {readable(MODELLED)} trials is slow"
        return "nsga2", f"since a model of more than {readable(MODELLED)} trials is slow"


def _many(trials: Sequence[Trial]) -> bool:
    """Whether architectures have many decisions, on average of those on record."""
    return sum(len(trial.decisions) for trial in trials) > MANY * len(trials)


def _share_of_tpe(trials: Sequence[Trial], objectives: Sequence[Objective]) -> float:
    """How many of the asks it gets: half, until either is ahead."""
    evidence, ahead = gather(trials, objectives), []
    for name in ("tpe", "predictor"):
        own = [item for item in evidence if f"auto: {name}," in item.trial.origin][-LAST:]
        if len(own) < LEAST:
            return 0.5
        best = sorted((item.violation, *item.losses) for item in own)[: len(own) // 4]
        ahead.append([mean(column) for column in zip(*best, strict=True)])
    return AHEAD if ahead[0] < ahead[1] else 1 - AHEAD


@lru_cache(maxsize=16)
def _size(space: SearchSpace | Same) -> float | None:
    """The number of architectures; None when it is beyond counting or endless."""
    size = size_of(space_of(space), limit=MODELLED, walks=WALKS)
    return None if size.real else size.estimate
