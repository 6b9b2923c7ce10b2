"""NAS-Bench-101's cells: equal under renumbering, wired as published, drawn without waste."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import permutations
from typing import Any

import pytest

from benchmarks.nasbench_tables import NoTableError, nasbench101
from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import RejectedDecisionsError
from netwright.search_spaces.choosers import RandomChooser, ReplayChooser
from netwright.search_spaces.labelled_cell import LabelledCell, as_published, labelled_cell
from netwright.search_spaces.space import SearchSpace

SMALL = Shapes((3, 8, 8), 4)


def space(**settings: Any) -> SearchSpace:
    found = build("space", {"kind": "nasbench101", **settings})
    assert isinstance(found, SearchSpace)
    return found


def renumbered(genotype: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The same cell with its inner vertices in another order that leads forward."""
    matrix, ops = genotype["matrix"], genotype["ops"]
    count = len(ops)
    orders = [
        order
        for inner in permutations(range(1, count - 1))
        for order in [(0, *inner, count - 1)]
        if not any(matrix[order[i]][order[j]] for i in range(count) for j in range(i))
    ]
    order = rng.choice(orders)
    return {"matrix": [[matrix[s][t] for t in order] for s in order], "ops": [ops[v] for v in order]}


def test_renumbered_cells_share_identity_and_cost():
    searched, rng, moved = space(), random.Random(0), 0
    for _ in range(60):
        one = json.loads(searched.genotype(searched.sample(rng)))
        other = renumbered(one, rng)
        moved += one != other
        a, b = searched.from_genotype(one), searched.from_genotype(other)
        assert searched.identity(a, SMALL) == searched.identity(b, SMALL)
        assert searched.cost(a, SMALL) == searched.cost(b, SMALL)
    assert moved > 20


def test_cells_of_the_table_are_numbered_as_published():
    """What the benchmark trained is what is built, of all the ways to number a cell."""
    try:
        rows = nasbench101()
    except NoTableError as error:
        pytest.skip(str(error))
    for row in rows:
        matrix, ops = row.genotype["matrix"], row.genotype["ops"]
        edges = [(s, t) for t in range(len(ops)) for s in range(t) if matrix[s][t]]
        cell = labelled_cell(edges, dict(enumerate(ops)), len(ops) - 1)
        assert cell == as_published(cell) == LabelledCell(tuple(edges), tuple(ops[1:-1]))


@pytest.mark.parametrize("count", [2000, pytest.param(20_001, marks=pytest.mark.slow)])
def test_cells_of_the_table_share_an_identity_only_when_a_pooling_is_made_twice(count):
    """The table has every cell once; max-pooling the same tensor twice is the one thing its classes keep apart."""
    try:
        rows = random.Random(1).sample(nasbench101(), count)
    except NoTableError as error:
        pytest.skip(str(error))
    searched = space(stacks=1, cells_per_stack=1)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(searched.identity(searched.from_genotype(row.genotype), SMALL), []).append(row.genotype)
    for cells in found.values():
        largest = max(len(cell["ops"]) for cell in cells)
        assert len(cells) == 1 or all(pools_twice(cell) for cell in cells if len(cell["ops"]) == largest)
    assert len(found) > 0.999 * count


def pools_twice(genotype: dict[str, Any]) -> bool:
    matrix, ops = genotype["matrix"], genotype["ops"]
    reads = [tuple(row[v] for row in matrix) for v in range(len(ops)) if ops[v] == "maxpool3x3"]
    return len(set(reads)) < len(reads)


def test_channels_are_shared_as_published():
    """Three vertices share 128 channels as 43, 43, 42; one that nothing joins is as wide as its widest reader."""
    cell = LabelledCell(
        ((0, 1), (1, 2), (1, 3), (0, 4), (2, 5), (3, 5), (4, 5)), ("conv3x3-bn-relu",) * 3 + ("maxpool3x3",)
    )
    assert cell.channels(128) == [43, 43, 43, 42]
    assert LabelledCell(((0, 1),), ()).channels(128) == []


def test_a_cell_computes_what_the_paper_says():
    """The cell's output beside one worked out from the matrix, with the built model's own layers."""
    import torch

    searched, rng = space(channels=10, stacks=1, cells_per_stack=1), random.Random(3)
    shapes = Shapes((3, 6, 6), 2)
    for _ in range(12):
        decisions = searched.sample(rng)
        genotype = published(searched, decisions)
        model = searched.build(decisions, shapes, seed=1).eval()
        images = torch.randn(2, 3, 6, 6)
        with torch.inference_mode():
            stem = block(model, "stem")(images)
            cell = by_matrix(genotype, stem, model, filters=10)
            expected = model.get_submodule("head.linear")(cell.mean(dim=(2, 3)))
            torch.testing.assert_close(model(images), expected)


