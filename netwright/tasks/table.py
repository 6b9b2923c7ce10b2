"""A .csv table of numbers, read into inputs and targets by the names of its columns."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netwright.core.errors import DataError, suggestion
from netwright.tasks.data import Pair


def read_table(path: Path, *, targets: Sequence[str] = (), ignore: Sequence[str] = ()) -> Pair:
    """Inputs [N, columns] and targets [N, columns] in float64; the last column is the target unless named.

    Raises DataError that names the column, or the row and the text, at fault.
    """
    names, rows = _read(path)
    wanted = list(targets) or names[-1:]
    for name in [*wanted, *ignore]:
        if name not in names:
            raise DataError(f"{path} has no column {name!r}{suggestion(name, names)}; it has {', '.join(names)}")
    inputs = [name for name in names if name not in wanted and name not in ignore]
    if not inputs:
        raise DataError(f"{path} has no column left for the inputs; it has {', '.join(names)}")
    return _numbers(path, names, rows, inputs), _numbers(path, names, rows, wanted)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            stream.seek(0)
            lines = [line for line in csv.reader(stream, delimiter=_delimiter(first)) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}); save it as comma-separated UTF-8 text") from None
    if len(lines) < 2:
        raise DataError(f"{path} has no row of values; the first row names the columns")
    names = [name.strip() for name in lines[0]]
    if all(_is_number(name) for name in names):
        raise DataError(f"{path} begins with a row of numbers; put a row of names above, such as x1,x2,price")
    if len(set(names)) < len(names):
        raise DataError(f"{path} has two columns of one name: {', '.join(names)}; rename one")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(names):
            raise DataError(f"{path}, row {number}: {len(line)} values for {len(names)} columns; mend or remove it")
    return names, lines[1:]


def _delimiter(header: str) -> str:
    """A comma, or what separates the names where there is none: semicolon or tab."""
    return next((mark for mark in (",", ";", "\t") if mark in header), ",")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(
    path: Path, names: Sequence[str], rows: Sequence[Sequence[str]], wanted: Sequence[str]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    found = np.empty((len(rows), len(wanted)))
    for place, name in enumerate(wanted):
        column = names.index(name)
        for number, row in enumerate(rows):
            try:
                found[number, place] = float(row[column])
            except ValueError:
                raise DataError(
                    f"{path}, row {number + 2}, column {name!r}: {row[column]!r} is no number; fill it, write "
                    "categories as numbers, or name the column under `ignore`"
                ) from None
    return found
