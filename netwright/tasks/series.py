"""A series of rows in the order of time, read from a file and cut into windows with what comes after them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Pair
from netwright.tasks.npz_file import read_stored
from netwright.tasks.table import check_names, is_table, read_series

BYTES_AT_MOST = 8 * 2**30
"""Windows overlap, so a small file can become more than memory holds."""


def series_of(path: Path, *, ignore: Sequence[str] = ()) -> tuple[list[str], AnyArray]:
    """The names of the columns and the rows [time, columns]; raises DataError that names the file.

    An .npz file holds one array [time] or [time, columns], under any name, and may hold `names` of the columns.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; give the path of a .csv table or an .npz file")
    names, rows = read_series(path, ignore=ignore) if is_table(path) else _stored(path, ignore)
    bad = int(rows.size - np.count_nonzero(np.isfinite(rows)))
    if bad:
        raise DataError(f"{path} has {bad} of {rows.size} values that are nan or infinite; fill them")
    return names, rows


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
