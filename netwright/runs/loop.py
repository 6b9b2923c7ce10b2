"""The search loop: who is next, what came of it, when to stop. It holds the record's pen."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netwright.analysis.front import pareto_front
from netwright.core.clock import Clock, SystemClock
from netwright.core.errors import InfeasibleError, SpaceError
from netwright.core.progress import Event, Listener, silent
from netwright.core.records import Measurement, Trial, TrialState
from netwright.core.seeds import derive_seed, generator
from netwright.core.text import readable
from netwright.nas.context import SearchContext
from netwright.nas.strategy import Proposal
from netwright.runs.executor import Outcome, TrialJob
from netwright.runs.optuna_mirror import OptunaMirror
from netwright.runs.record import StudyRecord, count_states, is_finished
from netwright.runs.reuse import measured_before
from netwright.runs.specification import RunSpecification
from netwright.runs.trial import broken_bound
from netwright.search_spaces.cost import cost

ASKS = 20
DRAWS = 200
TRANSIENT = frozenset({"killed", "node lost"})


class SearchLoop:
    """Proposes trials, refuses to pay twice for one architecture, and records all that comes back.

    The executor pulls: `next_job`, then `report` per epoch, then `finish`. All are called by one thread.
    """

    def __init__(
        self,
        specification: RunSpecification,
        record: StudyRecord,
        *,
        folder: Path,
        mirror: OptunaMirror | None = None,
        listener: Listener = silent,
        clock: Clock | None = None,
    ) -> None:
        self._spec = specification
        self._record = record
        self._folder = folder
        self._mirror = mirror
        self._listener = listener
        self._clock: Clock = clock or SystemClock()
        self._began = self._clock.monotonic()
        self._shapes = specification.task.shapes()
        self._strategy = specification.search.strategy.prepare(
            SearchContext(specification.task, folder / "scratch" / "strategy", specification.seed, specification.device)
        )
        self._trials: dict[int, Trial] = {trial.number: trial for trial in record.all_trials()}
        self._attempts: dict[int, int] = {}
        self._again: deque[int] = deque()
        self._exhausted = False
        self._frozen = specification.to_json()
        data = specification.task.data().fingerprint
        self._known = measured_before(self._frozen, data=data, runs=specification.search.reuse)
        self._take_up_interrupted()

    @property
    def trials(self) -> list[Trial]:
        """Every trial so far, in order."""
        return [self._trials[number] for number in sorted(self._trials)]

    @property
    def exhausted(self) -> bool:
        """Whether the space ran out of new architectures before the trials were used up."""
        return self._exhausted

    def next_job(self) -> TrialJob | None:
        """The next trial to run, or None when there is none to start now."""
        if self._again:
            return self._retry(self._again.popleft())
        while len(self._trials) < self._spec.search.trials and not self._exhausted and self._in_time():
            proposal = self._propose()
            if proposal is None:
                self._exhausted = True
                self._record.note("search.exhausted", trials=len(self._trials))
                return None
            trial = self._begin(proposal)
            if trial.state is TrialState.RUNNING:
                return self._job(trial, 1)
        return None

    def report(self, number: int, row: Mapping[str, Any]) -> bool:
        """Take one epoch's row; False when the trial is not worth another epoch."""
        trial = self._trials[number]
        measured = {name: Measurement.from_json(m) for name, m in row.get("measurements", {}).items()}
        plain = {key: value for key, value in row.items() if key != "measurements"}
        curve = [r for r in trial.curve if r["epoch"] < plain["epoch"]]
        trial = dataclasses.replace(
            trial,
            curve=(*curve, plain),
            fidelity=float(plain["epoch"]),
            measurements={**trial.measurements, **measured},
        )
        self._trials[number] = trial
        last = plain["epoch"] >= self._spec.search.training.epochs
        keep = last or self._keep_going(trial)
        self._record.update_trial(trial)
        self._tell("search.epoch", trial=number, epoch=plain["epoch"], keep=keep)
        return keep

    def finish(self, number: int, outcome: Outcome) -> None:
        """Take what came of a trial's attempt; a worker's death is tried again as often as allowed."""
        attempt = self._attempts[number]
        trial = self._trials[number]
        again = outcome.kind in TRANSIENT and attempt <= self._spec.search.retries
        state = TrialState.WAITING if again else outcome.state
        if state is TrialState.DONE and self._missing(outcome):
            state = TrialState.FAILED
            outcome = dataclasses.replace(outcome, state=state, kind="not finite", reason=self._missing(outcome))
        trial = dataclasses.replace(
            trial,
            state=state,
            reason=outcome.reason,
            measurements={**trial.measurements, **outcome.measurements},
            fidelity=outcome.fidelity or trial.fidelity,
            artifacts={**trial.artifacts, **outcome.artifacts},
            seconds=trial.seconds + outcome.seconds,
            ended="" if again else self._clock.now(),
        )
        if state is not TrialState.INFEASIBLE and not again:
            broken = broken_bound(self._spec.limits, trial.measurements)
            if broken and state is TrialState.DONE:
                trial = dataclasses.replace(trial, state=TrialState.INFEASIBLE, reason=broken)
        self._trials[number] = trial
        self._record.end_attempt(trial, attempt, outcome)
        if again:
            self._again.append(number)
        self._ended(trial)

    def _take_up_interrupted(self) -> None:
        """Trials that were in flight when the last driver ended begin again, with the same decisions and seed."""
        for trial in list(self._trials.values()):
            if is_finished(trial):
                continue
            attempts = self._record.attempts_of(trial.number)
            self._attempts[trial.number] = len(attempts)
            waiting = dataclasses.replace(trial, state=TrialState.WAITING)
            if attempts and not attempts[-1]["ended"]:
                outcome = Outcome(state=TrialState.WAITING, kind="interrupted", reason="the driver ended")
                self._record.end_attempt(waiting, len(attempts), outcome)
            self._trials[trial.number] = waiting
            self._again.append(trial.number)
        if self._mirror is not None:
            self._mirror.catch_up(self.trials)

    def _retry(self, number: int) -> TrialJob:
        attempt = self._attempts.get(number, 0) + 1
        trial = dataclasses.replace(self._trials[number], state=TrialState.RUNNING, reason="")
        self._trials[number] = trial
        self._attempts[number] = attempt
        self._record.restart_trial(trial, attempt)
        return self._job(trial, attempt)

    def _propose(self) -> tuple[Proposal, str] | None:
        """A proposal whose architecture is new to this run, with its identity; None when none is left."""
        known = {trial.identity for trial in self._trials.values()}
        number = len(self._trials)
        space = self._spec.searched
        for draw in range(ASKS + DRAWS):
            rng = generator(self._spec.seed, "ask", number, draw)
            if draw < ASKS:
                proposal = self._strategy.ask(space, self.trials, self._spec.objectives, rng)
            else:
                proposal = Proposal(decisions=space.sample(rng), origin="random, the strategy repeats itself")
            identity = self._identity(proposal)
            if identity not in known:
                return proposal, identity
        return None

    def _identity(self, proposal: Proposal) -> str:
        """The architecture's identity; one that cannot be built counts as itself."""
        try:
            return self._spec.searched.identity(proposal.decisions, self._shapes)
        except SpaceError:
            return f"unbuildable-{derive_seed(*sorted(proposal.decisions.items()))}"

    def _begin(self, proposed: tuple[Proposal, str]) -> Trial:
        """Record a new trial: running, or infeasible when the cheap facts already break a bound."""
        proposal, identity = proposed
        trial = Trial(
            number=len(self._trials),
            decisions=proposal.decisions,
            identity=identity,
            state=TrialState.RUNNING,
            seed=derive_seed(self._spec.seed, identity, 0),
            origin=proposal.origin,
            started=self._clock.now(),
        )
        trial = self._from_before(self._check_cheaply(trial))
        self._trials[trial.number] = trial
        if trial.state is TrialState.RUNNING:
            self._attempts[trial.number] = 1
            self._record.start_trial(trial)
            self._tell("search.start", trial=trial.number)
        else:
            self._record.add_finished(trial)
            self._ended(trial)
        return trial

    def _from_before(self, trial: Trial) -> Trial:
        """The trial as another run measured it, when one did so in the same way and all objectives are there."""
        known = self._known.get(trial.identity)
        if known is None or trial.state is not TrialState.RUNNING:
            return trial
        found = known.as_trial(trial, folder=self._folder)
        if found is None or any(found.value(o.metric) is None for o in self._spec.limits):
            return trial
        broken = broken_bound(self._spec.limits, found.measurements)
        return dataclasses.replace(found, state=TrialState.INFEASIBLE, reason=broken) if broken else found

    def _check_cheaply(self, trial: Trial) -> Trial:
        try:
            measured = cheap_measurements(self._spec, trial.decisions)
        except SpaceError as error:
            return dataclasses.replace(trial, state=TrialState.INFEASIBLE, reason=str(error), ended=self._clock.now())
        trial = dataclasses.replace(trial, measurements=measured)
        broken = broken_bound(self._spec.limits, measured)
        if broken is None:
            return trial
        return dataclasses.replace(trial, state=TrialState.INFEASIBLE, reason=broken, ended=self._clock.now())

    def _keep_going(self, trial: Trial) -> bool:
        primary = self._spec.chosen_by
        value = trial.value(primary.metric)
        if value is None:
            return True
        history = [loss_curve(other, self._spec) for other in self.trials if other.number != trial.number]
        return self._spec.search.stopper.keep_going(
            epoch=int(trial.fidelity),
            value=primary.loss(value),
            history=[curve for curve in history if curve],
            protected=self._protected(trial),
        )

    def _protected(self, trial: Trial) -> bool:
        """Whether the trial would stand on the front as it is now: such a one is never stopped early."""
        if len(self._spec.objectives) < 2:
            return False
        done = [t for t in self.trials if t.state is TrialState.DONE]
        front = pareto_front([*done, dataclasses.replace(trial, state=TrialState.DONE)], self._spec.objectives)
        return any(member.number == trial.number for member in front)

    def _missing(self, outcome: Outcome) -> str:
        """A sentence about the first objective without a value, or nothing."""
        for objective in self._spec.objectives:
            found = outcome.measurements.get(objective.metric)
            if found is None or found.value is None:
                why = found.reason if found is not None else "it was not measured"
                return f"{objective.metric} has no value: {why}"
        return ""

    def _job(self, trial: Trial, attempt: int) -> TrialJob:
        return TrialJob(
            number=trial.number,
            attempt=attempt,
            decisions=trial.decisions,
            identity=trial.identity,
            seed=trial.seed,
            specification=self._frozen,
            folder=self._folder,
            limit_s=self._spec.search.trial_limit_s,
            threads=self._spec.search.executor.threads,
        )

    def _in_time(self) -> bool:
        budget = self._spec.search.budget_s
        return budget is None or self._clock.monotonic() - self._began < budget

    def _ended(self, trial: Trial) -> None:
        if self._mirror is not None and is_finished(trial):
            self._mirror.add(trial)
        self._tell("search.trial", trial=trial.number, state=str(trial.state), reason=trial.reason)

    def _tell(self, name: str, **details: object) -> None:
        found = self.trials
        details |= {"counts": count_states(found), "wanted": self._spec.search.trials}
        if name == "search.trial":
            front = pareto_front(found, self._spec.objectives)
            best = {}
            for objective in self._spec.objectives:
                values = [v for t in front if (v := t.value(objective.metric)) is not None]
                best[objective.metric] = min(values, key=objective.loss, default=None)
            details |= {"front": [t.number for t in front], "best": best}
        self._listener(Event(name, details))


