"""The executor: where trials run. It pulls work from the search and hands back what came of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from netwright.core.plugins import Plugin
from netwright.core.records import Measurement, TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialJob:
    """All a worker needs to run one trial; plain data, so that it travels to any process.

    `rung` is the fidelity to train at, and `final` whether it is the last one. `reported` is the number of epochs of
    this training that are on record already, `known` has what was measured of the trial before.
    """

    number: int
    attempt: int
    decisions: Mapping[str, Any]
    identity: str
    seed: int
    specification: Mapping[str, Any]
    folder: Path
    limit_s: float
    threads: int = 1
    rung: float | None = None
    final: bool = True
    reported: int = 0
    known: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attempt. `kind` is one of ok, error, out of memory, timeout, killed, node lost,
    not finite, interrupted.
    """

    state: TrialState
    kind: str = "ok"
    reason: str = ""
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    fidelity: float = 0.0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "state": str(self.state),
            "kind": self.kind,
            "reason": self.reason,
            "measurements": {name: m.to_json() for name, m in self.measurements.items()},
            "artifacts": dict(self.artifacts),
            "fidelity": self.fidelity,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        measurements = {name: Measurement.from_json(m) for name, m in data["measurements"].items()}
        return cls(**{**data, "state": TrialState(data["state"]), "measurements": measurements})


def lost(kind: str, reason: str, *, seconds: float = 0.0) -> Outcome:
    """The outcome of an attempt whose worker did not live to tell."""
    return Outcome(state=TrialState.FAILED, kind=kind, reason=reason, seconds=seconds)


def checkpoint_of(folder: Path, number: int, *, part: str = "") -> Path:
    """Where in a run folder a trial's training keeps its state; `part` tells apart trainings of one trial."""
    return folder / "scratch" / "trials" / f"{number:06d}{part}"


NOT_PROMISING = "not promising enough to train on"


def stopped_early(*, seconds: float = 0.0) -> Outcome:
    """The outcome of a trial that the search ended because it was not promising."""
    return Outcome(state=TrialState.STOPPED, reason=NOT_PROMISING, seconds=seconds)


class Work(Protocol):
    """The search as an executor sees it. Only the driver's thread calls these."""

    def next_job(self) -> TrialJob | None:
        """The next trial to run, or None when there is none to start now."""
        ...

    def report(self, number: int, row: Mapping[str, Any]) -> bool:
        """Take one epoch's row; False when the trial is not worth another epoch."""
        ...

    def finish(self, number: int, outcome: Outcome) -> None:
        """Take what came of a trial's attempt."""
        ...

    def loss(self, number: int) -> float | None:
        """A trial's loss by the objective that chooses the winner, as far as it is known: smaller is better."""
        ...


class Executor(Plugin):
    """Runs trials until the search has no more work."""

    workers: int = Field(default=1, ge=1, description="trials at a time")
    threads: int = Field(default=1, ge=1, description="CPU threads of each trial")

    @property
    def judges(self) -> bool:
        """Whether it may end trials itself, by the one objective that chooses the winner."""
        return False

    @abstractmethod
    def run(self, work: Work, *, scratch: Path) -> None:
        """Pull jobs, run them, report them; return when no job is left and none is running.

        `scratch` is a folder for the executor's own files; what an executor writes there is never read back.
        """
