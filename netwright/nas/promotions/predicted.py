"""Promotion by what a model expects at the last fidelity."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from pydantic import Field

from netwright.nas.evidence import PENDING, key_of
from netwright.nas.promise import candidates_of, gains, parents_of
from netwright.nas.promotion import Begin, Entrant, Ladder, Promote, Promotion, first_looks
from netwright.nas.promotion_order import ordered
from netwright.nas.promotions.pareto_asha import ParetoAsha
from netwright.nas.rung_evidence import by_rung

if TYPE_CHECKING:
    from netwright.nas.surrogate import Surrogate

CANDIDATES, EXPLORE = 100, 0.1
FLAT, SURE = 0.2, 8
"""A rung is skipped where a unit of its score is worth less than this at the next, by at least so many results."""


class Predicted(Promotion):
    """Promotes who promises most at the last rung, by a model that learns from all rungs together.

    An architecture goes on when none that is untried promises more, so that a low fidelity counts for as much as it
    turns out to tell: where it tells much only those go on that should beat the best, where it tells little nearly all,
    and new ones begin above it. At least 1/`eta` of those at the first rung go on in any case; once all have begun,
    until 1/`eta` of every rung have. The model is that of `predictor` on a cascade of fidelities (Kennedy & O'Hagan,
    2000). With several objectives it is `pareto_asha` with `second: hypervolume`.
    """

    startup: int | None = Field(
        default=None,
        ge=2,
        description="results at the first rung before anyone goes on; default: what two full trainings cost, 10 to 30",
    )
    share: float | None = Field(
        default=None,
        ge=0,
        description="new architectures get at least this share of what promotions cost; default: as each further rung",
    )

    def next(self, ladder: Ladder) -> Begin | Promote | None:
        if len(ladder.objectives) > 1:
            return ParetoAsha(eta=self.eta, second="hypervolume").next(ladder)
        paused = [entrant for entrant in ladder.entrants if entrant.paused and entrant.rung < ladder.top]
        if not paused or (ladder.may_ask and len(ladder.at(0)) < self._startup(ladder)):
            return Begin() if ladder.may_ask else None
        if not ladder.at(ladder.top):
            return self._first_up(ladder, paused)
        if not ladder.may_ask and self._filled(ladder):
            return None
        if ladder.may_ask and self._behind(ladder):
            return Begin(_start(ladder, _model(ladder)))
        return _best(ladder, paused, beside_untried=ladder.may_ask and not self._owed(ladder))

    def _startup(self, ladder: Ladder) -> int:
        return self.startup or first_looks(ladder.rungs)

    def _first_up(self, ladder: Ladder, paused: Sequence[Entrant]) -> Begin | Promote | None:
        """Until somebody has been at the top, the best of the highest rung goes on; others begin meanwhile."""
        if any(entrant.running and entrant.rung > 0 for entrant in ladder.entrants):
            return Begin() if ladder.may_ask else None
        rung = max(entrant.rung for entrant in paused)
        return Promote(ordered([e for e in paused if e.rung == rung], rung=rung)[0].number)

    def _owed(self, ladder: Ladder) -> bool:
        """Whether fewer than 1/eta of those at the first rung have gone on."""
        gone = sum(entrant.rung > 0 for entrant in ladder.entrants)
        return gone < len(ladder.at(0)) // self.one_in(ladder, 0)

    def _filled(self, ladder: Ladder) -> bool:
        """Whether as many are at the top, or on their way there, as when 1/eta of every rung went on."""
        one_in = prod(self.one_in(ladder, rung) for rung in range(ladder.top))
        there = sum(e.running or ladder.top in e.results for e in ladder.entrants if e.rung > 0)
        return there >= max(1, len(ladder.at(0)) // one_in)

    def _behind(self, ladder: Ladder) -> bool:
        """Whether new architectures got less than their share; by default every rung costs as much in all."""
        share = 1 / ladder.top if self.share is None else self.share
        begun = sum(ladder.rungs[entrant.start] for entrant in ladder.entrants)
        longer = sum(sum(ladder.rungs[e.start + 1 : e.rung + 1]) for e in ladder.entrants)
        return begun < share * longer


def _best(ladder: Ladder, paused: Sequence[Entrant], *, beside_untried: bool) -> Begin | Promote:
    """The paused entrant that promises most goes on; a new trial begins where an untried architecture promises more.

    The latter is looked for only where `beside_untried` asks for it.
    """
    rungs, model = by_rung(ladder.trials, ladder.objectives), _model(ladder)
    decisions = {trial.number: key_of(trial.decisions) for trial in ladder.trials}
    rng = random.Random(f"{len(ladder.trials)} {sum(len(at) for at in rungs)}")
    tried, count = frozenset(decisions.values()), CANDIDATES if beside_untried else 0
    untried = candidates_of(ladder.space, parents_of(rungs), tried, rng, count=count, explore=EXPLORE)
    gain = gains(model, [*(decisions[entrant.number] for entrant in paused), *untried], {}, rng, acquisition="gain")
    best = max(range(len(paused)), key=gain.__getitem__)
    if max(gain[len(paused) :], default=0.0) <= gain[best]:
        return Promote(paused[best].number)
    return Begin(_start(ladder, model))


def _model(ladder: Ladder) -> Surrogate:
    """What is learnt from all rungs; architectures in training count as measured as expected."""
    from netwright.nas.surrogate import Surrogate

    rungs = by_rung(ladder.trials, ladder.objectives)
    pending = [key_of(trial.decisions) for trial in ladder.trials if trial.state in PENDING]
    return Surrogate.fit(ladder.space, rungs[-1], lower=rungs[:-1], pending=pending)


def _start(ladder: Ladder, model: Surrogate) -> int:
    """The lowest rung that tells something of the next, by the slope of each rung's scores over those below."""
    slopes = model.slopes(0)
    for rung, slope in enumerate(slopes):
        if slope >= FLAT or len(ladder.at(rung + 1)) < SURE:
            return rung
    return len(slopes)
