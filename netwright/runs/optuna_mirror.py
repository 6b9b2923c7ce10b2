"""Finished trials as an Optuna study in the run's own database, for Optuna's tools to read."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.core.errors import SpaceError
from netwright.core.interrupt import undisturbed
from netwright.core.records import Objective, Trial, TrialState
from netwright.runs.database import URL, connector, explain_errors
from netwright.runs.record import is_finished
from netwright.search_spaces.domain import Categorical, Domain, Integer, Real
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import optuna

NUMBER = "netwright:trial"


class OptunaMirror:
    """Adds each finished trial once, with its decisions as parameters and its objectives as values."""

    def __init__(self, path: Path, *, name: str, objectives: Sequence[Objective], space: SearchSpace) -> None:
        import optuna

        self._optuna = optuna
        self._objectives = objectives
        self._space = space
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._storage = optuna.storages.RDBStorage(URL, engine_kwargs={"creator": connector(path)})
            explain_errors(self._storage.engine, path)
            directions = [objective.direction or "minimize" for objective in objectives]
            self._study = optuna.create_study(
                storage=self._storage, study_name=name, directions=directions, load_if_exists=True
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study.set_metric_names([objective.metric for objective in objectives])
        finally:
            optuna.logging.set_verbosity(verbosity)
        known = self._study.get_trials(deepcopy=False)
        self._added = {(trial.user_attrs.get(NUMBER), trial.user_attrs.get("state")) for trial in known}
        self._choices: dict[str, Any] = {}
        for trial in known:
            for parameter, distribution in trial.distributions.items():
                self._choices.setdefault(parameter, distribution)

    def catch_up(self, trials: Sequence[Trial]) -> None:
        """Add the finished trials that are not there yet, such as those that a crash kept from being added.

        A trial that was added as stopped and was promoted since, in a search that went on, is added once more.
        """
        for trial in trials:
            if is_finished(trial) and (trial.number, str(trial.state)) not in self._added:
                self.add(trial)

    def add(self, trial: Trial) -> None:
        """Add one finished trial."""
        with undisturbed():
            self._study.add_trial(self._frozen(trial))
        self._added.add((trial.number, str(trial.state)))

    def close(self) -> None:
        """Let go of the file."""
        with undisturbed():
            self._storage.remove_session()
            self._storage.engine.dispose()

    def _frozen(self, trial: Trial) -> optuna.trial.FrozenTrial:
        states = self._optuna.trial.TrialState
        measured = [trial.value(objective.metric) for objective in self._objectives]
        values = [value for value in measured if value is not None]
        complete = trial.state is TrialState.DONE and len(values) == len(measured)
        stopped = trial.state in (TrialState.STOPPED, TrialState.INFEASIBLE)
        state = states.COMPLETE if complete else states.PRUNED if stopped else states.FAIL
        params, distributions = self._parameters(trial)
        return self._optuna.create_trial(
            state=state,
            values=values if complete else None,
            params=params,
            distributions=distributions,
            user_attrs={
                NUMBER: trial.number,
                "state": str(trial.state),
                "identity": trial.identity,
                "origin": trial.origin,
                "reason": trial.reason,
                "seconds": trial.seconds,
                **{name: m.value for name, m in trial.measurements.items()},
            },
        )

    def _parameters(self, trial: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            domains = self._space.trace(trial.decisions).domains
        except SpaceError:
            return {}, {}
        params: dict[str, Any] = {}
        distributions: dict[str, Any] = {}
        for name, domain in domains.items():
            distribution = self._distribution(domain)
            parameter = self._parameter(name, distribution)
            distributions[parameter] = distribution
            value = trial.decisions[name]
            params[parameter] = json.dumps(value) if isinstance(value, (list, tuple)) else value
        return params, distributions

    def _parameter(self, name: str, distribution: Any) -> str:
        """The name in Optuna's tables, which allow one set of choices per name; ours may depend on other decisions."""
        if not isinstance(distribution, self._optuna.distributions.CategoricalDistribution):
            return name
        if self._choices.setdefault(name, distribution) == distribution:
            return name
        return f"{name} of {', '.join(map(str, distribution.choices))}"

    def _distribution(self, domain: Domain) -> Any:
        kinds = self._optuna.distributions
        if isinstance(domain, Integer):
            return kinds.IntDistribution(domain.low, domain.high, step=domain.step)
        if isinstance(domain, Real):
            return kinds.FloatDistribution(domain.low, domain.high, log=domain.log)
        if isinstance(domain, Categorical):
            return kinds.CategoricalDistribution(domain.options)
        return kinds.CategoricalDistribution(tuple(json.dumps(value) for value in domain.values()))
