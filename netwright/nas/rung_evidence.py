"""What was measured at every fidelity, for models that learn from all of them together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache

from netwright.core.records import Objective, Trial, TrialState
from netwright.nas.evidence import PENDING, Evidence, gather
from netwright.nas.promotion import is_paused, measured_at

TELLING = frozenset({TrialState.DONE, TrialState.INFEASIBLE, *PENDING})


def by_rung(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[list[Evidence]]:
    """The evidence at every fidelity that was reached, the lowest first; one list where there is a single one.

    The last list is what `gather` gives where no trial ever paused. A trial that failed says nothing.
    """
    reached = _reader().read(trials)
    fidelities = sorted({fidelity for fidelity, _ in reached})
    if len(fidelities) < 2 and not any(is_paused(trial) for trial in trials):
        return [gather(trials, objectives)]
    found = []
    for fidelity in fidelities:
        there = gather([trial for at, trial in reached if at == fidelity], objectives)
        found.append(there)
    return found


class _Reader:
    """Reads a growing record, and each of its trials once."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Trial, list[tuple[float, Trial]]]] = {}

    def read(self, trials: Sequence[Trial]) -> list[tuple[float, Trial]]:
        """Every fidelity that a trial reached, with the trial as it was there."""
        seen = self._seen
        # an id is as good as the trial here: every trial in the memo is kept alive by it
        self._seen = {id(trial): seen.get(id(trial)) or (trial, _reached(trial)) for trial in trials}
        return [one for _, found in self._seen.values() for one in found]


@lru_cache(maxsize=1)
def _reader() -> _Reader:
    return _Reader()


def _reached(trial: Trial) -> list[tuple[float, Trial]]:
    if trial.state not in TELLING and not is_paused(trial):
        return []
    found = []
    for entry in trial.rungs:
        if "measurements" in entry:
            last = trial.state is TrialState.INFEASIBLE and entry is trial.rungs[-1]
            state = TrialState.INFEASIBLE if last else TrialState.DONE
            fidelity = float(entry["fidelity"])
            told = dataclasses.replace(trial, state=state, measurements=measured_at(entry), fidelity=fidelity)
            found.append((fidelity, told))
    return found
