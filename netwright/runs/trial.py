"""One trial, start to end: decide -> cheap checks -> build -> measure -> train -> measure. Runs in a worker."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from netwright.core.errors import NetwrightError
from netwright.core.files import canonical_json, write_atomic
from netwright.core.own_code import own_place
from netwright.core.records import Measurement, Objective, TrialState
from netwright.core.text import readable
from netwright.runs.executor import Outcome, TrialJob, checkpoint_of, stopped_early

if TYPE_CHECKING:
    from netwright.runs.candidate import Candidate

Report = Callable[[Mapping[str, Any]], bool]
TIMEOUT_EXIT = 124
ALWAYS = ("params", "macs", "peak_activation_bytes")
"""Metrics that every trial records, because they cost nothing."""


def run_trial(job: TrialJob, *, report: Report) -> Outcome:
    """Run one trial and tell what came of it; never raises for what the trial itself does wrong.

    `report` takes a row per epoch and answers whether to go on; what it raises is no fault of the trial, and is raised.
    """
    started = time.monotonic()
    faults: list[Exception] = []

    def told(row: Mapping[str, Any]) -> bool:
        try:
            return report(row)
        except Exception as error:
            faults.append(error)
            raise

    try:
        outcome = _run(job, told)
    except MemoryError as error:
        outcome = Outcome(state=TrialState.FAILED, kind="out of memory", reason=str(error) or "out of memory")
    except NetwrightError as error:
        kind = "not finite" if type(error).__name__ == "NotFiniteError" else "error"
        outcome = Outcome(state=TrialState.FAILED, kind=kind, reason=str(error))
    except Exception as error:
        outcome = _failure(error, job)
    if faults:
        raise faults[0]
    return dataclasses.replace(outcome, seconds=time.monotonic() - started)


def _failure(error: Exception, job: TrialJob) -> Outcome:
    """The outcome of an exception nobody expected; its traceback goes to the run's logs."""
    text = (str(error).splitlines() or [""])[0]
    if "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower():
        return Outcome(state=TrialState.FAILED, kind="out of memory", reason=text)
    log = job.folder / "logs" / f"trial-{job.number:06d}-attempt-{job.attempt}.log"
    write_atomic(log, "".join(traceback.format_exception(error)))
    at = f" at {place}" if (place := own_place(error)) else ""
    reason = f"{type(error).__name__}: {text}{at} (see {log.relative_to(job.folder)})"
    return Outcome(state=TrialState.FAILED, kind="error", reason=reason)


def _run(job: TrialJob, report: Report) -> Outcome:
    import torch

    from netwright.runs.candidate import Candidate

    specification = _specification(canonical_json(job.specification))
    torch.set_num_threads(job.threads)
    objectives = specification.limits
    candidate = Candidate.of(specification, job)
    measured = candidate.measure("cheap", [*ALWAYS, *(o.metric for o in objectives)])
    broken = broken_bound(objectives, measured)
    if broken is None:
        measured |= candidate.measure("measured", [o.metric for o in objectives])
        broken = broken_bound(objectives, measured)
    if broken is not None:
        return Outcome(state=TrialState.INFEASIBLE, reason=broken, measurements=measured)
    for name, found in measured.items():
        if found.value is None:
            reason = f"{name} has no value: {found.reason}"
            return Outcome(state=TrialState.FAILED, kind="error", reason=reason, measurements=measured)
    with _deadline(job.limit_s):
        return _trained(candidate, measured, report)


def _trained(candidate: Candidate, measured: dict[str, Measurement], report: Report) -> Outcome:
    """Train a candidate at the job's fidelity, as often as asked for at the last one, and measure it."""
    from netwright.tasks.checkpoint import stored_rows

    job, search = candidate.job, candidate.specification.search
    metrics = [o.metric for o in candidate.specification.limits]

    def on_epoch(row: Mapping[str, float]) -> bool:
        latest = {**measured, **candidate.measure("trained", metrics, row=row)}
        return report({**row, "measurements": {name: m.to_json() for name, m in latest.items()}})

    part = f"-at-{job.rung:g}" if search.fidelity is not None and search.fidelity.axis != "epochs" else ""
    checkpoint = checkpoint_of(job.folder, job.number, part=part)
    # epochs that were saved, but not told before the driver ended
    for row in stored_rows(checkpoint)[job.reported :]:
        if not on_epoch(row) and row["epoch"] < search.training.epochs:
            return stopped_early()
    result = candidate.fit(checkpoint=checkpoint, on_epoch=on_epoch)
    if result.stopped:
        return stopped_early()
    measured |= candidate.measure("trained", metrics)
    outcome = Outcome(state=TrialState.DONE, measurements=measured, fidelity=float(len(result.rows)))
    if not job.final:
        return outcome
    repeated = candidate.repeated("trained", metrics, times=search.repeats)
    weights = {"weights": candidate.store_weights()}
    return dataclasses.replace(outcome, measurements=measured | repeated, artifacts=weights)


def broken_bound(objectives: tuple[Objective, ...], measured: Mapping[str, Measurement]) -> str | None:
    """A sentence about the first bound that is broken, or None."""
    for objective in objectives:
        found = measured.get(objective.metric)
        if found is None or found.value is None or objective.satisfied_by(found.value):
            continue
        relation = "below" if objective.direction == "maximize" else "above"
        unit = f" {found.unit}" if found.unit else ""
        bound = readable(objective.bound or 0.0)
        return f"{objective.metric} {readable(found.value)}{unit} is {relation} the bound {bound}{unit}"
    return None


@cache
def _specification(text: str) -> Any:
    """The specification a worker was given; parsed once per process."""
    from netwright.runs.specification import RunSpecification

    return RunSpecification.parse(json.loads(text))


@contextmanager
def _deadline(limit_s: float) -> Iterator[None]:
    """End this worker process when the block takes longer; the driver sees it die and records a timeout."""
    if os.environ.get("NETWRIGHT_WORKER") != "1":
        yield
        return
    timer = threading.Timer(limit_s, os._exit, args=(TIMEOUT_EXIT,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
