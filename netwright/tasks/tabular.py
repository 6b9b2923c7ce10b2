"""Rows of a table as a network's inputs: numbers, and texts that name categories; empty cells are filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.columns import rows_by_part
from netwright.tasks.data import AnyArray, Arrays, Split
from netwright.tasks.readers import tables as reader
from netwright.tasks.readers.tables import MISSING
from netwright.tasks.table import check_names, is_number, read_rows

MOST_VALUES = 50
"""A column of more texts than this is a name, a number of a document or a date, from which nothing is learnt."""
FEWEST_VALUES = 20
"""Up to so many values a column is one of categories, however few rows there are."""

Cells = Mapping[str, AnyArray]


def read_table(
    path: Path,
    *,
    targets: Sequence[str],
    ignore: Sequence[str],
    split: str,
    made: Callable[[Cells], AnyArray],
    parted: Callable[[Mapping[str, Split]], Mapping[str, Split]],
) -> Arrays:
    """All parts of a table, and how its rows are read: by the training rows alone.

    The last column is the target unless `targets` are named. `made` turns the target columns into an array, `parted`
    splits off the parts that are missing. Raises DataError that names the column, or the row and the text, at fault.
    """
    names, cells = read_rows(path)
    given = [*targets, *ignore, *([split] if split else [])]
    check_names(path, given, names)
    wanted = list(targets) or [name for name in names if name not in given][-1:]
    inputs = [name for name in names if name not in (*wanted, *given)]
    if not inputs or not wanted:
        raise DataError(f"{path} has no column left for the inputs; it has {', '.join(names)}")
    column = {name: cells[:, place] for place, name in enumerate(names)}
    rows = rows_by_part(column[split] if split else None, rows=len(cells), path=path)
    found = made({name: column[name] for name in wanted})
    raw = np.stack([column[name] for name in inputs], axis=1)
    splits = parted({part: Split(raw[chosen], found[chosen]) for part, chosen in rows.items()})
    columns = _columns(splits["train"].inputs, inputs, path)
    _check_numbers(raw, columns, path)
    reading = {"raw": f"rows of a table with the columns {', '.join(inputs)}", "columns": columns}
    pairs = {part: (reader.read(one.inputs, reading), one.targets) for part, one in splits.items()}
    return Arrays(train=pairs["train"], validation=pairs["validation"], test=pairs["test"], reading=reading)


def told(reading: Mapping[str, Any]) -> tuple[str, ...]:
    """What was made of the columns, a line each, for whoever brought the table."""
    columns: Sequence[Mapping[str, Any]] = reading.get("columns", ())
    texts = [f"{column['name']} ({len(column['values'])})" for column in columns if "values" in column]
    empty = [f"{column['name']} ({column['empty']})" for column in columns if column.get("empty")]
    constant = [column["name"] for column in columns if column.get("constant")]
    return tuple(
        line
        for line, there in (
            (f"columns of texts became an input for each of their values: {', '.join(texts)}", texts),
            (f"empty training cells were filled with their column's mean: {', '.join(empty)}", empty),
            (f"columns of one value, from which nothing is learnt: {', '.join(constant)}", constant),
        )
        if there
    )


def _columns(rows: AnyArray, names: Sequence[str], path: Path) -> list[dict[str, Any]]:
    """What each column of the training rows holds, as plain JSON."""
    found, strange = [], []
    for name, cells in zip(names, rows.T, strict=True):
        known = [cell for cell in cells.tolist() if cell.lower() not in MISSING]
        if not known:
            raise DataError(f"{path}: the column {name!r} is empty in all training rows; name it under `ignore`")
        values = sorted(set(known))
        if all(map(is_number, values)):
            numbers = np.array(known, np.float64)
            facts: dict[str, Any] = {"name": name, "mean": float(numbers.mean()), "empty": len(cells) - len(known)}
            found.append(facts | ({"constant": True} if len(values) == 1 else {}))
        elif sum(map(is_number, known)) > len(known) / 2:
            row = next(cell for cell in known if not is_number(cell))
            raise DataError(
                f"{path}, column {name!r}: {row!r} is no number, most others are; mend it, leave the cell empty, or "
                "name the column under `ignore`"
            )
        elif len(values) > max(FEWEST_VALUES, min(MOST_VALUES, len(known) // 4)):
            strange.append(f"{name!r} ({len(values)} different texts, such as {values[0]!r})")
        else:
            found.append({"name": name, "values": values} | ({"constant": True} if len(values) == 1 else {}))
    if strange:
        raise DataError(
            f"{path}: from texts that hardly repeat nothing is learnt: {', '.join(strange)}; name them under `ignore`, "
            "and write dates as numbers"
        )
    return found


def _check_numbers(rows: AnyArray, columns: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Raise DataError for a text among numbers in any part, with its column."""
    for column, cells in zip(columns, rows.T, strict=True):
        if "mean" in column:
            for place, cell in enumerate(cells.tolist()):
                if cell.lower() not in MISSING and not is_number(cell):
                    raise DataError(
                        f"{path}, row {place + 2}, column {column['name']!r}: {cell!r} is no number, as the training "
                        "rows have there; mend it, or leave the cell empty"
                    )
