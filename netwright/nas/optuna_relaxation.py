"""Optuna's CMA-ES over decisions relaxed to numbers: one for every option of a choice, the largest wins."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from netwright.core.errors import MissingPackageError
from netwright.core.records import Objective, Trial
from netwright.nas.evidence import Entry, draw_new, gather, key_of, read
from netwright.nas.optuna_sampling import MODELLED, beside, encode_entry, quiet
from netwright.nas.parameters import Range, decode, joined, parameters_of
from netwright.nas.ranking import best_and_youngest
from netwright.nas.scalar import random_weights, scalarised
from netwright.nas.strategy import Proposal
from netwright.search_spaces.chooser import Chooser, RejectedDecisionsError
from netwright.search_spaces.domain import Categorical, Domain, Integer, Real, Value
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import optuna

ATTEMPTS = 5
LEAST = 10
"""Fewer trials have no best tenth."""
_EPOCH = datetime(1970, 1, 1)

Point = dict[str, float]


def propose_relaxed(
    space: SearchSpace,
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    rng: random.Random,
    *,
    startup: int,
    origin: str,
) -> Proposal:
    """A draw from the normal distribution that CMA-ES begins with after a warm start from the record.

    Raises MissingPackageError without `cmaes`, SpaceError when the space itself allows nothing.
    """
    if importlib.util.find_spec("cmaes") is None:
        raise MissingPackageError(f"the strategy {origin!r} needs the package 'cmaes': pip install cmaes")
    record = read(space, trials)
    evidence = best_and_youngest(gather(record.own, objectives), most=MODELLED)
    if len(evidence) < max(startup, LEAST):
        return Proposal(draw_new(space, record.known, rng), "random")
    losses = scalarised(evidence, random_weights(len(objectives), rng))
    ranges, points = _relaxed(space, [record.entries[record.known[key_of(e.trial.decisions)]] for e in evidence])
    wide = {name: allowed for name, allowed in ranges.items() if allowed.low < allowed.high}
    if len(wide) < 2:
        return Proposal(draw_new(space, record.known, rng), "random")
    decisions: Mapping[str, Value] = {}
    with quiet():
        ask = _asker(wide, points, losses, seed=rng.getrandbits(32))
        for _ in range(ATTEMPTS):
            chooser = _RelaxedChooser(ask(), rng)
            try:
                space.decide(chooser)
            except RejectedDecisionsError:
                continue
            decisions = chooser.decisions
            if key_of(decisions) not in record.known:
                return Proposal(dict(decisions), origin)
    return beside(space, decisions, record.known, rng, origin=origin)


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


def _relaxed(space: SearchSpace, entries: Iterable[Entry]) -> tuple[dict[str, Integer | Real], list[Point]]:
    """The range of every number, and every architecture as numbers; a decision it lacks stands in the middle."""
    encoded = [encode_entry(space, entry) for entry in entries]
    ranges = joined(pair for e in encoded for pair in zip(e.names, e.ranges, strict=True))
    soft: dict[str, Integer | Real] = {}
    for name, allowed in ranges.items():
        if isinstance(allowed, Categorical):
            soft |= {f"{name}#{option}": Real(0.0, 1.0) for option in allowed.options}
        else:
            soft[name] = allowed
    middle = {name: (allowed.low + allowed.high) / 2 for name, allowed in soft.items()}
    points = []
    for one in encoded:
        point = dict(middle)
        for name, value in zip(one.names, one.values, strict=True):
            kind = ranges[name]
            if isinstance(kind, Categorical):
                point |= {f"{name}#{option}": float(option == value) for option in kind.options}
            else:
                point[name] = float(value)
        points.append(point)
    return soft, points


def _asker(
    ranges: Mapping[str, Integer | Real], points: Sequence[Point], losses: Sequence[float], *, seed: int
) -> Callable[[], Point]:
    """A function that draws the next point."""
    import optuna

    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(float(r.low), float(r.high)) for name, r in ranges.items()
    }
    rows = [
        optuna.trial.FrozenTrial(
            number, optuna.trial.TrialState.COMPLETE, loss, _EPOCH, _EPOCH,
            {name: point[name] for name in ranges}, distributions, {}, {}, {}, number,
        )
        for number, (point, loss) in enumerate(zip(points, losses, strict=True))
    ]  # fmt: skip
    study = optuna.create_study(sampler=_warm_type()(distributions, source_trials=rows, seed=seed))

    def ask() -> Point:
        trial = study.ask()
        return {name: trial.suggest_float(name, float(r.low), float(r.high)) for name, r in ranges.items()}

    return ask


@lru_cache(maxsize=1)
def _warm_type() -> Any:
    """CMA-ES that asks no completed trial of the study itself which parameters there are: it is told."""
    import optuna

    class Warm(optuna.samplers.CmaEsSampler):
        def __init__(
            self,
            ranges: dict[str, optuna.distributions.BaseDistribution],
            *,
            source_trials: list[optuna.trial.FrozenTrial],
            seed: int,
        ) -> None:
            super().__init__(
                n_startup_trials=0, warn_independent_sampling=False, seed=seed, source_trials=source_trials
            )
            self._ranges = ranges

        def infer_relative_search_space(
            self, study: optuna.Study, trial: optuna.trial.FrozenTrial
        ) -> dict[str, optuna.distributions.BaseDistribution]:
            return dict(self._ranges)

    return Warm
