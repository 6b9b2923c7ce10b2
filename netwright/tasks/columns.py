"""Columns of a table by the settings that name them, and what a column says of the rows: their part, their group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netwright.core.errors import DataError, suggestion
from netwright.tasks.data import AnyArray
from netwright.tasks.npz_file import PARTS
from netwright.tasks.table import read_cells, row_at

WHOLE = "train"
ALIASES = {alias: part for part, names in PARTS.items() for alias in names if alias} | {"dev": "validation"}


def read_columns(path: Path, wanted: Mapping[str, str]) -> dict[str, AnyArray]:
    """The columns of a table as texts [N], by the setting that names each; empty names are passed over.

    Raises DataError naming the setting when there is no such column, MissingPackageError for .parquet without pyarrow.
    """
    columns = read_cells(path)
    for setting, name in wanted.items():
        if name and name not in columns:
            raise DataError(
                f"{path} has no column {name!r}{suggestion(name, list(columns))}; name the right one by `{setting}`"
            )
    return {setting: np.array(columns[name], dtype=str) for setting, name in wanted.items() if name}


def rows_by_part(split: AnyArray | None, *, rows: int, path: Path) -> dict[str, AnyArray]:
    """Row numbers of train, validation and test by a column that says which; all are for training without one."""
    if split is None:
        return {WHOLE: np.arange(rows)}
    parts = np.array([ALIASES.get(value.strip().lower(), "") for value in split.tolist()])
    if (parts == "").any():
        place = int(np.flatnonzero(parts == "")[0])
        raise DataError(f"{row_at(path, place)}: the part {str(split[place])!r} is none of train, validation and test")
    if WHOLE not in parts:
        raise DataError(f"{path} has no row whose part is train; it has {', '.join(sorted(set(split.tolist())))}")
    return {part: np.flatnonzero(parts == part) for part in PARTS if part in parts}


def groups_of(cells: AnyArray, rows: Mapping[str, AnyArray], *, name: str, path: Path) -> AnyArray:
    """The cells of the training rows in a column that says which rows belong together.

    Raises DataError for an empty one, and where a group has `rows` in several parts.
    """
    empty = np.flatnonzero(cells == "")
    if len(empty):
        raise DataError(f"{row_at(path, empty[0])}: the column {name!r} is empty; give every row a group")
    groups, parts = np.unique(
        np.concatenate([np.unique(cells[places]) for places in rows.values()]), return_counts=True
    )
    if len(several := groups[parts > 1]):
        raise DataError(
            f"{path}: {len(several)} of {len(groups)} groups of the column {name!r} are in several parts, such as "
            f"{str(several[0])!r}; give each group one part"
        )
    return cells[rows[WHOLE]]
