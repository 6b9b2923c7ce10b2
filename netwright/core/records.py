"""What is recorded: measurements, objectives and trials, as frozen values that are plain JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from netwright.core.config import Settings

Scalar = bool | int | float | str
Decisions = Mapping[str, Scalar | tuple[Scalar, ...] | list[Scalar]]
"""An architecture: decision name -> value."""

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measured value with its unit, how it was measured and how far it spreads.

    `value` is finite, or None with a `reason`. `spread` is the inter-quartile range, in the same unit.
    """

    metric: str
    value: float | None
    unit: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    spread: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            object.__setattr__(self, "reason", self.reason or f"not finite: {self.value}")
            object.__setattr__(self, "value", None)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        return cls(**data)


class Objective(Settings):
    """A metric to optimise: its direction and an optional hard bound (a floor when maximised)."""

    metric: str = Field(description="name of a metric; see `netwright list metrics`")
    direction: Direction | None = Field(default=None, description="default: the metric's own")
    bound: float | None = Field(default=None, description="at most this (minimise) or at least this (maximise)")

    def satisfied_by(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        if self.bound is None:
            return True
        return value >= self.bound if self.direction == "maximize" else value <= self.bound

    def loss(self, value: float) -> float:
        """The value with its sign turned so that smaller is better."""
        return -value if self.direction == "maximize" else value


ACCURACY = Objective(metric="accuracy", direction="maximize")
"""What models are judged by where nothing else is said."""


class TrialState(StrEnum):
    """Where a trial stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    STOPPED = "stopped"


FINISHED = frozenset({TrialState.DONE, TrialState.FAILED, TrialState.INFEASIBLE, TrialState.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An architecture and all that is known of it.

    `fidelity` is the number of epochs it was trained for, or how far along another axis the search declares;
    `curve` has one row per epoch, `artifacts` maps a role such as `weights` to the hash of a stored object.
    `rungs` has one entry per fidelity it was sent to: which one, and once it is reached what was measured there.
    """

    number: int
    decisions: Decisions
    identity: str
    state: TrialState
    seed: int = 0
    fidelity: float = 0.0
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    curve: Sequence[Mapping[str, float]] = ()
    reason: str = ""
    origin: str = ""
    seconds: float = 0.0
    started: str = ""
    ended: str = ""
    artifacts: Mapping[str, str] = field(default_factory=dict)
    rungs: Sequence[Mapping[str, Any]] = ()

    def value(self, metric: str) -> float | None:
        """The measured value of a metric, or None when it is absent."""
        found = self.measurements.get(metric)
        return None if found is None else found.value

    def losses(self, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
        """The objectives as values where smaller is better, or None when any is absent."""
        values = [self.value(objective.metric) for objective in objectives]
        if any(value is None for value in values):
            return None
        return tuple(o.loss(v) for o, v in zip(objectives, values, strict=True) if v is not None)

    def feasible(self, objectives: Sequence[Objective]) -> bool:
        """Whether every objective is known and keeps its bound."""
        values = [(objective, self.value(objective.metric)) for objective in objectives]
        return all(value is not None and objective.satisfied_by(value) for objective, value in values)

    def to_json(self) -> dict[str, Any]:
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data["state"] = str(self.state)
        data["decisions"] = dict(self.decisions)
        data["measurements"] = {name: m.to_json() for name, m in self.measurements.items()}
        data["curve"] = [dict(row) for row in self.curve]
        data["artifacts"] = dict(self.artifacts)
        data["rungs"] = [dict(entry) for entry in self.rungs]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trial:
        measurements = {name: Measurement.from_json(m) for name, m in data.get("measurements", {}).items()}
        return cls(**{**data, "state": TrialState(data["state"]), "measurements": measurements})
