"""A table, read by the names of its columns: its cells as texts, or the columns of a series as numbers."""

from __future__ import annotations

import csv
import gzip
import lzma
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np

from netwright.core.errors import DataError, suggestion
from netwright.tasks.data import AnyArray
from netwright.tasks.typed_table import TYPED, Columns, typed_cells

OPENERS: Mapping[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".xz": lzma.open}
NAMELESS = re.compile(r"|Unnamed: \d+")
DECIMAL = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
END = ["the end of the table"]

Line = tuple[int, Sequence[str]]
"""The number of a row as spreadsheets count them, from 1 and empty ones too, and its cells."""


def is_table(path: Path) -> bool:
    """Whether the name is that of a table: .csv or .tsv, compressed or not, .parquet or .jsonl."""
    name = path.with_suffix("").name if path.suffix.lower() in OPENERS else path.name
    return name.lower().endswith((".csv", ".tsv", *TYPED))


def read_cells(path: Path) -> dict[str, list[str]]:
    """The cells of every column, by its name; both without blanks around them. What is missing is empty.

    Raises DataError that names the file, MissingPackageError for .parquet without pyarrow.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}; give the path of a .csv, .tsv, .jsonl, .parquet or .npz file")
    found = typed_cells(path) if path.suffix.lower() in TYPED else _read(path)
    named = [(name.strip(), [cell.strip() for cell in cells]) for name, cells in found]
    kept = [(name, cells) for name, cells in named if name or any(cells)]
    if len({name for name, _ in kept}) < len(kept):
        raise DataError(f"{path} has two columns of one name: {', '.join(name for name, _ in named)}; rename one")
    return dict(kept)


def read_rows(path: Path) -> dict[str, AnyArray]:
    """The same as an array [rows] for each column; in one of all, every cell would take the room of the longest."""
    return {name: np.array(cells, dtype=str) for name, cells in read_cells(path).items()}


def row_at(path: Path, place: int) -> str:
    """The table and the row where the sample at this place, from 0, stands in it; empty rows are counted too."""
    row = place + 1 if path.suffix.lower() in TYPED else _lines(path)[0][place + 1][0]
    return f"{path}, row {row}"


def row_names(columns: Mapping[str, AnyArray]) -> tuple[str, ...]:
    """The columns without a name of their own whose cells all differ: programs write the rows' names or numbers there.

    A network would learn from them where the rows stand in the table, which no new row tells.
    """
    return tuple(n for n, cells in columns.items() if NAMELESS.fullmatch(n) and len(np.unique(cells)) == len(cells))


def check_names(path: Path, wanted: Sequence[str], names: Sequence[str]) -> None:
    """Raise DataError when a wanted column is not there, with the nearest name."""
    for name in wanted:
        if name not in names:
            raise DataError(f"{path} has no column {name!r}{suggestion(name, names)}")


def has_decimal_commas(path: Path) -> bool:
    """Whether a comma in a number is a decimal one, as it is where other signs part the cells."""
    if path.suffix.lower() in TYPED:
        return False
    with _text(path) as stream:
        return _delimiter(next(line for line in stream if line.strip())) != ","


def _text(path: Path) -> IO[str]:
    """The table as text, unpacked where its name ends in .gz or .xz."""
    opener = OPENERS.get(path.suffix.lower())
    if opener is None:
        return path.open(newline="", encoding="utf-8-sig")
    return opener(path, "rt", newline="", encoding="utf-8-sig")


def _lines(path: Path) -> tuple[list[Line], str]:
    """The rows that hold something, that of the names first, and what separates their cells."""
    csv.field_size_limit(sys.maxsize)
    try:
        with _text(path) as stream:
            first = next((line for line in stream if line.strip()), "")
            stream.seek(0)
            mark = _delimiter(first)
            rows = list(csv.reader(chain(stream, END), delimiter=mark))
    except UnicodeDecodeError:
        raise DataError(f"{path} is not written in UTF-8; save it so") from None
    except (OSError, EOFError, lzma.LZMAError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}); save it as comma-separated UTF-8 text") from None
    if rows.pop() != END:
        raise DataError(f'{path}, row {len(rows) + 1}: a text begins with " and never ends; mend the row')
    return [(n, row) for n, row in enumerate(rows, start=1) if len(row) > 1 or "".join(row).strip()], mark


def _read(path: Path) -> Columns:
    lines, mark = _lines(path)
    names = _names(lines, path)
    columns: Columns = list(zip(names, zip(*(row for _, row in lines[1:]), strict=True), strict=True))
    texts = [(name, cells) for name, cells in columns if not is_number(name)]
    numbered = names == list(map(str, range(len(names))))  # as pandas names columns that have no names
    if not numbered and all(name and name in map(str.strip, cells) for name, cells in texts):
        raise DataError(f"{path} begins with a row of values; put a row of names above, such as x1,x2,price")
    return columns if mark == "," else [(name, _with_points(cells)) for name, cells in columns]


def _names(lines: Sequence[Line], path: Path) -> list[str]:
    """The names in the first row; raises DataError when it does not name the columns of the rows below."""
    if len(lines) < 2:
        raise DataError(f"{path} has no row of values; the first row names the columns")
    (_, names), *rows = lines
    width, often = Counter(len(row) for _, row in rows).most_common(1)[0]
    if width != len(names) and often > 1:
        raise DataError(
            f"{path}: {often} of {len(rows)} rows have {width} values, the first row has {len(names)}; it must "
            "name every column, with nothing above it"
        )
    for number, row in rows:
        if len(row) != len(names):
            many = f"{len(row)} value{'s' if len(row) > 1 else ''}"
            raise DataError(f"{path}, row {number}: {many} for {len(names)} columns; mend or remove it")
        if row == names and not any(map(is_number, row)) and len(row) > 1:
            raise DataError(f"{path}, row {number} repeats the row of names; remove it")
    return [name.strip() for name in names]


def _delimiter(header: str) -> str:
    """A comma, semicolon or tab: what makes the most names, in which another one may stand in quotes."""
    return max((",", ";", "\t"), key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))


def _with_points(cells: Sequence[str]) -> Sequence[str]:
    """A column with points where its numbers have a decimal comma, as spreadsheets write them beside semicolons."""
    if all(DECIMAL.fullmatch(cell.strip()) or is_number(cell) or not cell.strip() for cell in cells):
        return [cell.replace(",", ".") for cell in cells]
    return cells


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
        wrong = [row for row, cell in enumerate(cells.tolist()) if not is_number(cell)]
        if wrong:
            cell = str(cells[wrong[0]])
            came = f"{cell!r} is no number" if cell else "the cell is empty"
            others = f", as in {len(wrong) - 1} more of {len(cells)} rows" if len(wrong) > 1 else ""
            at = f"{row_at(path, wrong[0])}, column {name!r}"
            raise DataError(f"{at}: {came}{others}; write a number there, or remove the row")
        found[:, place] = cells.astype(np.float64)
    return found
