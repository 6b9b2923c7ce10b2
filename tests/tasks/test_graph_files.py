"""Graphs of one's own: arrays and molecules become packed tensors, and what is wrong with them is said."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netwright.core.errors import DataError
from netwright.search_spaces.packed_graph import layout_of
from netwright.search_spaces.spaces.graph import GraphNetwork
from netwright.tasks.kinds.graphs import Graphs
from netwright.tasks.packed_graphs import pack_graph
from tests.search_spaces.cost_check import agrees_with_its_costs

RNG = np.random.default_rng(0)
COUNT, SIZE = 24, 4
NODES = RNG.random((COUNT, SIZE, 3)) + 0.1
NODES[::2, 3:] = 0
JOINED = np.zeros((COUNT, SIZE, SIZE))
JOINED[:, 0, 1] = JOINED[:, 1, 0] = 1
EDGES = RNG.random((COUNT, SIZE, SIZE, 2))
VALUES = NODES.sum((1, 2))
SMILES = ("CCO", "c1ccccc1", "CC(=O)O", "C#N", "[Na+].[Cl-]", "CCN(CC)CC")


def task(folder: Path, arrays: Mapping[str, Any], **settings: Any) -> Graphs:
    np.savez(folder / "graphs.npz", **arrays)
    return Graphs.parse({"path": folder / "graphs.npz", **settings})


def whole(**changed: Any) -> dict[str, Any]:
    found = {"nodes": NODES, "adjacency": JOINED, "edges": EDGES, "targets": VALUES, **changed}
    return {name: array for name, array in found.items() if array is not None}


@pytest.mark.parametrize("edges", [EDGES, None])
def test_arrays_are_packed_and_the_space_knows_which_columns_are_edges(edges: Any, tmp_path: Path) -> None:
    made = task(tmp_path, whole(edges=edges))
    shapes, width = made.shapes(), 0 if edges is None else 2
    assert shapes.input == (SIZE, 1 + 3 + SIZE + width)
    assert shapes.edges == width
    first = pack_graph(NODES[0, :3], JOINED[0, :3, :3], None if edges is None else edges[0, :3, :3], size=SIZE)
    loaded, _ = made.load().train
    np.testing.assert_array_equal(loaded[0], first)
    assert layout_of(shapes.input, edges=shapes.edges).features == 3
    space = GraphNetwork()
    decisions = space.sample(random.Random(1))
    agrees_with_its_costs(space, decisions, shapes)
    read = [node.operation for node in space.graph(decisions, shapes).nodes if node.name.endswith("/nodes")]
    assert [(one.start, one.stop) for one in read] == [(1, 4)]  # type: ignore[attr-defined]


def test_classes_and_given_parts(tmp_path: Path) -> None:
    names = np.array(["flat", "round"])[np.arange(COUNT) % 2]
    arrays = {f"{name}_{part}": a for part in ("train", "test") for name, a in whole(targets=names).items()}
    made = task(tmp_path, arrays, classes=True)
    data = made.data()
    assert data.classes == ("flat", "round")
    assert len(data.test) == COUNT
    assert made.primary().metric == "accuracy"


@pytest.mark.parametrize(
    ("arrays", "settings", "sentence"),
    [
        (whole(adjacency=None), {}, "has nodes without its adjacency or targets: expected nodes"),
        (whole(nodes=None), {}, "has no training graphs"),
        (whole(adjacency=JOINED[:, :3]), {}, r"came the shapes \(24, 4, 3\), \(24, 3, 4\)"),
        (whole(adjacency=JOINED * 2), {}, "must be of zeros and ones"),
        (whole(nodes=NODES * 0), {}, "graph 0 has no node"),
        (whole(adjacency=np.ones_like(JOINED)), {}, "graph 0 has no node, or joins nodes whose features are all zero"),
        (whole(), {"columns": ["y"]}, "columns are named for a table"),
        (whole(), {"shift": 1}, "the inputs are graphs; set shift to 0"),
    ],
)
def test_unusable_arrays_are_refused(
    arrays: dict[str, Any], settings: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=sentence):
        task(tmp_path, arrays, **settings).data()


def molecules(folder: Path, *, last: str = "C") -> Path:
    path = folder / "molecules.csv"
    rows = [f"{smiles},{place},{'big' if place % 2 else 'small'}" for place, smiles in enumerate((*SMILES * 4, last))]
    path.write_text("\n".join(["smiles,weight,kind", *rows]), encoding="utf-8")
    return path


def test_molecules_are_graphs_of_atoms_and_bonds(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    from netwright.tasks.molecules import molecule, pack_molecules

    atoms, joined, bonds = molecule("CC(=O)O")
    assert atoms.shape == (4, 62)
    assert (atoms.sum(axis=1) == 4).all()
    assert joined.sum() == 6
    assert bonds.sum(axis=(0, 1))[:4].tolist() == [4, 2, 0, 0]
    benzene = molecule("c1ccccc1")
    assert (benzene[0].sum(axis=1) == 5).all()
    assert benzene[2].sum(axis=(0, 1)).tolist() == [0, 0, 0, 12, 12, 12]
    path = molecules(tmp_path)
    by_value = Graphs.parse({"path": path, "columns": ["weight"]})
    assert by_value.shapes().input == (7, 1 + 62 + 7 + 6)
    assert by_value.shapes().edges == 6
    loaded, _ = by_value.load().train
    np.testing.assert_array_equal(loaded[:6], pack_molecules(SMILES, size=7))
    assert Graphs.parse({"path": path, "classes": True}).data().classes == ("big", "small")
    assert "pack_molecules(..., size=7)" in by_value.prepared()


def test_a_table_of_molecules_is_checked(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    with pytest.raises(DataError, match=r"molecules.csv: molecule 25: 'C\(C' is no SMILES"):
        Graphs.parse({"path": molecules(tmp_path, last="C(C"), "columns": ["weight"]}).data()
    with pytest.raises(DataError, match="column 'kind': 'small' is no number"):
        Graphs.parse({"path": molecules(tmp_path)}).data()
    with pytest.raises(DataError, match=r"no column 'smile'; did you mean 'smiles'.* by `smiles`"):
        Graphs.parse({"path": molecules(tmp_path), "smiles": "smile"}).data()
