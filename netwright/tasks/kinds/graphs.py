"""The task of predicting values or classes of graphs, such as molecules, from data of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from netwright.core.errors import DataError
from netwright.core.shapes import Shapes
from netwright.tasks.columns import read_columns, rows_by_part
from netwright.tasks.data import AnyArray, Arrays, Pair, Preprocessing
from netwright.tasks.labels import numbered
from netwright.tasks.molecules import BOND_FEATURES, pack_molecules
from netwright.tasks.npz_file import PARTS, TARGETS, read_stored
from netwright.tasks.packed_graphs import pack_graph
from netwright.tasks.paths import DataPath
from netwright.tasks.real_targets import RealValues
from netwright.tasks.stored import StoredTask
from netwright.tasks.table import numbers, read_cells
from netwright.tasks.tag_targets import SampleLabels, labels_of
from netwright.tasks.targets import ClassNumbers, Targets

NEEDED = "expected nodes [N, n, features], adjacency [N, n, n], if there are any edges [N, n, n, features], and targets"


class Graphs(StoredTask):
    """Predict values or classes of graphs: arrays in an .npz file, or a table with a column of SMILES (needs rdkit).

    The .npz file holds `nodes` [N, n, features], `adjacency` [N, n, n] of 0 and 1, `edges` [N, n, n, features] if
    edges have any, and `targets`; or the same with `_train`, `_validation` and `_test`. Rows of `nodes` that are all
    zeros fill smaller graphs up. Molecules become graphs of 62 atom and 6 bond features (Duvenaud et al., 2015).
    Networks learn values standardised by the training samples, as in `regression`.
    """

    path: DataPath = Field(description=".npz file of arrays, or .csv, .tsv or .parquet table with a row of names")
    classes: bool = Field(
        default=False,
        description="targets are classes; otherwise they are values. Of several columns each is a label: 0, 1, or "
        "empty where it is not known",
    )
    smiles: str = Field(default="smiles", description="name of the table's column of molecules")
    columns: tuple[str, ...] = Field(
        default=(), description="names of the table's target columns; default: the last one besides the others"
    )
    split: str = Field(default="", description="name of a column that says train, validation or test, if there is one")

    @classmethod
    def example_settings(cls, folder: Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        count, size = 60, 6
        sizes = rng.integers(2, size + 1, count)
        there = np.arange(size) < sizes[:, None]
        upper = np.triu(rng.random((count, size, size)) < 0.5, 1) & there[:, None] & there[:, :, None]
        joined = (upper | upper.swapaxes(1, 2)).astype(np.float32)
        nodes = np.eye(3)[rng.integers(0, 3, (count, size))] * there[..., None]
        edges = rng.normal(size=(count, size, size, 2)) * joined[..., None]
        path = folder / "graphs.npz"
        np.savez(path, nodes=nodes, adjacency=joined, edges=edges + edges.swapaxes(1, 2), targets=nodes[..., 0].sum(1))
        return {"path": str(path)}

    def targets(self) -> Targets:
        if self.classes and len(self.columns) > 1:
            return SampleLabels(labels=self.columns)
        return ClassNumbers() if self.classes else RealValues()

    def preprocess(self, inputs: AnyArray) -> Preprocessing:
        columns = inputs.shape[2]
        return Preprocessing(scale=1.0, mean=(0.0,) * columns, std=(1.0,) * columns, axis=2)

    def prepared(self) -> str:
        rows = self.data().train.inputs.shape[1]
        made = "pack_graph" if self.path.suffix.lower() == ".npz" else "pack_molecules"
        where = "packed_graphs" if made == "pack_graph" else "molecules"
        return f"graphs are packed into {rows} rows by netwright.tasks.{where}.{made}(..., size={rows})"

    def shapes(self) -> Shapes:
        return replace(super().shapes(), edges=self.data().reading["edge_features"])

    def load(self) -> Arrays:
        if self.shift:
            raise DataError(f"{self.path}: shift moves pixels or steps, but the inputs are graphs; set shift to 0")
        parts, edges = self._arrays() if self.path.suffix.lower() == ".npz" else self._molecules()
        made = Arrays.of(parts, reading={"edge_features": edges})
        return numbered(made, where=self.where()) if self.classes and len(self.columns) < 2 else made

    def _molecules(self) -> tuple[dict[str, Pair], int]:
        """Packed molecules and targets by part, and the number of edge features."""
        others = {"smiles": self.smiles, "split": self.split}
        names = self.columns or tuple(n for n in read_cells(self.path) if n not in others.values())[-1:]
        found = read_columns(self.path, others | {f"columns.{place}": name for place, name in enumerate(names)})
        targets = [found[f"columns.{place}"] for place in range(len(names))]
        if not targets:
            raise DataError(f"{self.path} has no column of targets besides {self.smiles!r}")
        smiles = found["smiles"]
        rows = rows_by_part(found.get("split"), rows=len(smiles), path=self.path)
        try:
            packed = pack_molecules(smiles.tolist())
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from None
        if self.classes and len(targets) == 1:
            return {part: (packed[chosen], targets[0][chosen]) for part, chosen in rows.items()}, BOND_FEATURES
        if self.classes:
            values = labels_of(dict(zip(names, targets, strict=True)), path=self.path)
        else:
            values = numbers(self.path, dict(zip(names, targets, strict=True)))
        return {part: (packed[chosen], values[chosen]) for part, chosen in rows.items()}, BOND_FEATURES

    def _arrays(self) -> tuple[dict[str, Pair], int]:
        """Packed graphs and targets by part, and the number of edge features."""
        if self.columns or self.split:
            raise DataError(f"{self.path}: columns are named for a table; an .npz file has none")
        stored = {name.lower(): array for name, array in read_stored(self.path).items()}
        parts = {}
        for part, aliases in PARTS.items():
            ends = [f"_{alias}" if alias else "" for alias in aliases]
            end = next((end for end in ends if f"nodes{end}" in stored), None)
            if end is None:
                continue
            targets = next((stored[f"{name}{end}"] for name in TARGETS if f"{name}{end}" in stored), None)
            if f"adjacency{end}" not in stored or targets is None:
                raise DataError(f"{self.path} has nodes{end} without its adjacency or targets: {NEEDED}")
            parts[part] = self._packed(stored, end), targets
        if "train" not in parts:
            raise DataError(f"{self.path} has no training graphs: {NEEDED}; it has {', '.join(stored) or 'no array'}")
        return parts, next((a.shape[-1] for name, a in stored.items() if name.startswith("edges")), 0)

    def _packed(self, stored: Mapping[str, AnyArray], end: str) -> AnyArray:
        nodes, joined = stored[f"nodes{end}"], stored[f"adjacency{end}"]
        edges = stored.get(f"edges{end}")
        rows = nodes.shape[1] if nodes.ndim == 3 else 0
        fits = rows and joined.shape == (len(nodes), rows, rows)
        if not fits or (edges is not None and (edges.ndim != 4 or edges.shape[:3] != joined.shape)):
            came = ", ".join(str(a.shape) for a in (nodes, joined, edges) if a is not None)
            raise DataError(f"{self.path}: {NEEDED}; came the shapes {came}")
        packed = []
        for place in range(len(nodes)):
            count = int(np.flatnonzero(nodes[place].any(axis=1)).max(initial=-1)) + 1
            if not count or joined[place, count:].any() or joined[place, :, count:].any():
                raise DataError(f"{self.path}: graph {place} has no node, or joins nodes whose features are all zero")
            edge = None if edges is None else edges[place, :count, :count]
            packed.append(pack_graph(nodes[place, :count], joined[place, :count, :count], edge, size=rows))
        return np.stack(packed)
