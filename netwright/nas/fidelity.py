"""Fidelity: the axis along which a training is made shorter or smaller, and its rungs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from netwright.core.config import Settings
from netwright.core.errors import ConfigurationError, Mistake
from netwright.core.plugins import field_of
from netwright.core.records import Trial, TrialState
from netwright.nas.promotion import Promotion, is_paused, measured_at

Axis = Literal["epochs", "data", "resolution", "width"]
PromotionField = Annotated[Promotion, *field_of(Promotion)]


class Fidelity(Settings):
    """Cheap results first: every trial begins at a low fidelity, and only the promising ones go on.

    `epochs` goes on from the checkpoint; along the other axes, whose rungs are shares of the whole, a training
    begins anew at each rung.
    """

    axis: Axis = Field(
        default="epochs", description="what is made less: epochs, data (share of samples), resolution, or width"
    )
    rungs: tuple[float, ...] = Field(
        min_length=2, description="fidelities in ascending order: epochs, or shares of the whole that end with 1"
    )
    promotion: PromotionField = Field(
        default="predicted", validate_default=True, description="who goes on to the next rung"
    )
    learn_from: int = Field(
        default=10, ge=1, description="strategies compare trials at the highest rung with so many results"
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.rungs) != sorted(set(self.rungs)) or self.rungs[0] <= 0:
            raise ConfigurationError([Mistake("rungs", f"must ascend from above 0, came {_shown(self.rungs)}")])
        if self.axis == "epochs" and any(rung != int(rung) for rung in self.rungs):
            raise ConfigurationError([Mistake("rungs", f"must be whole epochs, came {_shown(self.rungs)}")])
        if self.axis != "epochs" and self.rungs[-1] != 1:
            what = f"are shares of the whole and must end with 1, came {_shown(self.rungs)}"
            raise ConfigurationError([Mistake("rungs", what)])
        return self

    @property
    def top(self) -> int:
        """The place of the last rung."""
        return len(self.rungs) - 1

    def describe(self, rung: float) -> str:
        """A fidelity in words, such as `3 of 9 epochs`."""
        if self.axis == "epochs":
            return f"{rung:g} of {self.rungs[-1]:g} epochs"
        return f"{100 * rung:g} % of the {self.axis}"


class Comparison:
    """The trials as a strategy should see them: compared at one rung, the highest with enough results.

    Values of different fidelities cannot be compared. Whoever reached that rung counts as done with what was measured
    there; who was left behind counts as stopped. Until a rung has enough results, the first one is taken.
    """

    def __init__(self, fidelity: Fidelity) -> None:
        self._fidelity = fidelity
        self._seen: dict[int, tuple[Trial, float, Trial]] = {}

    def of(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials, each with the values of the rung they are compared at."""
        rung = self.rung(trials)
        return [self._remembered(trial, rung) for trial in trials]

    def rung(self, trials: Sequence[Trial]) -> float:
        """The fidelity at which the trials are compared."""
        for rung in reversed(self._fidelity.rungs):
            if sum(_entry(trial, rung) is not None for trial in trials) >= self._fidelity.learn_from:
                return rung
        return self._fidelity.rungs[0]

    def _remembered(self, trial: Trial, rung: float) -> Trial:
        before = self._seen.get(trial.number)
        if before is None or before[0] is not trial or before[1] != rung:
            self._seen[trial.number] = before = (trial, rung, _told(trial, rung))
        return before[2]


def _told(trial: Trial, rung: float) -> Trial:
    entry = _entry(trial, rung)
    counts = trial.state in (TrialState.DONE, TrialState.RUNNING, TrialState.WAITING) or is_paused(trial)
    if entry is None or not counts or (trial.state is TrialState.DONE and trial.fidelity == rung):
        return trial
    return dataclasses.replace(trial, state=TrialState.DONE, measurements=measured_at(entry), fidelity=rung)


def _entry(trial: Trial, rung: float) -> Mapping[str, Any] | None:
    for entry in trial.rungs:
        if entry["fidelity"] == rung and "measurements" in entry:
            return entry
    return None


def _shown(rungs: Sequence[float]) -> str:
    return "[" + ", ".join(f"{rung:g}" for rung in rungs) + "]"
