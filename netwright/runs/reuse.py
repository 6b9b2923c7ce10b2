"""The result cache across runs: what another run measured in the same way is not paid for again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netwright.core.errors import CheckpointError
from netwright.core.files import content_hash, write_atomic
from netwright.core.identity import identity_of
from netwright.core.plugins import build
from netwright.core.records import Trial, TrialState
from netwright.evaluation.latency import LatencyProtocol
from netwright.evaluation.machine import this_machine
from netwright.nas.promotion import is_paused
from netwright.runs.artifacts import Artifacts
from netwright.runs.executor import checkpoint_of
from netwright.runs.view import RunView, is_foreign, open_run
from netwright.tasks.settings import Training

BEFORE = -1
"""The step of what was known before the search began."""


def measured_before(specification: Mapping[str, Any], *, data: str, runs: tuple[Path, ...]) -> dict[str, Known]:
    """Finished trials of other runs by architecture, of those runs alone that measured in the same way.

    The same way means equal data, settings of task and training, repeats, seed, device and latency protocol, and for
    a latency this machine's CPU. A trial that was trained in full is known whatever its run's rungs were; one paused
    at a rung only where the rungs are the same.
    Raises RunError for a path that is no run.
    """
    wanted, rungs = way_of(specification, data=data), _rungs(specification)
    done: dict[str, Known] = {}
    paused: dict[str, Known] = {}
    for path in runs:
        view = open_run(path)
        if way_of(view.specification, data=str(view.environment.get("data"))) != wanted:
            continue
        same = _rungs(view.specification) == rungs
        for trial in filter(_timed_here, view.trials):
            if trial.state is TrialState.DONE:
                done.setdefault(trial.identity, Known(view, trial, same_rungs=same))
            elif same and is_paused(trial):
                paused.setdefault(trial.identity, Known(view, trial))
    return paused | done


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """A finished trial of another run."""

    run: RunView
    trial: Trial
    same_rungs: bool = True

    def as_trial(self, asked: Trial, *, folder: Path) -> Trial | None:
        """The asked trial with everything the known one measured, its weights copied; None when they are lost.

        The checkpoint of a paused one comes along, so that it can go on.
        """
        source, target = Artifacts(self.run.path), Artifacts(folder)
        try:
            artifacts = {role: target.put(source.get(digest)) for role, digest in self.trial.artifacts.items()}
        except CheckpointError:
            return None
        if is_paused(self.trial):
            self._copy_checkpoint(asked, folder)
        return dataclasses.replace(
            asked,
            state=self.trial.state,
            reason=self.trial.reason,
            # what the decisions alone tell is this run's: another one may have predicted from another device's table
            measurements={**self.trial.measurements, **asked.measurements},
            curve=self.trial.curve,
            fidelity=self.trial.fidelity,
            artifacts=artifacts,
            origin=f"{asked.origin}; known from trial {self.trial.number} of {self.run.path.name}",
            ended=asked.started,
            rungs=[{**entry, "step": BEFORE} for entry in self.trial.rungs] if self.same_rungs else (),
        )

    def _copy_checkpoint(self, asked: Trial, folder: Path) -> None:
        """A checkpoint that is gone costs its epochs again, and nothing else."""
        source, target = checkpoint_of(self.run.path, self.trial.number), checkpoint_of(folder, asked.number)
        if source.is_file():
            write_atomic(target, source.read_bytes())


def way_of(specification: Mapping[str, Any], *, data: str) -> str:
    """Equal for specifications whose trials are measured in the same way on the data of a fingerprint."""
    search = specification["search"]
    # A run made before a setting existed was measured with its default.
    training = {**Training().model_dump(mode="json"), **search["training"]}
    latency = {**LatencyProtocol.screening().model_dump(mode="json"), **search["latency"]}
    parts = {"data": data, "training": training, "latency": latency, "repeats": search.get("repeats", 1)}
    parts["task"] = _task_settings(specification["task"])
    return content_hash({**parts, "seed": specification["seed"], "device": specification.get("device")})


def _task_settings(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a task is set to, apart from where its data lie; one that is not imported yet counts as it is written."""
    if is_foreign(task):
        return task
    return {name: value for name, value in identity_of(build("task", task)).items() if not isinstance(value, Path)}


def _timed_here(trial: Trial) -> bool:
    """Whether every latency of a trial was measured on a CPU like this one."""
    here = this_machine()
    timed = [found.protocol for found in trial.measurements.values() if "isa" in found.protocol]
    return all((one["cpu"], tuple(one["isa"])) == (here.cpu, here.isa) for one in timed)


def _rungs(specification: Mapping[str, Any]) -> tuple[str, list[float]] | None:
    fidelity = specification["search"].get("fidelity")
    return None if fidelity is None else (fidelity["axis"], list(fidelity["rungs"]))
