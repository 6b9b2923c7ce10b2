"""The search loop: who is next, what came of it, when to stop. It holds the record's pen."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netwright.analysis.front import pareto_front
from netwright.core.clock import Clock, SystemClock
from netwright.core.progress import Event, Listener, silent
from netwright.core.records import Measurement, Trial, TrialState
from netwright.nas.promotion import Begin, EntrantReader, Ladder, Promote, is_paused
from netwright.nas.stopper import loss_curve
from netwright.runs.executor import NOT_PROMISING, Outcome, TrialJob
from netwright.runs.optuna_mirror import OptunaMirror
from netwright.runs.ordering import entry_of, horizons, next_step, reached, seen_from, still_runs
from netwright.runs.proposing import Proposer
from netwright.runs.record import StudyRecord, count_states, is_finished
from netwright.runs.specification import RunSpecification
from netwright.runs.trial import broken_bound

TRANSIENT = frozenset({"killed", "node lost"})


class SearchLoop:
    """Proposes trials, promotes them, refuses to pay twice for one architecture, and records all that comes back.

    The executor pulls: `next_job`, then `report` per epoch, then `finish`. All are called by one thread. Everything
    is decided from the recorded trials, so that a search that was killed goes on as it would have.
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
        self._rungs = specification.search.rungs
        self._entrants = EntrantReader(specification.objectives, self._rungs)
        self._proposer = Proposer(specification, folder=folder, clock=self._clock, listener=listener)
        self._trials: dict[int, Trial] = {trial.number: trial for trial in record.all_trials()}
        self._attempts: dict[int, int] = {}
        self._lost: dict[int, int] = {}
        self._again: deque[int] = deque()
        self._exhausted = False
        self._frozen = specification.to_json()
        self._take_up_interrupted()
        self._front = pareto_front(self.trials, specification.objectives)

    @property
    def trials(self) -> list[Trial]:
        """Every trial so far, in order."""
        return list(self._trials.values())

    @property
    def why_fewer(self) -> str:
        """Why the search ends with fewer trials than were asked for; nothing where it has all of them."""
        begun, wanted = len(self._trials), self._spec.search.trials
        if begun >= wanted:
            return ""
        why = "the promotion rule or the executor wanted no more"
        if self._exhausted:
            why = "no architecture was found that is another network than those tried"
        elif not self._in_time():
            why = f"the time was up (search.budget_s: {self._spec.search.budget_s:g})"
        return f"the search ends after {begun:,} of {wanted:,} trials: {why}"

    def next_job(self) -> TrialJob | None:
        """The next trial to run, or None when there is none to start now."""
        if self._again:
            return self._retry(self._again.popleft())
        search = self._spec.search
        step = next_step(self.trials)
        for horizon in horizons(step, lag=search.lag if search.ordered else None):
            if still_runs(self.trials, horizon):
                return None
            if (job := self._step(step, horizon)) is not None:
                return job
        return None

    def report(self, number: int, row: Mapping[str, Any]) -> bool:
        """Take one epoch's row; False when the trial is not worth another epoch."""
        trial = self._trials[number]
        measured = {name: Measurement.from_json(m) for name, m in row.get("measurements", {}).items()}
        plain = {key: value for key, value in row.items() if key != "measurements"}
        curve = [r for r in trial.curve if r["epoch"] < plain["epoch"]]
        trial = dataclasses.replace(trial, curve=(*curve, plain), measurements={**trial.measurements, **measured})
        if self._by_epochs:
            trial = dataclasses.replace(trial, fidelity=float(plain["epoch"]))
        keep = bool(plain["epoch"] >= self._spec.search.training.epochs)
        if not keep and self._by_epochs and trial.fidelity >= self._target(trial):
            trial = dataclasses.replace(trial, rungs=reached(trial, keep_curve=False))
        elif not keep:
            keep = self._keep_going(trial)
            trial = dataclasses.replace(trial, reason="" if keep else NOT_PROMISING)
        self._trials[number] = trial
        self._record.update_trial(trial)
        self._tell("search.epoch", trial=number, epoch=plain["epoch"], keep=keep)
        return keep

    def finish(self, number: int, outcome: Outcome) -> None:
        """Take what came of a trial's attempt; a worker's death is tried again as often as allowed."""
        attempt = self._attempts[number]
        trial = self._trials[number]
        self._lost[number] = self._lost.get(number, 0) + (outcome.kind in TRANSIENT)
        again = outcome.kind in TRANSIENT and self._lost[number] <= self._spec.search.retries
        if outcome.state is TrialState.DONE and (missing := self._missing(outcome)):
            outcome = dataclasses.replace(outcome, state=TrialState.FAILED, kind="not finite", reason=missing)
        trial = dataclasses.replace(
            trial,
            state=TrialState.WAITING if again else outcome.state,
            reason=outcome.reason,
            measurements={**trial.measurements, **outcome.measurements},
            fidelity=outcome.fidelity or trial.fidelity,
            artifacts={**trial.artifacts, **outcome.artifacts},
            seconds=trial.seconds + outcome.seconds,
            ended="" if again else self._clock.now(),
        )
        trial = self._judged(trial)
        self._trials[number] = trial
        self._record.end_attempt(trial, attempt, outcome)
        if again:
            self._again.append(number)
        self._ended(trial)

    def loss(self, number: int) -> float | None:
        """A trial's loss by the objective that chooses the winner, as far as it is known: smaller is better."""
        value = self._trials[number].value(self._spec.chosen_by.metric)
        return None if value is None else self._spec.chosen_by.loss(value)

    def close(self) -> None:
        """Let Optuna's study have the trials that stay at their rung."""
        if self._mirror is not None:
            self._mirror.catch_up(self.trials)

    @property
    def _by_epochs(self) -> bool:
        """Whether the fidelity of a trial is its number of epochs."""
        fidelity = self._spec.search.fidelity
        return fidelity is None or fidelity.axis == "epochs"

    def _target(self, trial: Trial) -> float:
        """The fidelity that a trial was sent to."""
        return float(trial.rungs[-1]["fidelity"]) if trial.rungs else self._rungs[-1]

    def _judged(self, trial: Trial) -> Trial:
        """A trial whose attempt ended: paused at a rung, beyond a bound, or as it is."""
        fidelity, target = self._spec.search.fidelity, self._target(trial)
        if trial.state is TrialState.DONE and fidelity is not None:
            trial = dataclasses.replace(trial, fidelity=target, rungs=reached(trial, keep_curve=not self._by_epochs))
            if target < self._rungs[-1]:
                trial = dataclasses.replace(trial, state=TrialState.STOPPED)
        if is_paused(trial) and fidelity is not None:
            return dataclasses.replace(trial, reason=f"paused at {fidelity.describe(target)}")
        broken = broken_bound(self._spec.limits, trial.measurements)
        if broken and trial.state is TrialState.DONE:
            return dataclasses.replace(trial, state=TrialState.INFEASIBLE, reason=broken)
        return trial

    def _take_up_interrupted(self) -> None:
        """Trials that were in flight when the last driver ended begin again, with the same decisions and seed."""
        for trial in sorted(self._trials.values(), key=lambda t: t.rungs[-1]["step"] if t.rungs else t.number):
            if is_finished(trial):
                continue
            attempts = self._record.attempts_of(trial.number)
            self._attempts[trial.number] = len(attempts)
            self._lost[trial.number] = sum(attempt["kind"] in TRANSIENT for attempt in attempts)
            waiting = self._as_interrupted(trial)
            if attempts and not attempts[-1]["ended"]:
                outcome = Outcome(state=waiting.state, kind="interrupted", reason="the driver ended")
                self._record.end_attempt(waiting, len(attempts), outcome)
            self._trials[trial.number] = waiting
            if not is_finished(waiting):
                self._again.append(trial.number)
        if self._mirror is not None:
            self._mirror.catch_up([trial for trial in self.trials if not is_paused(trial)])

    def _as_interrupted(self, trial: Trial) -> Trial:
        """What an interrupted trial is: stopped when that was decided already, else waiting for another attempt."""
        stopped = dataclasses.replace(trial, state=TrialState.STOPPED, ended=self._clock.now())
        if is_paused(stopped):
            return self._judged(stopped)
        return stopped if trial.reason == NOT_PROMISING else dataclasses.replace(trial, state=TrialState.WAITING)

    def _retry(self, number: int) -> TrialJob:
        trial = dataclasses.replace(self._trials[number], state=TrialState.RUNNING, reason="")
        return self._another_attempt(trial, promoted=False)

    def _another_attempt(self, trial: Trial, *, promoted: bool) -> TrialJob:
        number = trial.number
        before = self._attempts.get(number)
        attempt = 1 + (len(self._record.attempts_of(number)) if before is None else before)
        self._trials[number] = trial
        self._attempts[number] = attempt
        self._record.restart_trial(trial, attempt, promoted=promoted)
        return self._job(trial, attempt)

    def _step(self, step: int, horizon: int | None) -> TrialJob | None:
        """What the rule makes of what can be seen: a promotion, a new trial, or None for nothing to do."""
        while True:
            seen = seen_from(self.trials, horizon)
            move = self._move(seen)
            if move is None:
                return None
            if isinstance(move, Promote):
                return self._promote(move.number, step, horizon)
            proposed = self._proposer.propose(self.trials, seen)
            if proposed is None:
                self._exhausted = True
                self._record.note("search.exhausted", trials=len(self._trials))
                continue
            entry = entry_of(fidelity=self._rungs[move.rung], step=step, horizon=horizon)
            trial = self._begin(proposed, entry)
            if trial.state is TrialState.RUNNING:
                return self._job(trial, 1)

    def _move(self, seen: Sequence[Trial]) -> Begin | Promote | None:
        search = self._spec.search
        may_ask = len(self._trials) < search.trials and not self._exhausted and self._in_time()
        if search.fidelity is None:
            return Begin() if may_ask else None
        entrants = self._entrants.read(seen)
        ladder = Ladder(
            rungs=self._rungs,
            entrants=entrants,
            objectives=self._spec.objectives,
            may_ask=may_ask,
            space=self._spec.searched,
            trials=seen,
        )
        late = not self._in_time() and any(trial.state is TrialState.DONE for trial in self.trials)
        return None if late else search.fidelity.promotion.decided(ladder)

    def _promote(self, number: int, step: int, horizon: int | None) -> TrialJob:
        """Send a trial to the rung above its last one; it goes on from its checkpoint where it can."""
        trial = self._trials[number]
        place = self._rungs.index(self._target(trial)) + 1
        entry = entry_of(fidelity=self._rungs[place], step=step, horizon=horizon)
        curve = trial.curve if self._by_epochs else ()
        rungs = (*trial.rungs, entry)
        trial = dataclasses.replace(trial, state=TrialState.RUNNING, reason="", ended="", rungs=rungs, curve=curve)
        job = self._another_attempt(trial, promoted=True)
        self._tell("search.promote", trial=number, fidelity=entry["fidelity"])
        return job

    def _begin(self, trial: Trial, entry: Mapping[str, Any]) -> Trial:
        """Record a new trial: sent to its first rung, or finished when it is infeasible or known from another run."""
        trial = self._proposer.from_before(trial)
        if trial.state is TrialState.RUNNING:
            trial = dataclasses.replace(trial, rungs=(entry,))
            self._trials[trial.number] = trial
            self._attempts[trial.number] = 1
            self._record.start_trial(trial)
            self._tell("search.start", trial=trial.number)
        else:
            self._trials[trial.number] = trial
            self._record.add_finished(trial)
            self._ended(trial)
        return trial

    def _keep_going(self, trial: Trial) -> bool:
        primary = self._spec.chosen_by
        value = trial.value(primary.metric)
        if value is None:
            return True
        horizon = trial.rungs[-1]["horizon"] if trial.rungs else None
        others = [other for other in seen_from(self.trials, horizon) if other.number != trial.number]
        history = [loss_curve(other, primary) for other in others]
        return self._spec.search.stopper.keep_going(
            epoch=int(trial.fidelity),
            value=primary.loss(value),
            history=[curve for curve in history if curve],
            protected=self._protected(trial, self._front if horizon is None else others),
        )

    def _protected(self, trial: Trial, others: Sequence[Trial]) -> bool:
        """Whether the trial would stand on the front as it is now: such a one is never stopped early."""
        if len(self._spec.objectives) < 2:
            return False
        done = [t for t in others if t.state is TrialState.DONE]
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
        target = self._target(trial)
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
            rung=None if self._spec.search.fidelity is None else target,
            final=target >= self._rungs[-1],
            reported=len(trial.curve),
            known={name: m.to_json() for name, m in trial.measurements.items()},
        )

    def _in_time(self) -> bool:
        budget = self._spec.search.budget_s
        return budget is None or self._clock.monotonic() - self._began < budget

    def _ended(self, trial: Trial) -> None:
        if self._mirror is not None and is_finished(trial) and not is_paused(trial):
            self._mirror.add(trial)
        # no trial that is done changes any more, so what the front beat once need not be looked at again
        self._front = pareto_front([*self._front, trial], self._spec.objectives)
        self._tell("search.trial", trial=trial.number, state=str(trial.state), reason=trial.reason)

    def _tell(self, name: str, **details: object) -> None:
        found = self.trials
        details |= {"counts": count_states(found), "wanted": self._spec.search.trials}
        if name == "search.trial":
            best = {}
            for objective in self._spec.objectives:
                values = [v for t in self._front if (v := t.value(objective.metric)) is not None]
                best[objective.metric] = min(values, key=objective.loss, default=None)
            details |= {"front": [t.number for t in self._front], "best": best}
        self._listener(Event(name, details))
