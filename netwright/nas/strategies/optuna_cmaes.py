"""CMA-ES over decisions relaxed to numbers: one for every option of a choice, the largest wins."""

from __future__ import annotations

import importlib.util
import math
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from netwright.core.errors import MissingPackageError
from netwright.core.records import Objective, Trial
from netwright.nas.evidence import draw_new, gather, key_of, read
from netwright.nas.optuna_sampling import beside, encode_entry
from netwright.nas.parameters import Encoded, Range, decode, joined, parameters_of
from netwright.nas.scalar import random_weights, scalarised
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.chooser import Chooser, RejectedDecisionsError
from netwright.search_spaces.domain import Categorical, Domain, Integer, Real, Value
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import numpy as np

ATTEMPTS = 5
BEST = 10
MOST = 50
"""The normal distribution is that of the best tenth, of at most so many."""
PRIOR = 0.1
"""Standard deviation, in shares of a range, that is left where the best agree (Nomura et al., 2021)."""

Point = Mapping[str, float]


class OptunaCmaes(Strategy):
    """CMA-ES of the package that Optuna's sampler uses, begun anew at every ask from the best tenth of the record
    (warm start, Nomura et al., 2021).

    Each option of a choice is a number of its own and the largest wins, since the method knows numbers only. With
    several objectives each ask draws weights and ranks by the weighted worst loss (Chebyshev). Needs `cmaes`.
    """

    startup: int = Field(default=20, ge=2, description="trials drawn at random before the model is used")

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        if importlib.util.find_spec("cmaes") is None:
            raise MissingPackageError("the strategy 'optuna cmaes' needs the package 'cmaes': pip install cmaes")
        record = read(space, trials)
        evidence = gather(record.own, objectives)
        if len(evidence) < max(self.startup, BEST):
            return Proposal(draw_new(space, record.known, rng), "random")
        losses = scalarised(evidence, random_weights(len(objectives), rng))
        order = sorted(range(len(evidence)), key=lambda place: (losses[place], -place))
        entries = {id(entry.trial): entry for entry in record.entries}
        best = [entries[id(evidence[place].trial)] for place in order[: min(len(order) // BEST, MOST)]]
        cloud = _Cloud([encode_entry(space, entry) for entry in best], seed=rng.getrandbits(32))
        decisions: Mapping[str, Value] = {}
        for _ in range(ATTEMPTS):
            chooser = _RelaxedChooser(cloud.draw(), rng)
            try:
                space.decide(chooser)
            except RejectedDecisionsError:
                continue
            decisions = chooser.decisions
            if key_of(decisions) not in record.known:
                return Proposal(dict(decisions), "optuna cmaes")
        return beside(space, decisions, record.known, rng, origin="optuna cmaes")


class _RelaxedChooser(Chooser):
    """Answers with the nearest that a point allows; what the point does not speak of is drawn."""

    def __init__(self, point: Point, rng: random.Random) -> None:
        super().__init__()
        self._point = point
        self._rng = rng

    def draw(self, name: str, domain: Domain) -> Value:
        hard = {parameter: self._hard(parameter, allowed) for parameter, allowed in parameters_of(name, domain)}
        if any(value is None for value in hard.values()):
            return domain.draw(self._rng)
        return decode(name, domain, {n: v for n, v in hard.items() if v is not None}, self._rng)

    def _hard(self, parameter: str, allowed: Range) -> str | float | None:
        if not isinstance(allowed, Categorical):
            return self._point.get(parameter)
        weights = {str(option): self._point.get(f"{parameter}#{option}") for option in allowed.options}
        known = {option: weight for option, weight in weights.items() if weight is not None}
        return max(known, key=lambda option: known[option]) if known else None


class _Cloud:
    """The normal distribution that CMA-ES begins with, over numbers that are shares of their ranges.

    Mean and covariance of the best, and `PRIOR` of its own for every number; one that an architecture lacks stands
    in the middle. The covariance is not divided by its determinant, as `cmaes.get_warm_start_mgd` does: for more than
    about 150 numbers that is below what a double can hold.
    """

    def __init__(self, best: Sequence[Encoded], *, seed: int) -> None:
        import numpy as np
        from cmaes import CMA

        self._ranges = _soft(joined(best))
        points = np.array([self._shares(one) for one in best])
        covariance = np.cov(points, rowvar=False, bias=True) + PRIOR**2 * np.eye(len(self._ranges))
        self._normal = CMA(mean=points.mean(axis=0), sigma=1.0, cov=covariance, seed=seed)

    def draw(self) -> Point:
        """One number for every option and every range, in the range's own unit and possibly beyond it."""
        drawn: np.ndarray = self._normal.ask()
        return {n: _value(allowed, float(x)) for (n, allowed), x in zip(self._ranges.items(), drawn, strict=True)}

    def _shares(self, one: Encoded) -> list[float]:
        found: dict[str, float] = {}
        for name, value, kind in zip(one.names, one.values, one.ranges, strict=True):
            if isinstance(kind, Categorical):
                found |= {f"{name}#{option}": float(option == value) for option in kind.options}
            else:
                found[name] = _share(self._ranges[name], float(value))
        return [found.get(name, 0.5) for name in self._ranges]


def _soft(ranges: Mapping[str, Range]) -> dict[str, Integer | Real]:
    """A number for every option of a choice, and the others as they are."""
    soft: dict[str, Integer | Real] = {}
    for name, allowed in ranges.items():
        if isinstance(allowed, Categorical):
            soft |= {f"{name}#{option}": Real(0.0, 1.0) for option in allowed.options}
        else:
            soft[name] = allowed
    return soft


def _ends(allowed: Integer | Real) -> tuple[float, float]:
    ends = allowed.low, allowed.high
    return (math.log(ends[0]), math.log(ends[1])) if isinstance(allowed, Real) and allowed.log else ends


def _share(allowed: Integer | Real, value: float) -> float:
    low, high = _ends(allowed)
    here = math.log(value) if isinstance(allowed, Real) and allowed.log else value
    return (here - low) / (high - low) if low < high else 0.5


def _value(allowed: Integer | Real, share: float) -> float:
    low, high = _ends(allowed)
    here = low + share * (high - low)
    return math.exp(here) if isinstance(allowed, Real) and allowed.log else here
