"""How a search got on: best values, front and hypervolume after each finished trial."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from netwright.analysis.front import as_losses, reference_point, volume
from netwright.core.records import FINISHED, Objective, Trial, TrialState

Row = dict[str, int | float | None]


def history(
    trials: Sequence[Trial], objectives: Sequence[Objective], reference: Sequence[float] | None = None
) -> list[Row]:
    """One row per finished trial, in order of number: what the search had found by then.

    Keys: `number`, `best_<metric>` for every objective (None before the first candidate), `front_size`,
    `hypervolume`. The reference point is the same in all rows (by default `reference_point` of all trials),
    so the hypervolume never falls. The front is carried along: its work grows with the size of the front, not
    with its square.
    """
    point = reference_point(trials, objectives) if reference is None else tuple(reference)
    front = _front(as_losses(point, objectives)) if point is not None else None
    best: list[float | None] = [None] * len(objectives)
    seen: set[str] = set()
    rows: list[Row] = []
    for trial in sorted(trials, key=lambda t: t.number):
        if trial.state not in FINISHED:
            continue
        losses = trial.losses(objectives)
        usable = trial.state is TrialState.DONE and trial.feasible(objectives)
        if usable and losses is not None and front is not None and trial.identity not in seen:
            seen.add(trial.identity)
            front.add(losses)
            best = [loss if old is None else min(old, loss) for old, loss in zip(best, losses, strict=True)]
        rows.append(_row(trial.number, objectives, best, front))
    return rows


def turning_points(rows: Sequence[Row]) -> list[Row]:
    """The rows where anything changed, with the first and the last: enough to draw the same step line."""
    kept = []
    for index, row in enumerate(rows):
        before = rows[index - 1] if index else None
        same = before is not None and all(row[key] == before[key] for key in row if key != "number")
        if not same or index == len(rows) - 1:
            kept.append(row)
    return kept


def _row(number: int, objectives: Sequence[Objective], best: Sequence[float | None], front: _Front | None) -> Row:
    row: Row = {"number": number}
    for objective, loss in zip(objectives, best, strict=True):
        row[f"best_{objective.metric}"] = None if loss is None else objective.loss(loss)
    row["front_size"] = front.size if front else 0
    row["hypervolume"] = front.volume if front else 0.0
    return row


class _Front(Protocol):
    """A front that grows point by point; smaller is better."""

    size: int
    volume: float

    def add(self, point: tuple[float, ...]) -> None: ...


def _front(reference: tuple[float, ...]) -> _Front:
    return _PlaneFront(reference) if len(reference) == 2 else _AnyFront(reference)


class _PlaneFront:
    """Two objectives: the front sorted by the first is a staircase, so a new point touches its neighbours only."""

    def __init__(self, reference: tuple[float, ...]) -> None:
        self._reference = reference
        self._steps: list[tuple[float, ...]] = []
        self._count: dict[tuple[float, ...], int] = {}
        self.size = 0
        self.volume = 0.0

    def add(self, point: tuple[float, ...]) -> None:
        if point in self._count:
            self._count[point] += 1
            self.size += 1
            return
        place = bisect_left(self._steps, point)
        if place and self._steps[place - 1][1] <= point[1]:
            return
        end = place
        while end < len(self._steps) and self._steps[end][1] >= point[1]:
            end += 1
        self.volume += self._gain(point, place, end)
        for beaten in self._steps[place:end]:
            self.size -= self._count.pop(beaten)
        del self._steps[place:end]
        insort(self._steps, point)
        self._count[point] = 1
        self.size += 1

    def _gain(self, point: tuple[float, ...], place: int, end: int) -> float:
        """The area that the point covers and no step covers yet, strip by strip to the right of it."""
        right, top = self._reference
        height = min(self._steps[place - 1][1], top) if place else top
        left = point[0]
        gain = 0.0
        for step in [*self._steps[place:end], (self._steps[end][0] if end < len(self._steps) else right, 0.0)]:
            edge = min(step[0], right)
            gain += max(0.0, edge - left) * max(0.0, height - point[1])
            left, height = max(left, edge), min(height, step[1])
        return gain


class _AnyFront:
    """Any number of objectives: points are compared with the front at once, the volume only when it changes."""

    def __init__(self, reference: tuple[float, ...]) -> None:
        self._reference = reference
        self._points = np.empty((0, len(reference)))
        self.size = 0
        self.volume = 0.0

    def add(self, point: tuple[float, ...]) -> None:
        new = np.asarray(point)
        no_better = self._points <= new
        covering = no_better.all(axis=1)
        equal = (self._points == new).all(axis=1)
        if (covering & ~equal).any():
            return
        beaten = (self._points >= new).all(axis=1) & ~equal
        self._points = np.vstack([self._points[~beaten], new])
        self.size = len(self._points)
        if not equal.any():
            self.volume = max(self.volume, volume(self._points, self._reference))
