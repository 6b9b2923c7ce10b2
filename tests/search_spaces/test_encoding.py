"""Encodings have one length over a space, tell architectures apart; neighbours differ in one decision."""

from __future__ import annotations

import random

import pytest

from netwright.core.errors import SpaceError
from netwright.core.plugins import build, names
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.encoding import OneHot, PathEncoding, adjacency, block_of, neighbours, paths_of
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace
from tests.cli.own_space import Narrowing

SHAPES = Shapes((3, 16, 16), 5)


class Mixed(SearchSpace):
    """Every kind of decision, one of them asked for only sometimes."""

    def decide(self, choose: Chooser) -> int:
        choose.real("rate", 0.0, 2.0)
        choose.subset("parts", ("a", "b", "c"), least=1, most=2)
        choose.integer("width", 1, 1000)
        if choose.boolean("deep"):
            choose.one_of("second", (1, 2, True))
        return 3

    def lower(self, plan: int, net: GraphBuilder, shapes: Shapes) -> Tensor:
        return net.chain(net.input, Flatten(), Linear(features=shapes.classes))


def space_of(name: str) -> SearchSpace:
    space = build("space", name)
    assert isinstance(space, SearchSpace)
    return space


def test_one_hot_rows_have_a_place_per_option_and_zeros_for_what_is_not_asked():
    encoding = OneHot.of(Mixed())
    shallow = {"rate": 0.5, "parts": ["a", "c"], "width": 500, "deep": False}
    row = dict(zip(encoding.columns, encoding.row(shallow), strict=True))
    assert len(row) == len(encoding) == 3 + 2 + 3 + 4
    assert [row[f"parts={part}"] for part in "abc"] == [1, 0, 1]
    assert [row["deep=False"], row["deep=True"]] == [1, 0]
    assert [row["second=1"], row["second=2"], row["second=True"]] == [0, 0, 0]
    assert row["rate in its range"] == 0.25
    assert row["width in its range"] == pytest.approx(499 / 999)
    deep = dict(zip(encoding.columns, encoding.row({**shallow, "deep": True, "second": True}), strict=True))
    assert [deep["second=1"], deep["second=2"], deep["second=True"]] == [0, 0, 1]


@pytest.mark.parametrize("name", names("space"))
def test_one_hot_rows_of_every_space_tell_mutants_apart(name):
    space = space_of(name)
    encoding = OneHot.of(space, samples=200)
    rng = random.Random(5)
    parents = [space.sample(rng) for _ in range(20)]
    pairs = [(encoding.row(parent), encoding.row(space.mutate(parent, rng))) for parent in parents]
    assert all(len(row) == len(encoding) and min(row) >= 0 and max(row) <= 1 for pair in pairs for row in pair)
    assert sum(left != right for left, right in pairs) >= 18  # a rare option may have no place


def test_an_adjacency_matrix_lies_above_the_diagonal_and_names_every_layer():
    graph = Narrowing().graph({"depth": 1, "layer1/width": 4}, SHAPES)
    found = adjacency(graph)
    assert found.operations == ("input", "flatten", "linear 4", "relu", "linear 5")
    assert found.matrix == tuple(tuple(int(j == i + 1) for j in range(5)) for i in range(5))


def cell(**edges: str) -> dict[str, object]:
    return {"width": 8, "depth": 1} | {f"cell/{k[1]}-{k[2]}": v for k, v in edges.items()}


def block(**edges: str):
    graph = space_of("cells").graph(cell(**edges), Shapes((3, 32, 32), 10))
    return block_of(graph, "stage1/cell1")


def test_paths_are_the_ways_through_a_cell():
    found = paths_of(block(e01="conv_3x3", e02="conv_1x1", e12="skip", e03="skip", e13="none", e23="conv_3x3"))
    assert found == {"", "conv 3×3 > conv 3×3", "conv 1×1 > conv 3×3"}


def test_a_path_encoding_has_a_place_per_way_of_the_given_cells():
    first = block(e01="conv_3x3", e02="none", e12="skip", e03="skip", e13="none", e23="conv_3x3")
    second = block(e01="none", e02="none", e12="skip", e03="conv_1x1", e13="none", e23="none")
    encoding = PathEncoding.of([first, second, first])
    assert encoding.paths == ("", "conv 3×3 > conv 3×3", "conv 1×1")
    assert encoding.row(first) == [1, 1, 0]
    assert encoding.row(second) == [0, 0, 1]
    assert len(PathEncoding.of([first, second], most=2)) == 2


def test_an_unknown_block_is_refused_by_name():
    graph = Narrowing().graph({"depth": 1, "layer1/width": 4}, SHAPES)
    with pytest.raises(SpaceError, match="no block 'cell'; it has flatten, layer1, head"):
        block_of(graph, "cell")


def test_neighbours_change_one_decision_and_keep_the_constraint():
    found = list(neighbours(Narrowing(), {"depth": 2, "layer1/width": 8, "layer2/width": 8}))
    assert found == [
        {"depth": 1, "layer1/width": 8},
        {"depth": 3, "layer1/width": 8, "layer2/width": 8, "layer3/width": 4},
        {"depth": 2, "layer1/width": 16, "layer2/width": 8},
        {"depth": 2, "layer1/width": 8, "layer2/width": 4},
    ]


def test_neighbours_of_numbers_of_many_values_are_a_tenth_away():
    decisions = {"rate": 2.0, "parts": ("a",), "width": 500, "deep": False}
    found = list(neighbours(Mixed(), decisions))
    assert [n["rate"] for n in found if n["rate"] != 2.0] == [1.8]
    assert [n["width"] for n in found if n["width"] != 500] == [400, 600]
    assert [n["parts"] for n in found if n["parts"] != ("a",)] == [
        ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"),
    ]  # fmt: skip
    assert [n["second"] for n in found if n["deep"]] == [1]


@pytest.mark.parametrize("name", names("space"))
def test_neighbours_of_every_space_are_of_the_space_and_all_differ(name):
    space = space_of(name)
    decisions = space.sample(random.Random(2))
    found = list(neighbours(space, decisions))
    assert len(found) > 0
    assert len({repr(sorted(n.items())) for n in [*found, decisions]}) == len(found) + 1
    assert found == list(neighbours(space, decisions))
    for other in found[:: max(1, len(found) // 20)]:
        space.trace(other)
