"""A table, read by the names of its columns: its cells as texts, or the columns of a series as numbers."""

from __future__ import annotations

import csv
import gzip
import lzma
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from netwright.core.errors import DataError, suggestion
from netwright.tasks.data import AnyArray

OPENERS: Mapping[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".xz": lzma.open}
TYPED = (".parquet", ".pq", ".jsonl", ".ndjson", ".json")
DECIMAL = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


def is_table(path: Path) -> bool:
    """Whether the name is that of a table: .csv or .tsv, compressed or not, .parquet or .jsonl."""
    name = path.with_suffix("").name if path.suffix.lower() in OPENERS else path.name
    return name.lower().endswith((".csv", ".tsv", *TYPED))


def read_series(path: Path, *, ignore: Sequence[str] = ()) -> tuple[list[str], AnyArray]:
    """The names of the columns and their values [time, columns] in float64, but those to ignore.

    A column whose first cell that is not empty holds no number, such as the date, is left out too. Raises DataError.
    """
    names, rows = read_rows(path)
    check_names(path, ignore, names)
    first = [next(filter(None, column), "") for column in rows.T.tolist()]
    kept = [name for name, cell in zip(names, first, strict=True) if name not in ignore and is_number(cell)]
    if not kept:
        raise DataError(f"{path} has no column of numbers; it has {', '.join(names)}")
    return kept, numbers(path, {name: rows[:, names.index(name)] for name in kept})


def read_rows(path: Path) -> tuple[list[str], AnyArray]:
    """The names of the columns and all cells as texts [rows, columns]; what is missing is empty.

    Raises DataError that names the file, MissingPackageError for .parquet without pyarrow.
    """
    if path.suffix.lower() in TYPED:
        from netwright.tasks.columns import column_names, read_columns

        names = column_names(path)
        found = read_columns(path, {name: name for name in names})
        return names, np.stack([found[name] for name in names], axis=1)
    return _read(path)


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


def _read(path: Path) -> tuple[list[str], AnyArray]:
    try:
        with _text(path) as stream:
            first = stream.readline()
            stream.seek(0)
            mark = _delimiter(first)
            lines = [line for line in csv.reader(stream, delimiter=mark) if line]
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}); save it as comma-separated UTF-8 text") from None
    if len(lines) < 2:
        raise DataError(f"{path} has no row of values; the first row names the columns")
    names = [name.strip() for name in lines[0]]
    if all(is_number(name) for name in names):
        raise DataError(f"{path} begins with a row of numbers; put a row of names above, such as x1,x2,price")
    if len(set(names)) < len(names):
        raise DataError(f"{path} has two columns of one name: {', '.join(names)}; rename one")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(names):
            raise DataError(f"{path}, row {number}: {len(line)} values for {len(names)} columns; mend or remove it")
    rows = np.char.strip(np.array(lines[1:], dtype=str))
    return names, rows if mark == "," else _with_points(rows)


def _delimiter(header: str) -> str:
    """A comma, or what separates the names where there is none: semicolon or tab."""
    return next((mark for mark in (",", ";", "\t") if mark in header), ",")


def _with_points(rows: AnyArray) -> AnyArray:
    """Cells with a point where numbers have a decimal comma, as spreadsheets write them beside semicolons."""
    for column in rows.T:
        if all(DECIMAL.fullmatch(cell) or is_number(cell) or not cell for cell in column.tolist()):
            column[:] = np.char.replace(column, ",", ".")
    return rows


def is_number(text: str) -> bool:
    """Whether a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def numbers(path: Path, columns: Mapping[str, AnyArray]) -> AnyArray:
    """Columns of texts as float64 [rows, columns]; raises DataError naming the row and the text that is no number."""
    found = np.empty((len(next(iter(columns.values()))), len(columns)))
    for place, (name, cells) in enumerate(columns.items()):
        for row, cell in enumerate(cells.tolist()):
            if not is_number(cell):
                came = f"{cell!r} is no number" if cell else "the cell is empty"
                raise DataError(
                    f"{path}, row {row + 2}, column {name!r}: {came}; write a number there, remove the row, or name "
                    "the column under `ignore`"
                )
            found[row, place] = float(cell)
    return found
