"""Rows of a table as a network's inputs: numbers, and texts that name categories; empty cells are filled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.columns import groups_of, rows_by_part
from netwright.tasks.data import AnyArray, Arrays, Split, too_close
from netwright.tasks.readers import tables as reader
from netwright.tasks.readers.tables import MISSING
from netwright.tasks.table import check_names, has_decimal_commas, is_number, read_rows, row_at, row_names

MOST_VALUES = 50
"""Up to so many values a column is one of categories, if they repeat."""
FEWEST_VALUES = 20
"""Up to so many values a column is one of categories, however few rows there are."""
FREQUENT, MOST_INPUTS = 10, 200
"""Of a column of more texts, those in so many training rows are inputs, and at most so many of them."""
ROWS_OF_NUMBERS = 50
LONGEST_TOLD = 60
"""So many signs of a cell are told."""

Cells = Mapping[str, AnyArray]


def read_table(
    path: Path,
    *,
    targets: Sequence[str],
    ignore: Sequence[str],
    split: str,
    made: Callable[[Cells], AnyArray],
    parted: Callable[[Mapping[str, Split], AnyArray | None], tuple[Mapping[str, Split], tuple[str, ...]]],
    group: str = "",
    categories: Sequence[str] = (),
) -> Arrays:
    """All parts of a table, and how its rows are read: by the training rows alone.

    The last column is the target unless `targets` are named; `categories` are columns of numbers that are read as
    texts. `made` turns the target columns into an array, `parted` splits off the parts that are missing, with the
    training rows' cells of the column `group` if one is named, and names the classes. Raises DataError that names the
    column, or the row and the text, at fault.
    """
    column = read_rows(path)
    names = list(column)
    given = [*targets, *ignore, *filter(None, (split, group))]
    check_names(path, [*given, *categories], names)
    wanted = list(targets) or [name for name in names if name not in given][-1:]
    left_out = [name for name in row_names(column) if name not in (*wanted, *given)]
    inputs = [name for name in names if name not in (*wanted, *given, *left_out)]
    if not inputs or not wanted:
        raise DataError(f"{path} has no column left for the inputs; it has {', '.join(names)}")
    rows = rows_by_part(column[split] if split else None, rows=len(column[wanted[0]]), path=path)
    found = made({name: column[name] for name in wanted})
    raw = np.stack([column[name].astype(object) for name in inputs], axis=1)
    groups = groups_of(column[group], rows, name=group, path=path) if group else None
    splits, classes = parted({part: Split(raw[chosen], found[chosen]) for part, chosen in rows.items()}, groups)
    columns = _columns(splits["train"].inputs, inputs, categories, path)
    _check_numbers(raw, columns, path)
    reading: dict[str, Any] = {"raw": f"rows of a table with the columns {', '.join(inputs)}", "columns": columns}
    reading |= {"row_names": True} if left_out else {}
    reading |= {"decimal": ","} if has_decimal_commas(path) else {}
    pairs = {part: (reader.read(one.inputs, reading), one.targets) for part, one in splits.items()}
    return Arrays.of(pairs, classes=classes, reading=reading)


def told(reading: Mapping[str, Any]) -> tuple[str, ...]:
    """What was made of the columns, a line each, for whoever brought the table."""
    columns: Sequence[Mapping[str, Any]] = reading.get("columns", ())
    texts = [f"{column['name']} ({_count(column)})" for column in columns if "values" in column]
    ids = [column["name"] for column in columns if column.get("differ")]
    empty = [f"{column['name']} ({column['empty']})" for column in columns if column.get("empty")]
    constant = [column["name"] for column in columns if column.get("constant")]
    close = [column["name"] for column in columns if column.get("close")]
    return tuple(
        line
        for line, there in (
            (f"columns of categories became an input for each of their values: {', '.join(texts)}", texts),
            (f"empty training cells were filled with their column's mean: {', '.join(empty)}", empty),
            (f"columns of one value, from which nothing is learnt: {', '.join(constant)}", constant),
            (
                f"columns whose values differ too little for 32-bit floats: {', '.join(close)}; subtract what they "
                "have in common",
                close,
            ),
            ("the first column has no name and names the rows, so it is no input", reading.get("row_names")),
            (
                f"columns with another whole number in every row: {', '.join(ids)}; name those that number the rows "
                "under `ignore`, since new rows have other numbers",
                ids,
            ),
        )
        if there
    )


def _columns(rows: AnyArray, names: Sequence[str], categories: Sequence[str], path: Path) -> list[dict[str, Any]]:
    """What each column of the training rows holds, as plain JSON."""
    found: list[dict[str, Any]] = []
    void: list[str] = []
    strange: dict[str, str] = {}
    for name, cells in zip(names, rows.T, strict=True):
        known = [cell for cell in cells.tolist() if cell.lower() not in MISSING]
        texts = name in categories or not all(map(is_number, known))
        if not known:
            void.append(name)
        elif not texts:
            found.append({"name": name} | _numbers(known, rows=len(cells)))
        elif name not in categories and sum(map(is_number, known)) > len(known) / 2:
            row = next(cell for cell in known if not is_number(cell))
            raise DataError(
                f"{path}, column {name!r}: {row!r} is no number, most others are; mend it, leave the cell empty, or "
                "name the column under `ignore`, or under `categories` if its numbers name some"
            )
        elif values := _values(known := [reader.category(cell) for cell in known]):
            found.append({"name": name} | values)
        else:
            least = min(known)
            such = f"{least[:LONGEST_TOLD]}…" if len(least) > LONGEST_TOLD else least
            strange[name] = f"{name!r} ({len(set(known))} different texts, such as {such!r})"
    said = [f"columns that are empty in all training rows: {', '.join(void)}"] if void else []
    if strange:
        said.append(f"texts that hardly repeat, from which nothing is learnt: {', '.join(strange.values())}")
    if said:
        plain = ", and write dates and amounts as plain numbers" if strange else ""
        names = ", ".join([*void, *strange])
        raise DataError(f"{path} has {'; '.join(said)}; name them under `ignore`: [{names}]{plain}")
    return found


def _numbers(known: Sequence[str], *, rows: int) -> dict[str, Any]:
    """The facts of a column of numbers: the mean, and what is to be told."""
    values, numbers = len(set(known)), np.array(known, np.float64)
    alike = values < rows or rows < ROWS_OF_NUMBERS or bool((numbers % 1).any())
    facts: dict[str, Any] = {"mean": float(numbers.mean()), "empty": rows - len(known)}
    facts |= {"close": True} if too_close(numbers) else {}
    return facts | ({"constant": True} if values == 1 else {}) | ({} if alike else {"differ": True})


def _values(known: Sequence[str]) -> dict[str, Any]:
    """The categories of a column that are worth an input each; nothing where they hardly repeat."""
    values = sorted(set(known))
    if len(values) <= max(FEWEST_VALUES, min(MOST_VALUES, len(known) // 4)):
        return {"values": values} | ({"constant": True} if len(values) == 1 else {})
    often = _frequent(known)
    return {"values": often, "of": len(values)} if often else {}


def _count(column: Mapping[str, Any]) -> str:
    many = len(column["values"])
    return f"{many} of {column['of']}" if column.get("of", many) > many else str(many)


def _frequent(known: Sequence[str]) -> list[str]:
    """The texts that are worth an input each; none when most cells would be left without one."""
    counts = Counter(known).most_common(MOST_INPUTS)
    often = {value: count for value, count in counts if count >= FREQUENT}
    return sorted(often) if sum(often.values()) > len(known) / 2 else []


def _check_numbers(rows: AnyArray, columns: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Raise DataError for a text among numbers in any part, with its column."""
    for column, cells in zip(columns, rows.T, strict=True):
        if "mean" in column:
            for place, cell in enumerate(cells.tolist()):
                if cell.lower() not in MISSING and not is_number(cell):
                    raise DataError(
                        f"{row_at(path, place)}, column {column['name']!r}: {cell!r} is no number, as the training "
                        "rows have there; mend it, or leave the cell empty"
                    )
