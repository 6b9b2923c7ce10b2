"""A search over several fidelities on a table: promotions are decided as in a run, results are recorded ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from netwright.core.records import Measurement, Trial, TrialState
from netwright.nas.benchmarking.goals import Goals
from netwright.nas.benchmarking.searching import PATIENCE, Ending, Paid, Searching, TableSearch, broken_bound
from netwright.nas.benchmarking.table import BenchmarkTable, TableCosts
from netwright.nas.fidelity import Comparison, Fidelity
from netwright.nas.promotion import Begin, EntrantReader, Ladder, Promote, Promotion
from netwright.nas.strategy import Strategy


def search_promoting(
    strategy: Strategy,
    table: BenchmarkTable,
    goals: Goals,
    *,
    promotion: Promotion,
    epochs: int,
    seed: int,
) -> TableSearch:
    """Search until the next training does not fit into so many epochs in all.

    `goals.fidelities` are the rungs below the whole training.
    Every rung is paid for anew, since a table's shorter trainings are trainings of their own: going on from a
    checkpoint would be cheaper. A row that is promoted is paid for once per rung.
    """
    rungs = tuple(float(e) for e in (*(f.epochs for f in goals.fidelities), goals.epochs or 0))
    fidelity = Fidelity(rungs=rungs, promotion=promotion)
    # every rung costs about as much as any other in all
    told = strategy.expecting(int(epochs / (rungs[0] * len(rungs))), rungs=rungs)
    knowing = told.knowing(TableCosts(table, goals.known)) if goals.known else told
    return _Promoting(knowing, table, goals, fidelity, seed=seed).within(epochs)


class _Promoting(Searching):
    """The record of one search while it goes on."""

    def __init__(
        self, strategy: Strategy, table: BenchmarkTable, goals: Goals, fidelity: Fidelity, *, seed: int
    ) -> None:
        super().__init__(strategy, table, goals, seed=seed, stopper=None)
        self._fidelity = fidelity
        self._comparison = Comparison(fidelity)
        self._entrants = EntrantReader(goals.objectives, fidelity.rungs)
        self._exhausted = False

    def told(self) -> Sequence[Trial]:
        return self._comparison.of(self._trials)

    def within(self, epochs: int) -> TableSearch:
        """The search, ended before the first training that does not fit."""
        ended: Ending = "budget"
        idle = 0
        while True:
            move, spent = self._move(), sum(paid.epochs for paid in self._paid)
            if move is None or idle >= PATIENCE:
                ended = "exhausted" if move is None else "absent"
                break
            rung = self._rung_of(move)
            if spent + self._fidelity.rungs[rung] > epochs:
                break
            if isinstance(move, Promote):
                self._train(move.number, rung)
            elif not self._begin(rung):
                self._exhausted = True
            idle = 0 if sum(paid.epochs for paid in self._paid) > spent else idle + 1
        counts = self._asks, self._ask_s, self._known, self._absent
        return TableSearch(tuple(self._paid), *counts, ended, self._refused, unit=self._goals.epochs)

    def _rung_of(self, move: Begin | Promote) -> int:
        """The rung that is to be paid for."""
        if isinstance(move, Begin):
            return move.rung
        return self._fidelity.rungs.index(self._trials[move.number].fidelity) + 1

    def _move(self) -> Begin | Promote | None:
        entrants = self._entrants.read(self._trials)
        ladder = Ladder(
            rungs=self._fidelity.rungs,
            entrants=entrants,
            objectives=self._goals.objectives,
            may_ask=not self._exhausted,
            space=self._table.space,
            trials=self._trials,
        )
        return self._fidelity.promotion.decided(ladder)

    def _begin(self, rung: int) -> bool:
        """Begin a trial of a new architecture; False when none is left."""
        proposed = self._propose()
        if proposed is None:
            return False
        entered = self._entered(*proposed)
        if entered is not None:
            self._trials.append(entered[0])
            self._train(entered[0].number, rung)
        return True

    def _train(self, number: int, rung: int) -> None:
        """Answer a training from the table, and write down what a run would have."""
        trial, whole = self._trials[number], rung == self._fidelity.top
        row = self._table.row(trial.decisions)
        assert row is not None
        epochs = self._fidelity.rungs[rung]
        measured = self._measured(row, rung)
        entry = {
            "fidelity": epochs,
            "step": len(self._paid),
            "measurements": {name: found.to_json() for name, found in measured.items()},
        }
        state = TrialState.DONE if whole else TrialState.STOPPED
        rungs = (*trial.rungs, entry)
        trial = replace(trial, state=state, measurements=measured, fidelity=epochs, rungs=rungs)
        losses = trial.losses(self._goals.objectives)
        if whole and losses is not None and (broken := broken_bound(self._goals, losses, before=False)):
            trial = replace(trial, state=TrialState.INFEASIBLE, reason=broken)
        self._trials[number] = trial
        self._paid.append(Paid(row, int(epochs), whole=whole))

    def _measured(self, row: int, rung: int) -> dict[str, Measurement]:
        objectives, fidelities = self._goals.objectives, self._goals.fidelities
        columns = {objective.metric: objective.metric for objective in objectives}
        if rung < len(fidelities):
            columns[objectives[0].metric] = fidelities[rung].column
        return {
            name: Measurement(metric=name, value=self._table.value(row, column)) for name, column in columns.items()
        }