def loss_curve(trial: Trial, specification: RunSpecification) -> dict[int, float]:
    """The chosen objective's loss after every epoch of a trial, as far as its curve tells."""
    key = f"validation_{specification.chosen_by.metric.removeprefix('validation_')}"
    objective = specification.chosen_by
    return {int(row["epoch"]): objective.loss(row[key]) for row in trial.curve if key in row}


def cheap_measurements(specification: RunSpecification, decisions: Mapping[str, Any]) -> dict[str, Measurement]:
    """What the decisions alone tell: parameters, multiply-accumulates, peak activation memory.

    Raises SpaceError when the decisions make no network for the task's input.
    """
    units = {"params": "", "macs": "", "peak_activation_bytes": "bytes"}
    found = cost(specification.searched.graph(decisions, specification.task.shapes()))
    protocol = {"source": "layer graph", "batch": 1}
    return {
        name: Measurement(metric=name, value=float(getattr(found, name)), unit=unit, protocol=protocol)
        for name, unit in units.items()
    }


def check_feasible(specification: RunSpecification, *, draws: int = 200) -> None:
    """Draw architectures at random; raise when none can be built, or none keeps the cheap bounds.

    Raises SpaceError or InfeasibleError that says how near the nearest one came.
    """
    rng = generator(specification.seed, "feasibility")
    bounded = [o for o in specification.limits if o.bound is not None]
    nearest: dict[str, float] = {}
    problem: SpaceError | None = None
    for _ in range(draws):
        try:
            measured = cheap_measurements(specification, specification.searched.sample(rng))
        except SpaceError as error:
            problem = error
            continue
        for objective in bounded:
            found = measured.get(objective.metric)
            if found is not None and found.value is not None:
                loss = objective.loss(found.value)
                nearest[objective.metric] = min(loss, nearest.get(objective.metric, loss))
        if broken_bound(specification.limits, measured) is None:
            return
    if not nearest:
        raise SpaceError(
            f"the space makes no network for inputs of shape {specification.task.shapes().input}: {problem}"
        )
    texts = [
        f"{o.metric} bound {readable(o.bound or 0.0)}, nearest {readable(abs(nearest[o.metric]))}"
        for o in bounded
        if o.metric in nearest
    ]
    raise InfeasibleError(
        f"none of {draws} random architectures keeps the bounds ({'; '.join(texts)}); loosen a bound or widen the space"
    )
