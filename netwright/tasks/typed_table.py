"""Tables whose cells have types, .parquet and .jsonl: their cells as texts. Only this file reads them, by pandas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.core.errors import DataError, MissingPackageError

if TYPE_CHECKING:
    import pandas

PARQUET = (".parquet", ".pq")
Columns = list[tuple[str, Sequence[str]]]
"""The name of each column, and its cells."""
TYPED = (*PARQUET, ".jsonl", ".ndjson", ".json")


def typed_cells(path: Path) -> Columns:
    """The names of the columns and their cells; what is missing is empty.

    Raises DataError that names the file, MissingPackageError for .parquet without pyarrow.
    """
    frame = _frame(path)
    if not len(frame):
        raise DataError(f"{path} has no row of values")
    return [
        (str(name), np.where(column.isna(), "", column.astype(str)).astype(object).tolist())
        for name, column in frame.items()
    ]


def _frame(path: Path) -> pandas.DataFrame:
    import pandas

    try:
        if path.suffix.lower() in PARQUET:
            # else whole numbers beside empty cells become 3.0
            return pandas.read_parquet(path, dtype_backend="numpy_nullable")
        text = path.read_text(encoding="utf-8-sig")
        return pandas.DataFrame(json.loads(text) if path.suffix.lower() == ".json" else _objects(text, path))
    except ImportError:
        raise MissingPackageError(f"{path} is a parquet file, which needs pyarrow: pip install pyarrow") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not written in UTF-8; save it so") from None
    except (OSError, ValueError) as error:  # pandas and pyarrow raise kinds of these for what they cannot parse
        raise DataError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from None


def _objects(text: str, path: Path) -> list[Any]:
    """What stands in each line; texts may hold signs that Python counts as ends of lines."""
    found = []
    for row, line in enumerate(text.split("\n"), start=1):
        try:
            found += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise DataError(f"{path}, row {row}: {error}; each row is an object in JSON") from None
    return found
