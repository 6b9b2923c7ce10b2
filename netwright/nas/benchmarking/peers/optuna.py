"""Optuna's samplers as peers: a study, its own ask and tell, the space's questions answered by `suggest_...`."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netwright.core.errors import ConfigurationError, Mistake, UnknownNameError
from netwright.core.records import Decisions, Objective
from netwright.nas.benchmarking.peer import Peer
from netwright.nas.optuna_sampling import quiet
from netwright.nas.parameters import Range, decode, parameters_of
from netwright.search_spaces.chooser import Chooser, RejectedDecisionsError
from netwright.search_spaces.domain import Categorical, Domain, Integer, Value
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import optuna

SAMPLERS: Mapping[str, str] = {
    "random": "RandomSampler",
    "tpe": "TPESampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "qmc": "QMCSampler",
}
ALONE = frozenset({"cmaes"})
"""Those that serve one objective."""


def make(
    method: str, *, settings: Mapping[str, Any], space: SearchSpace, objectives: Sequence[Objective], seed: int
) -> Peer:
    """A study with the sampler of that name; `settings` are the sampler's own arguments."""
    import optuna

    if method not in SAMPLERS:
        raise UnknownNameError("sampler of Optuna", method, SAMPLERS)
    if method in ALONE and len(objectives) > 1:
        raise ConfigurationError([Mistake(f"--peer optuna:{method}", "serves one objective only")])
    try:
        with quiet():
            sampler = getattr(optuna.samplers, SAMPLERS[method])(seed=seed, **settings)
            study = optuna.create_study(sampler=sampler, directions=["minimize"] * len(objectives))
    except (TypeError, ValueError) as error:
        raise ConfigurationError([Mistake(f"--peer optuna:{method}", str(error))]) from None
    return OptunaPeer(study, space)


class OptunaPeer(Peer):
    """A study that is asked and told as any user of Optuna would."""

    def __init__(self, study: optuna.Study, space: SearchSpace) -> None:
        self._study = study
        self._space = space
        self._trial: optuna.Trial | None = None
        self._ranges: dict[str, list[Range]] = {}

    def ask(self) -> Decisions | None:
        with quiet():  # a sampler that cannot model conditional decisions says so at every one of them
            self._trial = self._study.ask()
            chooser = Suggesting(self._trial, self._ranges)
            try:
                self._space.decide(chooser)
            except RejectedDecisionsError:
                return None
        return dict(chooser.decisions)

    def tell(self, losses: Sequence[float] | None) -> None:
        import optuna

        assert self._trial is not None
        if losses is None:
            self._study.tell(self._trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(self._trial, list(losses))


class Suggesting(Chooser):
    """Answers with what the trial suggests; a name whose range changes is another parameter for every range."""

    def __init__(self, trial: optuna.Trial, ranges: dict[str, list[Range]]) -> None:
        super().__init__()
        self._trial = trial
        self._ranges = ranges

    def draw(self, name: str, domain: Domain) -> Value:
        suggested = {parameter: self._suggest(parameter, allowed) for parameter, allowed in parameters_of(name, domain)}
        return decode(name, domain, suggested, random.Random(self._trial.number))

    def _suggest(self, parameter: str, allowed: Range) -> str | int | float:
        seen = self._ranges.setdefault(parameter, [])
        if allowed not in seen:
            seen.append(allowed)
        place = seen.index(allowed)
        name = f"{parameter}#{place}" if place else parameter
        if isinstance(allowed, Categorical):
            return str(self._trial.suggest_categorical(name, [str(option) for option in allowed.options]))
        if isinstance(allowed, Integer):
            return self._trial.suggest_int(name, allowed.low, allowed.high, step=allowed.step)
        return self._trial.suggest_float(name, allowed.low, allowed.high, log=allowed.log)
