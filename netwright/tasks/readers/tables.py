"""Reading rows of a table: numbers as they are, categories as one input for each of a column's values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

MISSING = ("", "?", "na", "n/a", "nan", "none", "null", "<na>")
"""What an empty cell says, in lower case."""


def read(inputs: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Rows [N, columns] as numbers [N, inputs] in float32; rows that are so already are given out as they are.

    `settings["columns"]` tells the columns: one of numbers has a `mean`, which stands in for an empty cell; one of
    categories has `values`, each an input that is 1 where the cell says so. One never seen in training is 0 in all.
    In place of its point a number may have what `decimal` says.
    """
    columns, point = settings["columns"], settings.get("decimal", ".")
    names = ", ".join(column["name"] for column in columns)
    width = sum(len(column.get("values", [0])) for column in columns)
    if inputs.dtype.kind in "buif" and inputs.shape[1:] == (width,):
        found = inputs.astype(np.float32)
        if len(columns) == width:
            means = np.array([column.get("mean", 0.0) for column in columns], np.float32)
            found = np.where(np.isnan(found), means, found)
        return np.asarray(found)
    if inputs.ndim != 2 or inputs.shape[1] != len(columns):
        raise ValueError(f"rows must be [N, {len(columns)}] of the columns {names}, not {list(inputs.shape)}")
    rows = inputs.astype(str) if inputs.dtype.kind == "S" else inputs
    parts = []
    for column, cells in zip(columns, rows.T.tolist(), strict=True):
        cells = [str(cell).strip() for cell in cells]
        if "values" in column:
            place = {value: number for number, value in enumerate(column["values"])}
            # a last input takes the texts that are none of the values, and is left out
            found = np.zeros((len(cells), len(place) + 1), np.float32)
            found[np.arange(len(cells)), [place.get(category(cell), len(place)) for cell in cells]] = 1
            parts.append(found[:, :-1])
        else:
            parts.append(np.array([[number(cell, column, point)] for cell in cells], np.float32).reshape(-1, 1))
    return np.concatenate(parts, axis=1)


def category(cell: str) -> str:
    """A cell of a column of categories; a whole number is the same however a program writes it, 3 or 3.0."""
    return cell[:-2] if cell.endswith(".0") and cell[:-2].lstrip("-").isdigit() else cell


def number(cell: str, column: Mapping[str, Any], point: str) -> float:
    """A cell of a column of numbers, whose decimal point may be another sign; an empty one is the column's mean."""
    if cell.lower() in MISSING:
        return float(column["mean"])
    try:
        return float(cell.replace(point, "."))
    except ValueError:
        raise ValueError(f"the column {column['name']} holds numbers, came {cell!r}") from None
