"""The tables of NAS-Bench-101 and NAS-Bench-201 as rows, read from the folder named by NETWRIGHT_DATA."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LABELS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
NAMES_101, NAMES_201 = "nas/nb101_20k_multifidelity.parquet", "nas/nb201_core.parquet"


class NoTableError(Exception):
    """A table that cannot be read here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Row201:
    """A cell of NAS-Bench-201: its string, its costs for CIFAR-10, the class of equal cells it was put into."""

    genotype: str
    params: int
    macs: int
    published_class: str


@dataclass(frozen=True, slots=True)
class Row101:
    """A cell of NAS-Bench-101: its matrix and operations, its parameters for CIFAR-10."""

    genotype: dict[str, Any]
    params: int


def nasbench201() -> list[Row201]:
    """All 15,625 cells."""
    columns = ["arch_str", "params_c10", "macs_c10", "unique_str"]
    return [Row201(*(row[column] for column in columns)) for row in _read(NAMES_201, columns)]


def nasbench101() -> list[Row101]:
    """The 20,001 cells of the sample."""
    return [
        Row101(_genotype(row["vertices"], row["adj_upper"], row["ops"]), row["params"])
        for row in _read(NAMES_101, ["vertices", "adj_upper", "ops", "params"])
    ]


def _genotype(vertices: int, bits: str, letters: str) -> dict[str, Any]:
    """The published form of a matrix whose upper triangle is given row by row, and operations by number."""
    upper = iter(bits)
    matrix = [[int(next(upper)) if end > start else 0 for end in range(vertices)] for start in range(vertices)]
    return {"matrix": matrix, "ops": ["input", *(LABELS[int(letter)] for letter in letters[1:-1]), "output"]}


def _read(name: str, columns: list[str]) -> list[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise NoTableError("the tables are parquet files: pip install pyarrow") from None
    path = Path(os.environ.get("NETWRIGHT_DATA", Path(__file__).parents[1] / "../shared/data")) / name
    if not path.is_file():
        raise NoTableError(f"no table at {path}: set NETWRIGHT_DATA to the folder that holds {name}")
    rows: list[dict[str, Any]] = parquet.read_table(path, columns=columns).to_pylist()
    return rows