def published(searched: SearchSpace, decisions: dict[str, Any]) -> dict[str, Any]:
    given = json.loads(searched.genotype(decisions))
    edges = [(s, t) for t in range(len(given["ops"])) for s in range(t) if given["matrix"][s][t]]
    cell = as_published(labelled_cell(edges, dict(enumerate(given["ops"])), len(given["ops"]) - 1))
    size = cell.output + 1
    matrix = [[int((s, t) in cell.edges) for t in range(size)] for s in range(size)]
    return {"matrix": matrix, "ops": ["input", *cell.labels, "output"]}


def block(model: Any, path: str) -> Any:
    """Convolution, normalisation and ReLU at a place of the model."""
    holder = model.get_submodule(path)
    return lambda x: holder.batch_norm(holder.conv2d(x)).relu()


def by_matrix(genotype: dict[str, Any], x: Any, model: Any, *, filters: int) -> Any:
    import torch
    from torch.nn import functional

    matrix, ops = genotype["matrix"], genotype["ops"]
    last = len(ops) - 1
    values = {0: x}
    for vertex in range(1, last):
        place = f"stack1.cell1.vertex{vertex}"
        width = width_of(genotype, vertex, filters)
        total = sum(values[s][:, :width] for s in range(1, vertex) if matrix[s][vertex])
        if matrix[0][vertex]:
            total = total + block(model, f"{place}.from_input")(x)
        pools = ops[vertex] == "maxpool3x3"
        value = functional.max_pool2d(total, 3, 1, 1) if pools else block(model, f"{place}.{ops[vertex]}")(total)
        assert value.shape[1] == width
        values[vertex] = value
    joined = [values[v] for v in range(1, last) if matrix[v][last]]
    result = torch.cat(joined, 1) if joined else 0
    return result + block(model, "stack1.cell1.output.from_input")(x) if matrix[0][last] else result


def width_of(genotype: dict[str, Any], vertex: int, filters: int) -> int:
    """A vertex's channels: an even share of the output's, the rest to the first; else those of its widest reader."""
    matrix, last = genotype["matrix"], len(genotype["ops"]) - 1
    joined = [v for v in range(1, last) if matrix[v][last]]
    if vertex in joined:
        return len(range(joined.index(vertex), filters, len(joined)))
    return max(width_of(genotype, v, filters) for v in range(vertex + 1, last) if matrix[vertex][v])


def test_decisions_reach_every_published_cell():
    """423,624 cells, the benchmark's own number: all wirings, each with all ways to put operations on its vertices."""
    one_operation = space(operations=["maxpool3x3"])
    decided = [one_operation.decide(ReplayChooser(d)) for d in one_operation.enumerate()]
    assert sum(3 ** len(cell.labels) for cell in decided) == 1_824_025
    assert sum(labellings(cell, kinds=3) for cell in {as_published(cell) for cell in decided}) == 423_624


def labellings(cell: LabelledCell, *, kinds: int) -> int:
    """How many cells that differ come of this wiring with so many operations (Burnside's lemma)."""
    fixed = []
    for order in permutations(range(1, cell.output)):
        number = (0, *order, cell.output)
        if {(number[source], number[target]) for source, target in cell.edges} == set(cell.edges):
            fixed.append(kinds ** cycles(order))
    return sum(fixed) // len(fixed)


def cycles(order: tuple[int, ...]) -> int:
    seen: set[int] = set()
    count = 0
    for start in order:
        count += start not in seen
        vertex = start
        while vertex not in seen:
            seen.add(vertex)
            vertex = order[vertex - 1]
    return count


def test_most_draws_are_allowed_and_differ():
    searched, rng = space(), random.Random(0)
    sizes: Counter[int] = Counter()
    genotypes, refused = set(), 0
    for _ in range(2000):
        chooser = RandomChooser(rng)
        try:
            cell = searched.decide(chooser)
        except RejectedDecisionsError:
            refused += 1
            continue
        assert len(cell.edges) <= 9
        assert len(cell.labels) <= 5
        sizes[len(cell.labels) + 2] += 1
        genotypes.add(as_published(cell))
    assert refused < 0.3 * 2000
    assert set(sizes) == {2, 3, 4, 5, 6, 7}
    assert len(genotypes) > 0.6 * (2000 - refused)
    assert max(sizes.values()) < 0.6 * 2000


def test_no_decision_is_about_a_dead_vertex():
    searched, rng = space(), random.Random(0)
    for _ in range(50):
        decisions = searched.sample(rng)
        read = {v for name, value in decisions.items() if name.endswith("/inputs") for v in value}
        assert {int(name[6:-7]) for name in decisions if name.startswith("vertex") and name.endswith("/inputs")} == {
            v for v in read if v
        }
