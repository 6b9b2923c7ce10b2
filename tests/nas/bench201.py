"""NAS-Bench-201 (Dong & Yang, 2020) as a space and a table of results, where the data are at hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace

EDGES = ("e01", "e02", "e12", "e03", "e13", "e23")


class Bench201(SearchSpace):
    """Six edges with one of five operations each; only the decisions are used."""

    def decide(self, choose: Chooser) -> tuple[int, ...]:
        return tuple(int(choose.one_of(edge, (0, 1, 2, 3, 4))) for edge in EDGES)

    def lower(self, plan: tuple[int, ...], net: GraphBuilder, shapes: Shapes) -> Tensor:
        return net.chain(net.input, Flatten(), Linear(features=shapes.output))


@dataclass(frozen=True)
class Table:
    """Accuracy (percent), multiply-accumulates (millions) and isomorphism class of every cell."""

    accuracy: dict[tuple[int, ...], float]
    mmacs: dict[tuple[int, ...], float]
    name: dict[tuple[int, ...], str]

    def evaluate(self, decisions: Mapping[str, Any]) -> dict[str, float]:
        cell = tuple(decisions[edge] for edge in EDGES)
        return {"accuracy": self.accuracy[cell], "mmacs": self.mmacs[cell]}

    def identity(self, decisions: Mapping[str, Any]) -> str:
        return self.name[tuple(decisions[edge] for edge in EDGES)]


@cache
def table(column: str = "c100_test_200") -> Table:
    """The table, or a skipped test where there is none."""
    folder = Path(os.environ.get("NETWRIGHT_DATA", Path(__file__).parents[2] / "../shared/data"))
    path = folder / "nas" / "nb201_core.parquet"
    if not path.exists():
        pytest.skip("no NAS-Bench-201 table: set NETWRIGHT_DATA to the folder that holds nas/nb201_core.parquet")
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    data = pandas.read_parquet(path, columns=[*EDGES, column, "macs_c10", "unique_str"])
    cells = [tuple(int(v) for v in row) for row in data[list(EDGES)].to_numpy()]
    return Table(
        dict(zip(cells, map(float, data[column]), strict=True)),
        dict(zip(cells, (float(v) / 1e6 for v in data["macs_c10"]), strict=True)),
        dict(zip(cells, map(str, data["unique_str"]), strict=True)),
    )
