"""What searches on a table were worth: best value, regret and hypervolume, at the end and along the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from statistics import mean, stdev
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

from netwright.analysis.front import volume
from netwright.core.errors import DataError
from netwright.core.records import Objective
from netwright.nas.benchmarking.goals import Goals
from netwright.nas.benchmarking.searching import TableSearch
from netwright.nas.benchmarking.table import BenchmarkTable

Array = NDArray[np.float64]
MILESTONES = (1, 2, 5, 10, 20, 50, 100, 150, 200, 300, 400, 500, 1000, 2000, 5000)
RESAMPLES = 1000
CLOSE = 1e-9


@dataclass(frozen=True)
class Scale:
    """A table's best and worst as far as its goals are concerned.

    Rows that break a bound or lack a value that is asked for are not counted: no search can find them.

    Regret is counted from the best reported value of the first objective. The hypervolume lies between the front and
    the worst recorded value of every objective, and is given as a share of that of all rows; with one objective
    there is none.
    """

    table: BenchmarkTable
    goals: Goals

    @cached_property
    def optimum(self) -> float:
        """The best value of the first reported objective in the table, of rows that keep all bounds."""
        first = self.goals.reported[0]
        return min(self._recorded(first), key=first.loss)

    @cached_property
    def reference(self) -> tuple[float, ...]:
        """The worst value of each reported objective in the table."""
        return tuple(max(self._recorded(o), key=o.loss) for o in self.goals.reported)

    @cached_property
    def hypervolume(self) -> float:
        """The hypervolume of all rows, in the product of the objectives' units."""
        losses = self.losses(self.goals.reported)
        return self._volume(losses[self.keeping])

    @cached_property
    def keeping(self) -> NDArray[np.bool_]:
        """Whether each row can be found, having all values that are asked for, and keeps every bound [rows]."""
        bounds = [np.inf if o.bound is None else o.loss(o.bound) for o in self.goals.objectives]
        kept: NDArray[np.bool_] = np.less_equal(self.losses(self.goals.objectives), np.array(bounds)).all(axis=1)
        return kept & self._measured

    @cached_property
    def _measured(self) -> NDArray[np.bool_]:
        """Whether each row has a value in every column of the goals [rows]."""
        columns = np.array([self.table.columns[name] for name in dict.fromkeys(self.goals.columns)], dtype=np.float64)
        return np.asarray(np.isfinite(columns).all(axis=0), dtype=bool)

    def losses(self, objectives: Sequence[Objective]) -> Array:
        """Every row's objectives [rows, objectives], smaller is better; nan where nothing was recorded."""
        columns = [[o.loss(value) for value in self.table.columns[o.metric]] for o in objectives]
        return np.array(columns, dtype=np.float64).T

    def share(self, chosen: Array) -> float:
        """The hypervolume of rows with these reported losses, as a share of the table's; 1 where that is 0."""
        return min(self._volume(chosen) / self.hypervolume, 1.0) if self.hypervolume else 1.0

    def _volume(self, losses: Array) -> float:
        return volume(losses, [o.loss(v) for o, v in zip(self.goals.reported, self.reference, strict=True)])

    def _recorded(self, objective: Objective) -> list[float]:
        if not self.table.known(objective.metric):
            raise DataError(f"the column {objective.metric!r} of {self.table.name} holds no value")
        if not self._measured.any():
            names = ", ".join(dict.fromkeys(self.goals.columns))
            raise DataError(f"no row of {self.table.name} has a value in every column that is asked for: {names}")
        column = self.table.columns[objective.metric]
        kept = [value for value, keep in zip(column, self.keeping, strict=True) if keep]
        if not kept:
            raise DataError(f"no row of {self.table.name} keeps the bounds of the objectives; loosen one")
        return kept


@dataclass(frozen=True)
class Course:
    """One search as it went: after each payment the reported value of the choice, and the share of hypervolume.

    Arrays [payments]; before the first whole training `best` is nan and `hypervolume` 0. It is None for one objective.
    """

    best: Array
    hypervolume: Array | None
    epochs: Array


def course(search: TableSearch, scale: Scale, *, length: int) -> Course:
    """The course of a search, its last point repeated up to `length` payments.

    Of a search with promotions a payment is as many epochs as a whole training takes.
    """
    searched, reported = scale.losses(scale.goals.objectives), scale.losses(scale.goals.reported)
    first = scale.goals.reported[0]
    best = np.full(length, np.nan)
    shares = np.zeros(length) if len(scale.goals.objectives) > 1 else None
    front: list[int] = []
    chosen: int | None = None
    share = 0.0
    epochs, spent = np.zeros(length), 0
    for number, paid in enumerate(search.paid):
        spent += paid.epochs
        place = number if search.unit is None else max(0, ceil(spent / search.unit) - 1)
        epochs[place:] = spent
        if paid.whole and scale.keeping[paid.row]:
            if chosen is None or searched[paid.row, 0] < searched[chosen, 0]:
                chosen = paid.row
            if shares is not None and _enters(searched, front, paid.row):
                front = _front(searched, [*front, paid.row])
                share = scale.share(reported[front])
        if chosen is not None:
            best[place:] = first.loss(reported[chosen, 0])
        if shares is not None:
            shares[place:] = share
    return Course(best, shares, epochs)


