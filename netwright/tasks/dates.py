"""Dates beside a series: do its rows follow each other in time, and at equal steps?"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, IntArray
from netwright.tasks.table import row_at

CLOCK_CHANGE = np.timedelta64(1, "h")
NONE = np.timedelta64(0, "s")
"""A clock that is put back repeats an hour; what goes back further is another order."""
OFTEN = 0.1
WIDER = 1.5
"""Steps count as gaps from so many usual steps on; the days of the months differ by less."""


def dates_of(cells: AnyArray) -> AnyArray | None:
    """Texts [N] as datetime64 [N]; None when they are no dates, or not all of one form."""
    for day_first in (False, True):
        if _parsed(cells[:1], day_first) is None:
            return None
        found = _parsed(cells, day_first)
        if found is not None and not np.isnat(found).any():
            return found
    return None


def gaps_in(dates: AnyArray, *, rows: IntArray, name: str, path: Path) -> str:
    """What to tell of a table's rows, of these dates, that are not equally far apart; empty for nothing.

    Raises DataError when dates go back, or stand in several rows: then it is no single series, the oldest row first.
    """
    steps = np.diff(dates)
    back = np.flatnonzero(steps < -CLOCK_CHANGE)
    other = f"or name {name!r} under `ignore` where it tells no order"
    several = "name the column that tells several series apart as `series`"
    order = f"sort the rows by time, the oldest first, {several}, {other}"
    if len(back):
        raise DataError(
            f"{row_at(path, rows[back[0] + 1])}: the date goes back, to {_told(dates[back[0] + 1])}; {order}"
        )
    same = int((steps == NONE).sum())
    if same > OFTEN * len(steps):
        raise DataError(
            f"{path}: {same} of {len(dates)} rows have the date of the row before; give one row per step of time, "
            f"{several}, {other}"
        )
    usual = np.median(steps[steps > NONE]) if len(steps) > same else NONE
    wider = np.flatnonzero(steps > WIDER * usual)
    if not len(wider):
        return ""
    widest = int(steps.argmax())
    return (
        f"rows count as equally far apart, but after {len(wider)} of {len(dates)} the date {name!r} grows by more than "
        f"usual, most from {_told(dates[widest])} to {_told(dates[widest + 1])}"
    )


def _told(date: Any) -> str:
    return str(date.astype("datetime64[s]")).replace("T", " ").removesuffix(" 00:00:00")


def _parsed(cells: AnyArray, day_first: bool) -> AnyArray | None:
    import pandas

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no form is known for what is no date
        try:
            found = pandas.to_datetime(cells.tolist(), dayfirst=day_first, utc=True)
        except (ValueError, TypeError, OverflowError):
            return None
    return np.asarray(found.tz_localize(None).to_numpy())
