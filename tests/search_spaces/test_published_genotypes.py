"""Genotypes as people have them, copied from papers and code: they are read, and cost what plain torch counts."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from netwright.core.errors import SpaceError
from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.printed_python import printed_value
from tests.search_spaces.darts_by_hand import Network, counts

CIFAR = Shapes((3, 32, 32), 10)
CELLS = {
    "DARTS_V1": """DARTS_V1 = Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0),
('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)],
normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0),
('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])""",
    "DARTS_V2": """Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1),
('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5],
reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0),
('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])""",
    "PC-DARTS": """PCDARTS = Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0),
('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), ('dil_conv_3x3', 1)],
normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2),
('sep_conv_3x3', 0), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], reduce_concat=range(2, 6))""",
    "P-DARTS": """genotypes.Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0),
('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3',0), ('dil_conv_5x5', 4)],
normal_concat=list(range(2, 6)), reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0),
('dil_conv_5x5', 2), ('max_pool_3x3', 0), ('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)],
reduce_concat=list(range(2, 6)))""",
    "SNAS (mild)": """Genotype([('sep_conv_3x3', 0), ('skip_connect', 1), ('skip_connect', 0), ('dil_conv_3x3', 1),
('skip_connect', 1), ('skip_connect', 0), ('skip_connect', 0), ('skip_connect', 1)], range(2, 6),
[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('max_pool_3x3', 1), ('skip_connect', 2), ('skip_connect', 2),
('max_pool_3x3', 1), ('max_pool_3x3', 0), ('dil_conv_5x5', 2)], range(2, 6))""",
    "GDAS": """Structure(normal=[(('skip_connect', 0), ('skip_connect', 1)), (('skip_connect', 0), ('sep_conv_5x5', 2)),
(('sep_conv_3x3', 3), ('skip_connect', 0)), (('sep_conv_5x5', 4), ('sep_conv_3x3', 3))], normal_concat=[2, 3, 4, 5],
reduce=[(('sep_conv_5x5', 0), ('sep_conv_3x3', 1)), (('sep_conv_5x5', 2), ('sep_conv_5x5', 1)),
(('dil_conv_5x5', 2), ('sep_conv_3x3', 1)), (('sep_conv_5x5', 0), ('sep_conv_5x5', 1))], reduce_concat=[2, 3, 4, 5],
connectN=None, connects=None)""",
    "NASNet": """NASNet = Genotype(
  normal = [
    ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 0), ('avg_pool_3x3', 1),
    ('skip_connect', 0), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 1),
  ],
  normal_concat = [2, 3, 4, 5, 6],
  reduce = [
    ('sep_conv_5x5', 1), ('sep_conv_7x7', 0), ('max_pool_3x3', 1), ('sep_conv_7x7', 0), ('avg_pool_3x3', 1),
    ('sep_conv_5x5', 0), ('skip_connect', 3), ('avg_pool_3x3', 2), ('sep_conv_3x3', 2), ('max_pool_3x3', 1),
  ],
  reduce_concat = [4, 5, 6],
)""",
    "AmoebaNet": """Genotype(normal = [('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0),
('sep_conv_5x5', 2), ('sep_conv_3x3', 0), ('avg_pool_3x3', 3), ('sep_conv_3x3', 1), ('skip_connect', 1),
('skip_connect', 0), ('avg_pool_3x3', 1)], normal_concat = [4, 5, 6], reduce = [('avg_pool_3x3', 0),
('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('sep_conv_7x7', 2), ('sep_conv_7x7', 0), ('avg_pool_3x3', 1),
('max_pool_3x3', 0), ('max_pool_3x3', 1), ('conv_7x1_1x7', 0), ('sep_conv_3x3', 5)], reduce_concat = [3, 4, 6])""",
    "ENAS": """Genotype(normal = [('sep_conv_3x3', 1), ('skip_connect', 1), ('sep_conv_5x5', 1), ('skip_connect', 0),
('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('avg_pool_3x3', 1), ('sep_conv_5x5', 1),
('avg_pool_3x3', 0)], normal_concat = [2,3,4,5,6], reduce=[('sep_conv_5x5', 0),('avg_pool_3x3', 1),('sep_conv_3x3', 1),
('avg_pool_3x3', 1),('sep_conv_3x3', 1),('avg_pool_3x3', 1),('avg_pool_3x3', 1),('sep_conv_5x5', 4),('sep_conv_3x3', 5),
('sep_conv_5x5', 0)], reduce_concat=[2,3,4,6])""",
}
MATRIX = [[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
NAMES = ["input", "conv3x3-bn-relu", "maxpool3x3", "output"]
STRING = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|skip_connect~1|nor_conv_3x3~2|"


class Genotype(NamedTuple):
    normal: list[Any]
    normal_concat: list[int]
    reduce: list[Any]
    reduce_concat: list[int]
    connectN: Any = None
    connects: Any = None


def by_hand(text: str) -> Network:
    """The cells as Python itself reads them, in the network written in plain torch."""
    known = {"Genotype": Genotype, "Structure": Genotype, "genotypes": SimpleNamespace(Genotype=Genotype)}
    cells = eval(re.sub(r"^\w+ = ", "", text), known)
    flat = [[pair for e in cell for pair in ([e] if isinstance(e[0], str) else e)] for cell in (cells[0], cells[2])]
    return Network(flat[0], cells.normal_concat, flat[1], cells.reduce_concat)


@pytest.mark.parametrize("name", CELLS)
def test_a_printed_genotype_costs_what_its_network_in_plain_torch_does(name):
    space = build("space", {"kind": "nasnet_cell", "filters": [36], "cells": [6]})
    found = space.cost(space.from_genotype(CELLS[name]), CIFAR)
    assert (found.params, found.macs) == counts(by_hand(CELLS[name]))


@pytest.mark.parametrize(
    "genotype",
    [
        {"matrix": MATRIX, "ops": NAMES},
        {"matrix": MATRIX, "operations": NAMES},
        {"module_adjacency": MATRIX, "module_operations": NAMES},
        [MATRIX, NAMES],
        {"matrix": MATRIX, "ops": NAMES[1:-1]},
        f"ModelSpec(matrix={MATRIX}, ops={NAMES})",
        f"cell = api.ModelSpec({MATRIX}, [INPUT, CONV3X3, MAXPOOL3X3, OUTPUT])",
        str({"matrix": MATRIX, "ops": NAMES}),
        {"matrix": "[[0 1 1 0]\n [0 0 1 1]\n [0 0 0 1]\n [0 0 0 0]]", "ops": NAMES},
        {"matrix": "array([[0., 1., 1., 0.], [0., 0., 1., 1.], [0., 0., 0., 1.], [0., 0., 0., 0.]])", "ops": NAMES},
        {"matrix": [1, 1, 0, 1, 1, 1], "ops": NAMES},
        {"adjacency": [[1, 1, 0], [1, 1], [1]], "operations": NAMES[1:-1]},
        {"adj_upper": "110111", "ops": "i02o", "vertices": 4},
        {"matrix": "0110001100010000", "ops": NAMES},
        {"matrix": [value for row in MATRIX for value in row], "ops": NAMES},
        {"matrix": ["0110", "0011", "0001", "0000"], "ops": NAMES},
    ],
    ids=["object", "operations", "record", "pair", "without ends", "printed", "constants", "Python dictionary",
         "printed array", "array as text", "upper triangle", "rows of the triangle", "row of a table", "digits",
         "one after another", "rows of digits"],
)  # fmt: skip
def test_a_matrix_with_operations_is_read_however_it_is_written(genotype):
    space = build("space", "nasbench101")
    assert space.from_genotype(genotype) == {
        "output/inputs": (1, 2),
        "vertex2/operation": "maxpool3x3",
        "vertex2/inputs": (0, 1),
        "vertex1/operation": "conv3x3-bn-relu",
        "vertex1/inputs": (0,),
    }


def test_a_genotype_that_went_through_json_is_the_printed_one():
    space = build("space", "nasnet_cell")
    cells = printed_value(CELLS["DARTS_V2"], fields=())
    text = {**cells, "normal_concat": "range(2, 6)", "reduce_concat": "[2, 3, 4, 5]"}
    wanted = space.from_genotype(CELLS["DARTS_V2"])
    assert [space.from_genotype(way) for way in (list(cells.values()), text)] == [wanted, wanted]


@pytest.mark.parametrize(
    "genotype",
    [
        STRING.replace("nor_conv", "conv").replace("skip_connect", "skip"),
        STRING.replace("+", " + ") + "\n",
        "|nor_conv_3x3~0|+|nor_conv_1x1~1|skip_connect~0|+|none~0|skip_connect~1|nor_conv_3x3~2|",
        [[("nor_conv_3x3", 0)], [("skip_connect", 0), ("nor_conv_1x1", 1)],
         [("none", 0), ("skip_connect", 1), ("nor_conv_3x3", 2)]],
        f"Structure(4 nodes with {STRING})",
        {"arch_str": STRING, "arch_index": 3},
        f"best = '{STRING}'",
        STRING.strip("|"),
    ],
    ids=["short names", "blanks", "another order", "lists", "printed", "record", "named and quoted", "no outer bars"],
)  # fmt: skip
def test_a_string_of_edges_is_read_however_it_is_written(genotype):
    space = build("space", "nasbench201")
    assert space.from_genotype(genotype) == space.from_genotype(STRING)


def test_a_recurrent_genotype_is_read_as_it_is_printed():
    space = build("space", {"kind": "recurrent_cell", "nodes": [1, 8]})
    printed = "DARTS_V1 = Genotype(recurrent=[('relu', 0), ('relu', 1), ('tanh', 2)], concat=range(1, 4))"
    data = {"recurrent": [["relu", 0], ["relu", 1], ["tanh", 2]], "concat": [1, 2, 3]}
    assert space.from_genotype(printed) == space.from_genotype(data)


@pytest.mark.parametrize(
    ("kind", "genotype", "reason"),
    [
        ("nasnet_cell", {"normal": [["skip_connect", 0]], "reduce": []}, "the normal cell has 1 "),
        ("nasnet_cell", {"normal": [["skip_connect", 0.5], ["skip_connect", 1]]}, "not a genotype of cells"),
        ("nasnet_cell", "hello", "not a genotype of cells"),
        ("nasnet_cell", "", "not a genotype of cells"),
        ("nasbench101", {"matrix": MATRIX}, "a NAS-Bench-101 genotype reads"),
        ("nasbench101", {"matrix": MATRIX, "ops": [1, 2, 3]}, "input, at most 5 others, output"),
        ("nasbench101", {"matrix": "[[0 1]]", "ops": NAMES}, "a matrix of 4 rows of 4 times 0 or 1"),
        ("nasbench101", {"matrix": "0110", "ops": NAMES}, "a NAS-Bench-101 genotype reads"),
        ("nasbench101", {"matrix": MATRIX, "ops": "i0o"}, "a matrix of 3 rows of 3 times 0 or 1"),
        ("nasbench101", {"matrix": MATRIX, "ops": "hello"}, "a NAS-Bench-101 genotype reads"),
        ("nasbench101", {"matrix": [[1, 1, 0], [1, 1, 1]], "ops": NAMES}, "a matrix of 4 rows of 4 times 0 or 1"),
        ("nasbench201", [["nor_conv_3x3", 0]], "a NAS-Bench-201 genotype reads"),
        ("nasbench201", STRING.replace("~2", "~1"), "one edge from every earlier node"),
        ("nasbench201", 12, "a NAS-Bench-201 genotype reads"),
        ("recurrent_cell", "Genotype(recurrent=3)", "a recurrent genotype reads"),
    ],
)
def test_a_genotype_that_is_none_is_refused_with_the_reason(kind, genotype, reason):
    with pytest.raises(SpaceError, match=re.escape(reason)):
        build("space", kind).from_genotype(genotype)


@pytest.mark.parametrize(
    "text", ["f()()", "open('x').read()", "x", "[1, 2", "lambda: 1", "1; 2", "x = y = 1 +", " " * 100_001]
)
def test_only_values_are_read_and_nothing_is_run(text):
    with pytest.raises(ValueError):  # noqa: PT011 # any reason will do
        printed_value(text, fields=())
