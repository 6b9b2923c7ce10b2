"""A .csv table of numbers, read by the names of its columns: inputs and targets, or the columns of a series."""

from __future__ import annotations

import csv
import gzip
import lzma
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from netwright.core.errors import DataError, suggestion
from netwright.tasks.data import AnyArray, Pair

OPENERS: Mapping[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".xz": lzma.open}


def is_table(path: Path) -> bool:
    """Whether the name is that of a .csv table, compressed or not."""
    name = path.with_suffix("").name if path.suffix.lower() in OPENERS else path.name
    return name.lower().endswith((".csv", ".tsv"))


def read_series(path: Path, *, ignore: Sequence[str] = ()) -> tuple[list[str], AnyArray]:
    """The names of the columns and their values [time, columns] in float64, but those to ignore.

    A column whose first value is no number, such as the date, is left out too. Raises DataError.
    """
    names, rows = _read(path)
    check_names(path, ignore, names)
    kept = [name for place, name in enumerate(names) if name not in ignore and _is_number(rows[0][place])]
    if not kept:
        raise DataError(f"{path} has no column of numbers; it has {', '.join(names)}")
    return kept, _numbers(path, names, rows, kept)


def read_table(path: Path, *, targets: Sequence[str] = (), ignore: Sequence[str] = ()) -> Pair:
    """Inputs [N, columns] and targets [N, columns] in float64; the last column is the target unless named.

    Raises DataError that names the column, or the row and the text, at fault.
    """
    names, rows = _read(path)
    wanted = list(targets) or names[-1:]
    check_names(path, [*wanted, *ignore], names)
    inputs = [name for name in names if name not in wanted and name not in ignore]
    if not inputs:
        raise DataError(f"{path} has no column left for the inputs; it has {', '.join(names)}")
    return _numbers(path, names, rows, inputs), _numbers(path, names, rows, wanted)


def check_names(path: Path, wanted: Sequence[str], names: Sequence[str]) -> None:
    """Raise DataError when a wanted column is not there, with the nearest name."""
    for name in wanted:
        if name not in names:
            raise DataError(f"{path} has no column {name!r}{suggestion(name, names)}")


def _text(path: Path) -> IO[str]:
    """The table as text, unpacked where its name ends in .gz or .xz."""
    opener = OPENERS.get(path.suffix.lower())
    if opener is None:
        return path.open(newline="", encoding="utf-8-sig")
    return opener(path, "rt", newline="", encoding="utf-8-sig")


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with _text(path) as stream:
            first = stream.readline()
            stream.seek(0)
            lines = [line for line in csv.reader(stream, delimiter=_delimiter(first)) if line]
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, csv.Error) as error:
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
