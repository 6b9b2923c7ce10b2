"""A series of rows in the order of time, read from a file and cut into windows with what comes after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, IntArray, Pair
from netwright.tasks.dates import dates_of, gaps_in
from netwright.tasks.npz_file import read_stored
from netwright.tasks.readers.tables import MISSING
from netwright.tasks.table import check_names, is_number, is_table, numbers, read_rows, row_names

BYTES_AT_MOST = 8 * 2**30
"""Windows overlap, so a small file can become more than memory holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The `names` of the columns, the `rows` [time, columns] in float64, the oldest first, and what is to be told of
    them, a line each. `places` has the rows of each series by its name, where there are several."""

    names: list[str]
    rows: AnyArray
    remarks: tuple[str, ...] = ()
    places: Mapping[str, IntArray] = field(default_factory=dict)

    def each(self) -> dict[str, AnyArray]:
        """The rows of every series by its name; a single one has none."""
        return {name: self.rows[at] for name, at in self.places.items()} or {"": self.rows}


def series_of(path: Path, *, ignore: Sequence[str] = (), by: str = "") -> Series:
    """The series in a table or an .npz file, without the columns to ignore; raises DataError that names the file.

    The column `by` tells the rows of several series apart.

    Columns of texts are left out, but dates among them must be in order; an empty cell has the value above it. An .npz
    file holds one array [time] or [time, columns], under any name, and may hold `names` of the columns.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; give the path of a .csv table or an .npz file")
    if by and not is_table(path):
        raise DataError(f"{path}: `series` names a column of a table; an .npz file has none")
    found = _table(path, ignore, by) if is_table(path) else Series(*_stored(path, ignore))
    bad = int(found.rows.size - np.count_nonzero(np.isfinite(found.rows)))
    if bad:
        raise DataError(f"{path} has {bad} of {found.rows.size} values that are nan or infinite; fill them")
    steps = np.concatenate([np.diff(rows, axis=0) for rows in found.each().values()])
    clocks = [n for n, by in zip(found.names, steps.T, strict=True) if len(by) > 1 and by[0] and (by == by[0]).all()]
    told = f"columns that grow by the same step in every row, as clocks do, are values too: {', '.join(clocks)}"
    return replace(found, remarks=(*found.remarks, told)) if clocks else found


def windows(
    rows: AnyArray, *, inputs: int, outputs: int, begin: int, end: int, stride: int, columns: Sequence[int], where: str
) -> Pair:
    """Every `stride`-th window [N, inputs, all columns] and what follows it [N, outputs, columns].

    What follows lies within rows `begin` to `end`; the windows reach back before `begin`. Nothing is copied.
    """
    starts = np.arange(max(begin, inputs), end - outputs + 1, stride)
    if not len(starts):
        raise DataError(
            f"{where}: rows {begin} to {end} hold no window of {inputs} rows with {outputs} after it; "
            "make window or horizon shorter, or give the part more rows"
        )
    size = 4 * len(starts) * (inputs * rows.shape[1] + outputs * len(columns))
    if size > BYTES_AT_MOST:
        raise DataError(
            f"{where}: {len(starts)} windows take {size / 2**30:.0f} GiB; set a stride, a shorter window, or "
            "name fewer columns"
        )
    found = np.lib.stride_tricks.sliding_window_view(rows.astype(np.float32), inputs, axis=0)
    after = np.lib.stride_tricks.sliding_window_view(rows[:, list(columns)].astype(np.float32), outputs, axis=0)
    return found[starts - inputs].swapaxes(1, 2), after[starts].swapaxes(1, 2)


def _table(path: Path, ignore: Sequence[str], by: str) -> Series:
    columns = read_rows(path)
    check_names(path, [*ignore, *filter(None, [by])], list(columns))
    without = (*ignore, by, *row_names(columns))
    empty = {name: np.isin(np.char.lower(cells), MISSING) for name, cells in columns.items() if name not in without}
    kept = [n for n, missing in empty.items() if is_number(next(iter(columns[n][~missing].tolist()), ""))]
    if not kept:
        raise DataError(f"{path} has no column of numbers; it has {', '.join(columns)}")
    texts = [name for name in empty if name not in kept]
    said = [f"columns of texts are left out: {', '.join(texts)}"] if texts else []
    dates = next((found for name in texts if (found := (name, dates_of(columns[name])))[1] is not None), None)
    places = {str(name): np.flatnonzero(columns[by] == name) for name in np.unique(columns[by])} if by else {}
    every = places or {"": np.arange(len(columns[kept[0]]))}
    if dates is not None and dates[1] is not None:
        gaps = {name: gaps_in(dates[1][at], rows=at, name=dates[0], path=path) for name, at in every.items()}
        said += [f"series {name!r}: {line}" if name else line for name, line in gaps.items() if line]
    filled = [f"{name} ({int(empty[name].sum())})" for name in kept if empty[name].any()]
    said += [f"empty cells have the value above them: {', '.join(filled)}"] if filled else []
    rows = numbers(path, {name: _filled(columns[name], empty[name], every) for name in kept})
    return Series(kept, rows, tuple(said), places)


def _filled(cells: AnyArray, empty: AnyArray, places: Mapping[str, IntArray]) -> AnyArray:
    """A column in which an empty cell has the last value above it in its series, or else the first one below.

    Of a series without any value cells stay empty.
    """
    found = cells.copy()
    for at in places.values():
        there = at[~empty[at]]
        if len(there):
            found[at] = cells[there[np.maximum(np.searchsorted(there, at, side="right") - 1, 0)]]
    return np.asarray(found)


def _stored(path: Path, ignore: Sequence[str]) -> tuple[list[str], AnyArray]:
    arrays = read_stored(path)
    given = arrays.pop("names", None)
    if len(arrays) != 1:
        raise DataError(f"{path} holds {', '.join(arrays) or 'no array'}; give one array [time, columns], and `names`")
    rows = next(iter(arrays.values()))
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.dtype.kind not in "buif" or not rows.size:
        raise DataError(
            f"{path} holds a {rows.dtype} array of shape {rows.shape}; give numbers [time] or [time, columns]"
        )
    names = [str(name) for name in (np.arange(rows.shape[1]) if given is None else given.ravel())]
    if len(set(names)) != rows.shape[1]:
        raise DataError(f"{path} has {rows.shape[1]} columns and {len(set(names))} different names; name each once")
    check_names(path, ignore, names)
    kept = [place for place, name in enumerate(names) if name not in ignore]
    return [names[place] for place in kept], rows[:, kept].astype(np.float64)
