"""A table, read by the names of its columns: its cells as texts, or the columns of a series as numbers."""

from __future__ import annotations

import csv
import gzip
import lzma
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from netwright.core.errors import DataError, suggestion
from netwright.tasks.data import AnyArray

OPENERS: Mapping[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".xz": lzma.open}
TYPED = (".parquet", ".pq", ".jsonl", ".ndjson", ".json")
NAMELESS = re.compile(r"|Unnamed: \d+")
DECIMAL = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


def is_table(path: Path) -> bool:
    """Whether the name is that of a table: .csv or .tsv, compressed or not, .parquet or .jsonl."""
    name = path.with_suffix("").name if path.suffix.lower() in OPENERS else path.name
    return name.lower().endswith((".csv", ".tsv", *TYPED))


def read_rows(path: Path) -> dict[str, AnyArray]:
    """The cells of every column as texts [rows], by its name; what is missing is empty.

    Raises DataError that names the file, MissingPackageError for .parquet without pyarrow.
    """
    if path.suffix.lower() in TYPED:
        from netwright.tasks.columns import column_names, read_columns

        found = read_columns(path, {name: name for name in column_names(path)})
        return {name.strip(): np.char.strip(cells) for name, cells in found.items()}
    return _read(path)


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


def _text(path: Path) -> IO[str]:
    """The table as text, unpacked where its name ends in .gz or .xz."""
    opener = OPENERS.get(path.suffix.lower())
    if opener is None:
        return path.open(newline="", encoding="utf-8-sig")
    return opener(path, "rt", newline="", encoding="utf-8-sig")


def _read(path: Path) -> dict[str, AnyArray]:
    try:
        with _text(path) as stream:
            first = stream.readline()
            stream.seek(0)
            mark = _delimiter(first)
            lines = [line for line in csv.reader(stream, delimiter=mark) if line]
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}); save it as comma-separated UTF-8 text") from None
    names = _names(lines, path)
    # an array for each column: in one of them all, every cell would take the room of the longest text
    columns = [np.char.strip(np.array(cells, dtype=str)) for cells in zip(*lines[1:], strict=True)]
    texts = [(name, cells) for name, cells in zip(names, columns, strict=True) if not is_number(name)]
    if all(name and (cells == name).any() for name, cells in texts):
        raise DataError(f"{path} begins with a row of values; put a row of names above, such as x1,x2,price")
    kept = [(name, cells) for name, cells in zip(names, columns, strict=True) if name or (cells != "").any()]
    if len({name for name, _ in kept}) < len(kept):
        raise DataError(f"{path} has two columns of one name: {', '.join(names)}; rename one")
    return {name: cells if mark == "," else _with_points(cells) for name, cells in kept}


def _names(lines: Sequence[Sequence[str]], path: Path) -> list[str]:
    """The names in the first row; raises DataError when it does not name the columns of the rows below."""
    if len(lines) < 2:
        raise DataError(f"{path} has no row of values; the first row names the columns")
    width, often = Counter(map(len, lines[1:])).most_common(1)[0]
    if width != len(lines[0]) and often > 1:
        raise DataError(
            f"{path}: {often} of {len(lines) - 1} rows have {width} values, the first row has {len(lines[0])}; it must "
            "name every column, with nothing above it"
        )
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(lines[0]):
            raise DataError(f"{path}, row {number}: {len(line)} values for {len(lines[0])} columns; mend or remove it")
        if line == lines[0] and not any(map(is_number, line)) and len(line) > 1:
            raise DataError(f"{path}, row {number} repeats the row of names; remove it")
    return [name.strip() for name in lines[0]]


def _delimiter(header: str) -> str:
    """A comma, semicolon or tab: what makes the most names, in which another one may stand in quotes."""
    return max((",", ";", "\t"), key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))


def _with_points(cells: AnyArray) -> AnyArray:
    """A column with points where its numbers have a decimal comma, as spreadsheets write them beside semicolons."""
    all_numbers = all(DECIMAL.fullmatch(cell) or is_number(cell) or not cell for cell in cells.tolist())
    return np.char.replace(cells, ",", ".") if all_numbers else cells


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
            raise DataError(
                f"{path}, row {wrong[0] + 2}, column {name!r}: {came}{others}; write a number there, or remove the row"
            )
        found[:, place] = cells.astype(np.float64)
    return found
