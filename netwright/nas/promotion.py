"""The promotion rule: which trial goes on to the next fidelity, and when a new one begins instead."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil

from pydantic import Field

from netwright.core.errors import NetwrightError
from netwright.core.plugins import Plugin, name_of
from netwright.core.records import Measurement, Objective, Trial, TrialState
from netwright.search_spaces.space import SearchSpace

UNKNOWN = float("inf")
"""The loss of what was not measured."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What a trial is worth at one rung: a loss per objective, and by how much bounds are broken (0: all kept)."""

    losses: tuple[float, ...]
    violation: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A trial that is or was in training. `rung` is the last one it was sent to, `results` what it reached there
    and before; `paused` says that it stands at its last rung and may go on.
    """

    number: int
    start: int
    rung: int
    paused: bool
    running: bool = False
    results: Mapping[int, Reached] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it: done, failed, or stopped between two rungs."""
        return not self.paused and not self.running


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The state of a search over several fidelities, as a rule sees it: read from the record and nothing else.

    `rungs` are the fidelities in ascending order, `may_ask` says whether a new trial may begin. Entrants are in the
    order of their numbers; architectures that were never trained are not among them. `trials` are the recorded
    trials behind them, and `space` is where their decisions are from.
    """

    rungs: Sequence[float]
    entrants: Sequence[Entrant]
    objectives: Sequence[Objective]
    may_ask: bool
    space: SearchSpace
    trials: Sequence[Trial]

    @property
    def top(self) -> int:
        """The place of the last rung, counted from 0."""
        return len(self.rungs) - 1

    @cached_property
    def closing(self) -> bool:
        """Whether no further result will come unless a trial is promoted."""
        return not self.may_ask and not any(entrant.running for entrant in self.entrants)

    def at(self, rung: int) -> list[Entrant]:
        """Those with a result at a rung."""
        return [entrant for entrant in self.entrants if rung in entrant.results]


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin a new trial at this rung."""

    rung: int = 0


@dataclass(frozen=True, slots=True)
class Promote:
    """Send a paused trial on to its next rung."""

    number: int


class Promotion(Plugin):
    """Decides what is trained next; its fields are its settings, and it keeps no state."""

    eta: int | None = Field(
        default=None, ge=2, description="one in so many goes on; default: how many times as much the next rung costs"
    )

    def one_in(self, ladder: Ladder, rung: int) -> int:
        """One in so many goes on from a rung: by default every rung costs about as much as any other in all."""
        return self.eta or max(2, round(ladder.rungs[rung + 1] / ladder.rungs[rung]))

    def decided(self, ladder: Ladder) -> Begin | Promote | None:
        """What `next` answers; raises NetwrightError where that cannot be done."""
        move: object = self.next(ladder)
        if move is None:
            return None
        if isinstance(move, Begin) and ladder.may_ask and move.rung in range(ladder.top + 1):
            return move
        able = [entrant.number for entrant in ladder.entrants if entrant.paused and entrant.rung < ladder.top]
        if isinstance(move, Promote) and move.number in able:
            return move
        new = f"Begin(rung) with a rung from 0 to {ladder.top}, " if ladder.may_ask else ""
        old = f"Promote(number) of a paused trial, such as {able[0]}, " if able else ""
        expected = f"expected {new}{old}or None, as nothing else can be done here"
        raise NetwrightError(f"`next` of the promotion {name_of(self)!r} answered {move!r:.100}; {expected}")

    @abstractmethod
    def next(self, ladder: Ladder) -> Begin | Promote | None:
        """The next thing to do; None to wait for what runs, or, when nothing runs, to end the search.

        `Begin` only when `ladder.may_ask`, `Promote` only for a paused entrant. Equal ladders give equal answers.
        When `ladder.closing`, somebody should be promoted as long as nobody has reached the top.
        """


class AsynchronousPromotion(Promotion):
    """Promotes the best 1/eta of every rung, higher rungs first; nobody waits for others (Li et al., 2020).

    Where nobody may be promoted, a new trial begins. Once all have begun, the best of every rung go on until somebody
    has reached the top.
    """

    @abstractmethod
    def order(self, entrants: Sequence[Entrant], *, rung: int) -> list[Entrant]:
        """Those with a result at a rung, from the best to the worst."""

    def next(self, ladder: Ladder) -> Begin | Promote | None:
        for rung in reversed(range(ladder.top)):
            there = ladder.at(rung)
            share = len(there) / self.one_in(ladder, rung)
            places = ceil(share) if ladder.closing else int(share)
            for entrant in self.order(there, rung=rung)[:places]:
                if entrant.paused and entrant.rung == rung:
                    return Promote(entrant.number)
        return Begin() if ladder.may_ask else None


def first_looks(rungs: Sequence[float]) -> int:
    """So many short trainings as two full ones cost, from 10 to 30: what a model of several rungs begins with."""
    return min(max(round(2 * rungs[-1] / rungs[0]), 10), 30)


class EntrantReader:
    """Reads trials as entrants; what was read of a trial is remembered for as long as the trial is the same."""

    def __init__(self, objectives: Sequence[Objective], rungs: Sequence[float]) -> None:
        self._objectives = objectives
        self._places = {fidelity: place for place, fidelity in enumerate(rungs)}
        self._seen: dict[int, tuple[Trial, Entrant | None]] = {}

    def read(self, trials: Sequence[Trial]) -> list[Entrant]:
        """The trials that were sent to a rung; an objective that was not measured counts as infinitely bad."""
        for trial in trials:
            if trial.number not in self._seen or self._seen[trial.number][0] is not trial:
                self._seen[trial.number] = (trial, self._entrant(trial))
        return [found for trial in trials if (found := self._seen[trial.number][1]) is not None]

    def _entrant(self, trial: Trial) -> Entrant | None:
        sent = [(self._places[e["fidelity"]], e) for e in trial.rungs if e["fidelity"] in self._places]
        if not sent:
            return None
        return Entrant(
            number=trial.number,
            start=sent[0][0],
            rung=sent[-1][0],
            paused=is_paused(trial),
            running=trial.state in (TrialState.RUNNING, TrialState.WAITING),
            results={place: _reached(entry, self._objectives) for place, entry in sent if "measurements" in entry},
        )


def is_paused(trial: Trial) -> bool:
    """Whether a stopped trial stands at a rung, from which it may be promoted."""
    return trial.state is TrialState.STOPPED and bool(trial.rungs) and "measurements" in trial.rungs[-1]


def measured_at(entry: Mapping[str, object]) -> dict[str, Measurement]:
    """The measurements of a rung's entry."""
    stored = entry.get("measurements") or {}
    assert isinstance(stored, Mapping)
    return {name: Measurement.from_json(found) for name, found in stored.items()}


def _reached(entry: Mapping[str, object], objectives: Sequence[Objective]) -> Reached:
    measured = measured_at(entry)
    losses, violation = [], 0.0
    for objective in objectives:
        value = measured[objective.metric].value if objective.metric in measured else None
        losses.append(UNKNOWN if value is None else objective.loss(value))
        if value is not None and objective.bound is not None:
            beyond = objective.loss(value) - objective.loss(objective.bound)
            violation += max(beyond, 0.0) / (abs(objective.bound) or 1.0)
    return Reached(tuple(losses), violation)
