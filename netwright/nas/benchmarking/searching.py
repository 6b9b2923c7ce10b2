"""A search on a table: what the search loop does with a strategy, with recorded results instead of trainings.

Proposals come as in a real run: the strategy sees the recorded trials, its generator is seeded for each ask from
(seed, number of recorded trials), and an architecture that is on record is never taken again.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import process_time
from typing import Any, Literal

from netwright.core.records import Decisions, Measurement, Objective, Trial, TrialState
from netwright.core.seeds import generator
from netwright.nas.benchmarking.goals import Goals
from netwright.nas.benchmarking.peer import Peer
from netwright.nas.benchmarking.table import BenchmarkTable, TableCosts
from netwright.nas.leftover import ORIGIN, all_of
from netwright.nas.ranking import dominates
from netwright.nas.stopper import Stopper
from netwright.nas.strategy import Proposal, Strategy

ASKS, DRAWS = 20, 200
"""How often a run asks for a new architecture, and then draws one at random, before it lists those of a small space."""
PATIENCE = 2000
"""Proposals in a row that cost nothing, being absent or known, after which a search ends."""
AGAIN = 10
"""A peer with a cache may ask so many times its budget for what was paid for; its asks last longer and longer."""

Ending = Literal["budget", "exhausted", "absent", "repeats"]


@dataclass(frozen=True, slots=True)
class Paid:
    """A row that was paid for: the epochs it took, and whether it was trained to the end."""

    row: int
    epochs: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class TableSearch:
    """One search: what it paid for in order, and what it asked for besides.

    `asks` counts proposals and `ask_s` the CPU seconds they took, `known` those that were on record and cost nothing,
    `absent` those that the table has no results of (also where the nearest row answered), `refused` those that break a
    bound on what is known before they are paid for. `ended` says why it ended: the budget was used, nothing new was
    left, or too many proposals in a row were absent or known.
    """

    paid: tuple[Paid, ...]
    asks: int
    ask_s: float
    known: int
    absent: int
    ended: Ending
    refused: int = 0
    unit: int | None = None
    """With promotions: the epochs of a whole training, as which payments are counted; else each counts as one."""

    @property
    def payments(self) -> float:
        """How many trainings were paid for; with promotions, how many whole ones cost as much."""
        return len(self.paid) if self.unit is None else sum(paid.epochs for paid in self.paid) / self.unit

    @property
    def repeats(self) -> int:
        """Payments for a row that was paid for before at the same fidelity."""
        return len(self.paid) - len({(paid.row, paid.epochs) for paid in self.paid})


def search_table(
    strategy: Strategy,
    table: BenchmarkTable,
    goals: Goals,
    *,
    budget: int,
    seed: int,
    stopper: Stopper | None = None,
    epochs: int | None = None,
) -> TableSearch:
    """Search until `budget` architectures are paid for, or the `epochs` in all; see `TableSearch.ended`.

    With a stopper every shorter training in `goals` is a point where it may end a trial.
    """
    told = strategy.expecting(budget)
    knowing = told.knowing(TableCosts(table, goals.known)) if goals.known else told
    return Searching(knowing, table, goals, seed=seed, stopper=stopper).run(budget, epochs)


def search_with_peer(peer: Peer, table: BenchmarkTable, goals: Goals, *, budget: int, cache: bool) -> TableSearch:
    """The same with another library's own ask and tell.

    With `cache` a row that was paid for is told again for nothing, until none is left or ten times the budget were told
    so; without, it is paid for as often as asked for.
    """
    paid: list[Paid] = []
    seen: set[str] = set()
    asks = known = absent = refused = moved = idle = 0
    spent = 0.0
    while len(paid) < budget and idle < PATIENCE:
        if cache and (len(seen) == len(table.complete) or known >= AGAIN * budget):
            break
        began = process_time()
        decisions = peer.ask()
        spent += process_time() - began
        asks += 1
        losses, row, _ = _answer(table, goals, decisions)
        if row is None and decisions is not None and (near := table.nearest(decisions)) is not None:
            moved += 1
            decisions = table.decisions(near)
            losses, row, _ = _answer(table, goals, decisions)
        if losses is not None and broken_bound(goals, losses, before=True):
            losses = row = None
            refused += 1
        name = "" if row is None else table.identity(decisions or {})
        free = row is None or (cache and name in seen)
        absent += row is None
        known += row is not None and name in seen
        idle = idle + 1 if free else 0
        if row is not None and not free:
            paid.append(Paid(row, goals.epochs or 0))
            seen.add(name)
        began = process_time()
        peer.tell(losses)
        spent += process_time() - began
    used_up = cache and len(seen) == len(table.complete)
    ended: Ending = "budget" if len(paid) >= budget else "exhausted" if used_up else "repeats"
    return TableSearch(tuple(paid), asks, spent, known, absent - refused + moved, ended, refused)


def broken_bound(goals: Goals, losses: Sequence[float], *, before: bool) -> str:
    """What bound these losses break, in words; `before` looks at what is known before payment alone."""
    for objective, loss in zip(goals.objectives, losses, strict=True):
        value = objective.loss(loss)
        if (objective.metric in goals.known or not before) and not objective.satisfied_by(value):
            return f"{objective.metric} is {value:g}, the bound {objective.bound:g}"
    return ""


def _answer(
    table: BenchmarkTable, goals: Goals, decisions: Decisions | None
) -> tuple[tuple[float, ...] | None, int | None, str]:
    """Losses and row for the decisions, or None and the reason why the table has none."""
    row = None if decisions is None else table.row(decisions)
    if row is None:
        return None, None, f"{table.name} has no such architecture"
    values = [table.value(row, column) for column in goals.columns]
    if any(value is None for value in values):
        column = goals.columns[values.index(None)]
        return None, None, f"{table.name} has no {column} of this architecture"
    found = zip(goals.objectives, values, strict=False)
    return tuple(o.loss(v) for o, v in found if v is not None), row, ""


class Searching:
    """The record of one search while it goes on."""

    def __init__(
        self, strategy: Strategy, table: BenchmarkTable, goals: Goals, *, seed: int, stopper: Stopper | None
    ) -> None:
        self._strategy = strategy
        self._table = table
        self._goals = goals
        self._seed = seed
        self._stopper = stopper
        self._trials: list[Trial] = []
        self._identities: set[str] = set()
        self._taken: set[int] = set()
        self._usable = frozenset(table.complete)
        self._curves: list[dict[int, float]] = []
        self._paid: list[Paid] = []
        self._asks = self._known = self._absent = self._refused = 0
        self._ask_s = 0.0

    def run(self, budget: int, epochs: int | None) -> TableSearch:
        ended: Ending = "budget"
        idle = 0
        while len(self._paid) < budget and (epochs is None or sum(p.epochs for p in self._paid) < epochs):
            proposed = self._propose()
            if proposed is None or idle >= PATIENCE:
                ended = "exhausted" if proposed is None else "absent"
                break
            before = len(self._paid)
            self._record(*proposed)
            idle = 0 if len(self._paid) > before else idle + 1
        return TableSearch(tuple(self._paid), self._asks, self._ask_s, self._known, self._absent, ended, self._refused)

    def _propose(self) -> tuple[Proposal, str] | None:
        """A proposal that is not on record, with its identity; None when none is left."""
        number = len(self._trials)
        for draw in range(ASKS + DRAWS):
            rng = generator(self._seed, "ask", number, draw)
            if draw < ASKS:
                proposal = self._asked(rng)
            else:
                proposal = Proposal(self._table.space.sample(rng), "random, the strategy repeats itself")
            if self._table.absent == "nearest" and self._table.row(proposal.decisions) not in self._usable:
                moved = self._table.moved(proposal.decisions, taken=self._taken)
                if moved is None:
                    return None
                self._absent += 1
                proposal = Proposal(moved, f"{proposal.origin}, moved to the nearest row")
            identity = self._table.identity(proposal.decisions)
            if identity not in self._identities:
                return proposal, identity
            self._known += draw < ASKS
        for key in all_of(self._table.space):
            if (identity := self._table.identity(dict(key))) not in self._identities:
                return Proposal(dict(key), ORIGIN), identity
        return None

    def told(self) -> Sequence[Trial]:
        """The trials as the strategy sees them."""
        return self._trials

    def _asked(self, rng: random.Random) -> Proposal:
        """What the strategy proposes, its time counted without that for nearest rows."""
        began, looked = process_time(), self._table.looked_s
        proposal = self._strategy.proposed(self._table.space, self.told(), self._goals.objectives, rng)
        self._ask_s += process_time() - began - (self._table.looked_s - looked)
        self._asks += 1
        return proposal

    def _record(self, proposal: Proposal, identity: str) -> None:
        """Answer a proposal from the table, and write down what a run would have."""
        entered = self._entered(proposal, identity)
        if entered is None:
            return
        trial, row, losses = entered
        trial, curve, paid = self._trained(trial, row, losses)
        broken = broken_bound(self._goals, losses, before=False)
        if broken and trial.state is TrialState.DONE:
            trial = replace(trial, state=TrialState.INFEASIBLE, reason=broken)
        self._trials.append(trial)
        self._curves.append(curve)
        self._paid.append(paid)

    def _entered(self, proposal: Proposal, identity: str) -> tuple[Trial, int, tuple[float, ...]] | None:
        """The trial of a proposal with its row and its losses; None for what cannot be paid for, which is recorded."""
        trial = Trial(
            number=len(self._trials),
            decisions=proposal.decisions,
            identity=identity,
            state=TrialState.FAILED,
            origin=proposal.origin,
        )
        losses, row, reason = _answer(self._table, self._goals, proposal.decisions)
        self._identities.add(identity)
        if row is not None:
            self._taken.add(row)
        if losses is None or row is None:
            self._absent += 1
            self._trials.append(replace(trial, reason=reason))
            return None
        refused = broken_bound(self._goals, losses, before=True)
        if refused:
            self._refused += 1
            self._trials.append(self._not_trained(trial, losses, refused))
            return None
        return trial, row, losses

    def _not_trained(self, trial: Trial, losses: Sequence[float], reason: str) -> Trial:
        """A trial that breaks a bound before it is paid for, with what is known of it."""
        values = {
            o.metric: o.loss(loss)
            for o, loss in zip(self._goals.objectives, losses, strict=True)
            if o.metric in self._goals.known
        }
        return replace(_told(trial, TrialState.INFEASIBLE, values, 0), reason=reason)

    def _trained(self, trial: Trial, row: int, losses: Sequence[float]) -> tuple[Trial, dict[int, float], Paid]:
        """The trial after its training, which the stopper may have ended at one of the shorter ones."""
        goals, first = self._goals, self._goals.objectives[0]
        values = {o.metric: o.loss(loss) for o, loss in zip(goals.objectives, losses, strict=True)}
        curve: dict[int, float] = {}
        for fidelity in goals.fidelities:
            value = self._table.value(row, fidelity.column)
            assert value is not None
            curve[fidelity.epochs] = first.loss(value)
            if not self._keeps_going(fidelity.epochs, (first.loss(value), *losses[1:])):
                short = _told(trial, TrialState.STOPPED, {**values, first.metric: value}, fidelity.epochs)
                return _with_curve(short, first, curve), curve, Paid(row, fidelity.epochs, whole=False)
        whole = goals.epochs or 0
        done = _told(trial, TrialState.DONE, values, whole)
        if curve:
            curve[whole or max(curve) + 1] = losses[0]
        return _with_curve(done, first, curve), curve, Paid(row, whole)

    def _keeps_going(self, epochs: int, losses: tuple[float, ...]) -> bool:
        return self._stopper is None or self._stopper.keep_going(
            epoch=epochs, value=losses[0], history=self._curves, protected=self._protected(losses)
        )

    def _protected(self, losses: tuple[float, ...]) -> bool:
        """Whether a trial with these losses would stand on the front as it is now."""
        if len(losses) < 2:
            return False
        done = (t.losses(self._goals.objectives) for t in self._trials if t.state is TrialState.DONE)
        return not any(dominates(other, losses) for other in done if other is not None)


def _told(trial: Trial, state: TrialState, values: Mapping[str, float], epochs: int) -> Trial:
    measurements = {name: Measurement(metric=name, value=value) for name, value in values.items()}
    return replace(trial, state=state, measurements=measurements, fidelity=float(epochs))


def _with_curve(trial: Trial, objective: Objective, curve: Mapping[int, float]) -> Trial:
    if not curve:
        return trial
    rows: list[dict[str, Any]] = [
        {"epoch": epoch, f"validation_{objective.metric}": objective.loss(loss)} for epoch, loss in curve.items()
    ]
    return replace(trial, curve=tuple(rows))
