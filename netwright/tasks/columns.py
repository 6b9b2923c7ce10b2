"""Tables with columns of text: .csv, .tsv, .parquet or .jsonl, read by the names of their columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netwright.core.errors import DataError, MissingPackageError, suggestion
from netwright.tasks.data import AnyArray
from netwright.tasks.npz_file import PARTS

if TYPE_CHECKING:
    import pandas

WHOLE = "train"
JSON = (".jsonl", ".ndjson", ".json")
ALIASES = {alias: part for part, names in PARTS.items() for alias in names if alias} | {"dev": "validation"}


def read_columns(path: Path, wanted: Mapping[str, str]) -> dict[str, AnyArray]:
    """The columns of a table as texts [N], by the setting that names each; empty names are passed over.

    Raises DataError naming the setting when there is no such column, MissingPackageError for .parquet without pyarrow.
    """
    frame = _frame(path).rename(columns=str)
    names = list(frame.columns)
    found = {}
    for setting, name in wanted.items():
        if name and name not in names:
            raise DataError(
                f"{path} has no column {name!r}{suggestion(name, names)}; name the right one by `{setting}`"
            )
        if name:
            column = frame[name]
            found[setting] = np.where(column.isna(), "", column.astype(str)).astype(str)
    if not len(frame):
        raise DataError(f"{path} has no row of values; the first row names the columns")
    return found


def column_names(path: Path) -> list[str]:
    """The names of a table's columns."""
    return [str(name) for name in _frame(path).columns]


def rows_by_part(split: AnyArray | None, *, rows: int, path: Path) -> dict[str, AnyArray]:
    """Row numbers of train, validation and test by a column that says which; all are for training without one."""
    if split is None:
        return {WHOLE: np.arange(rows)}
    parts = np.array([ALIASES.get(value.strip().lower(), "") for value in split.tolist()])
    if (parts == "").any():
        place = int(np.flatnonzero(parts == "")[0])
        raise DataError(
            f"{path}, row {place + 2}: the part {str(split[place])!r} is none of train, validation and test"
        )
    if WHOLE not in parts:
        raise DataError(f"{path} has no row whose part is train; it has {', '.join(sorted(set(split.tolist())))}")
    return {part: np.flatnonzero(parts == part) for part in PARTS if part in parts}


def groups_of(cells: AnyArray, *, name: str, path: Path) -> AnyArray:
    """The cells of a column that says which rows belong together; raises DataError for an empty one."""
    empty = np.flatnonzero(cells == "")
    if len(empty):
        raise DataError(f"{path}, row {empty[0] + 2}: the column {name!r} is empty; give every row a group")
    return cells


def _frame(path: Path) -> pandas.DataFrame:
    import pandas

    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}; give the path of a .csv, .tsv, .jsonl, .parquet or .npz file")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            # else whole numbers beside empty cells become 3.0
            return pandas.read_parquet(path, dtype_backend="numpy_nullable")
        if path.suffix.lower() in JSON:
            text = path.read_text(encoding="utf-8-sig")
            lines = [] if path.suffix.lower() == ".json" else [line for line in text.splitlines() if line.strip()]
            return pandas.DataFrame([json.loads(line) for line in lines] or json.loads(text))
        mark = max((",", ";", "\t"), key=lambda one: len(pandas.read_csv(path, sep=one, nrows=0).columns))
        return pandas.read_csv(path, sep=mark, dtype=str, keep_default_na=False)
    except ImportError:
        raise MissingPackageError(f"{path} is a parquet file, which needs pyarrow: pip install pyarrow") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not written in UTF-8; save it so") from None
    except (OSError, ValueError) as error:  # pandas and pyarrow raise kinds of these for what they cannot parse
        raise DataError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from None
