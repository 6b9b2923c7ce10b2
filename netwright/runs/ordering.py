"""The order of a search: which results a step may use, whatever the number of workers.

A step is a training that the loop starts, a new trial or a promotion; steps are counted from 0 and kept with the
trial. In ordered mode step n uses the results of the steps before n - lag, all of them and no others, so that
neither the speed nor the number of workers decides what is known. Without it a step uses whatever has come.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from netwright.core.plugins import load
from netwright.core.records import Trial, TrialState
from netwright.evaluation.metric import Metric
from netwright.nas.promotion import measured_at

PENDING = frozenset({TrialState.RUNNING, TrialState.WAITING})
EVERYTHING = None
"""A horizon: the step may use all that is known."""


def horizons(step: int, *, lag: int | None) -> Iterator[int | None]:
    """What a step may see, one after another until there is something to do: results of the steps before each.

    Without a lag it sees everything. Where the regular horizon leaves nothing to do, as at the end of a search, it
    moves on step by step.
    """
    if lag is None:
        yield EVERYTHING
        return
    first = max(0, step - lag)
    yield from range(first, max(first, step) + 1)


def next_step(trials: Sequence[Trial]) -> int:
    """The number of the step that comes after all recorded ones."""
    return 1 + max((int(entry["step"]) for trial in trials for entry in trial.rungs), default=-1)


def still_runs(trials: Sequence[Trial], upto: int | None) -> bool:
    """Whether a step before `upto` has no result yet."""
    if upto is EVERYTHING:
        return False
    return any(trial.state in PENDING and trial.rungs and trial.rungs[-1]["step"] < upto for trial in trials)


def seen_from(trials: Sequence[Trial], upto: int | None) -> list[Trial]:
    """The trials as they were when exactly the steps before `upto` had ended."""
    if upto is EVERYTHING:
        return list(trials)
    return [_as_of(trial, upto) for trial in trials]


def entry_of(*, fidelity: float, step: int, horizon: int | None) -> dict[str, Any]:
    """A rung that a trial is sent to by a step."""
    return {"fidelity": fidelity, "step": step, "horizon": horizon}


def reached(trial: Trial, *, keep_curve: bool) -> tuple[Mapping[str, Any], ...]:
    """The trial's rungs, the last one with what was measured there, and its curve where it would be lost."""
    entry = {**trial.rungs[-1], "measurements": {name: m.to_json() for name, m in trial.measurements.items()}}
    if keep_curve:
        entry["curve"] = [dict(row) for row in trial.curve]
    return (*trial.rungs[:-1], entry)


def _as_of(trial: Trial, upto: int) -> Trial:
    entries = [entry for entry in trial.rungs if entry["step"] < upto]
    if len(entries) == len(trial.rungs):
        return trial
    last = entries[-1] if entries else None
    fidelity = float(last["fidelity"]) if last else 0.0
    cheap = {name: m for name, m in trial.measurements.items() if _costs_nothing(name)}
    return dataclasses.replace(
        trial,
        state=TrialState.RUNNING,
        rungs=tuple(entries),
        fidelity=fidelity,
        measurements=measured_at(last) if last else cheap,
        curve=tuple(row for row in trial.curve if row["epoch"] <= fidelity) if last else (),
        reason="",
        artifacts={},
        ended="",
    )


def _costs_nothing(name: str) -> bool:
    """Whether a metric was known before the training began."""
    metric = load("metric", name)
    assert issubclass(metric, Metric)
    return metric.cost == "cheap"
