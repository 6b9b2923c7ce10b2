"""Gaussian process, by Optuna."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pydantic import Field

from netwright.core.records import Objective, Trial
from netwright.nas.optuna_sampling import gp_sampler, propose
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace

MOST = 60
"""So many trials are modelled: the price of a proposal grows with the square of their number and more."""


class OptunaGp(Strategy):
    """Optuna's Gaussian process with expected improvement; with several objectives by weights drawn at every ask.

    It models at most 60 trials, the best half and the youngest, and compares a few hundred points at once where
    Optuna's own search climbs one by one, which is several times dearer. Decisions that an architecture does not have
    are filled in at random, since the model needs flat vectors. A suggestion that was tried before is mutated.
    """

    startup: int = Field(default=10, ge=1, description="trials drawn at random before the model is used")
    exact: bool = Field(default=False, description="measurements have no noise, as in a table")

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        sampler = gp_sampler(startup=self.startup, exact=self.exact)
        return propose(space, trials, objectives, rng, sampler=sampler, origin="optuna gp", flat=True, most=MOST)