def _enters(losses: Array, front: Sequence[int], row: int) -> bool:
    """Whether no row of the front is at least as good everywhere."""
    return row not in front and not (losses[list(front)] <= losses[row]).all(axis=1).any()


def _front(losses: Array, rows: list[int]) -> list[int]:
    kept = moocore.is_nondominated(losses[rows], keep_weakly=True)
    return [row for row, keep in zip(rows, kept, strict=True) if keep]


def summary(name: str, searches: Sequence[TableSearch], scale: Scale, *, budget: int) -> dict[str, Any]:
    """One contestant's row: what it found on average over the seeds, what it paid, how long it thought."""
    length = max([budget, *(ceil(search.payments) for search in searches)])
    courses = [course(search, scale, length=length) for search in searches]
    best = [float(c.best[-1]) for c in courses if np.isfinite(c.best[-1])]
    regrets = [_regret(value, scale) for value in best]
    shares = [float(c.hypervolume[-1]) for c in courses if c.hypervolume is not None]
    until = [_until_optimum(c, scale) for c in courses]
    reached = [count for count in until if count is not None]
    asks = sum(search.asks for search in searches)
    return {
        "strategy": name,
        "paid": _whole(mean(search.payments for search in searches)),
        "best_mean": mean(best) if best else None,
        "best_std": _spread(best),
        "regret_mean": mean(regrets) if regrets else None,
        "hypervolume_mean": mean(shares) if shares else None,
        "hypervolume_std": _spread(shares),
        "repeats_paid": sum(search.repeats for search in searches),
        "seconds_per_ask": sum(search.ask_s for search in searches) / asks if asks else None,
        "optimum_share": len(reached) / len(searches),
        "paid_to_optimum_mean": mean(reached) if reached else None,
        "known_asked_mean": mean(search.known for search in searches),
        "absent_mean": mean(search.absent for search in searches),
        "refused_mean": mean(search.refused for search in searches),
        "architectures_mean": mean(len({paid.row for paid in search.paid}) for search in searches),
        "in_full_mean": mean(sum(paid.whole for paid in search.paid) for search in searches),
        "epochs_mean": mean(float(c.epochs[-1]) for c in courses) if scale.goals.epochs else None,
        "ended": dict(sorted(Counter(search.ended for search in searches).items())),
    }


def curve_rows(
    searches: Mapping[str, Sequence[TableSearch]], scale: Scale, *, budget: int, every: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """A row per contestant and number of payments: mean regret and missing hypervolume, each with a 95 % interval.

    The interval is of the mean over seeds, by resampling the seeds. `every` says for how many payments there is a
    row; by default for all up to `budget`.
    """
    rows: list[dict[str, Any]] = []
    for name, found in searches.items():
        courses = [course(search, scale, length=max(budget, ceil(search.payments))) for search in found]
        regret = np.array([[_regret(value, scale) for value in c.best[:budget]] for c in courses])
        missing = np.array([1 - c.hypervolume[:budget] for c in courses if c.hypervolume is not None])
        points = [n for n in (every or range(1, budget + 1)) if n <= budget]
        bands = {"regret": _band(regret), "missing_hypervolume": _band(missing) if len(missing) else None}
        for n in points:
            row: dict[str, Any] = {"strategy": name, "paid": n}
            row["epochs"] = float(np.mean([c.epochs[n - 1] for c in courses])) if scale.goals.epochs else None
            for what, band in bands.items():
                values = [None] * 3 if band is None else [_known(level[n - 1]) for level in band]
                row |= dict(zip((what, f"{what}_low", f"{what}_high"), values, strict=True))
            rows.append(row)
    return rows


def milestones(budget: int) -> list[int]:
    """Numbers of payments worth a line in a table, the last being the budget."""
    return [n for n in MILESTONES if n < budget] + [budget]


def _band(values: Array) -> tuple[Array, Array, Array]:
    """Mean over seeds of an array [seeds, payments], with the ends of its 95 % bootstrap interval."""
    generator = np.random.default_rng(0)
    count = len(values)
    weights = generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
    means = weights @ values
    low, high = np.percentile(means, (2.5, 97.5), axis=0)
    return values.mean(axis=0), low, high


def _regret(value: float, scale: Scale) -> float:
    first = scale.goals.reported[0]
    return float(first.loss(value) - first.loss(scale.optimum))


def _until_optimum(course: Course, scale: Scale) -> int | None:
    """How many were paid for when the choice was the table's best, or None."""
    close = CLOSE * max(1.0, abs(scale.optimum))
    hits = np.flatnonzero(np.abs(course.best - scale.optimum) <= close)
    return int(hits[0]) + 1 if len(hits) else None


def _spread(values: Sequence[float]) -> float | None:
    """The standard deviation over seeds; 0 for one."""
    return None if not values else stdev(values) if len(values) > 1 else 0.0


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
