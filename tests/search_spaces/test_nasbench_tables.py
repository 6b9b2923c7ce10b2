"""Costs from decisions, and built models, against the tables of NAS-Bench-101 and NAS-Bench-201."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.nasbench_tables import NoTableError, Row101, Row201, nasbench101, nasbench201
from netwright.core.errors import SpaceError
from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.cost import cost
from netwright.search_spaces.space import SearchSpace

CIFAR = Shapes((3, 32, 32), 10)


def space(kind: str, **settings: Any) -> SearchSpace:
    found = build("space", {"kind": kind, **settings})
    assert isinstance(found, SearchSpace)
    return found


@pytest.fixture(scope="module")
def rows_201() -> list[Row201]:
    try:
        return nasbench201()
    except NoTableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def rows_101() -> list[Row101]:
    try:
        return nasbench101()
    except NoTableError as error:
        pytest.skip(str(error))


def counted_by_torch(searched: SearchSpace, decisions: dict[str, Any], shapes: Shapes) -> tuple[int, int]:
    """Parameters and multiply-accumulates of the built model, on the meta device."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = searched.build(decisions, shapes).to("meta").eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, *shapes.input))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


def test_one_cell_says_what_the_whole_network_does():
    """Costs and classes by one cell, as this space works them out, equal those by all fifteen."""
    searched, rng = space("nasbench201"), random.Random(0)
    cells = [searched.sample(rng) for _ in range(60)] + [searched.mutate(searched.sample(rng), rng) for _ in range(20)]
    cells += [dict.fromkeys(cells[0], operation) for operation in searched.operations]
    for shapes in (CIFAR, Shapes((1, 9, 7), 3)):
        fast = [searched.describe(cell, shapes) for cell in cells]
        slow = [SearchSpace.describe(searched, cell, shapes) for cell in cells]
        assert [cost for _, cost in fast] == [cost for _, cost in slow]
        pairs = {(a, b) for (a, _), (b, _) in zip(fast, slow, strict=True)}
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_costs_of_every_nasbench201_cell_equal_the_table(rows_201):
    searched = space("nasbench201")
    wrong = []
    for row in rows_201:
        decisions = searched.from_genotype(row.genotype)
        found = searched.cost(decisions, CIFAR)
        if (found.params, found.macs) != (row.params, row.macs) or searched.genotype(decisions) != row.genotype:
            wrong.append((row, found))
    assert len(rows_201) == 15_625
    assert wrong == []


@pytest.mark.parametrize(
    ("genotype", "params", "macs"),
    [
        (
            "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
            (129306, 135156, 136456),
            (15647370, 15653220, 3919480),
        ),
        (
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|",
            (802426, 808276, 809576),
            (113951370, 113957220, 28495480),
        ),
        (
            "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|nor_conv_1x1~1|none~2|",
            (101306, 107156, 108456),
            (11715210, 11721060, 2936440),
        ),
    ],
)
def test_costs_of_nasbench201_equal_the_record_for_all_three_data_sets(genotype, params, macs):
    """CIFAR-10, CIFAR-100 and ImageNet16-120, as the benchmark's own record has them."""
    searched = space("nasbench201")
    decisions = searched.from_genotype(genotype)
    shapes = (CIFAR, Shapes((3, 32, 32), 100), Shapes((3, 16, 16), 120))
    found = [searched.cost(decisions, s) for s in shapes]
    assert tuple(f.params for f in found) == params
    assert tuple(f.macs for f in found) == macs


def test_built_nasbench201_networks_have_the_tables_parameters(rows_201):
    """The built model counts products alone; the table one more per class."""
    published, products = space("nasbench201"), space("nasbench201", macs="products")
    for row in random.Random(0).sample(rows_201, 4):
        decisions = published.from_genotype(row.genotype)
        params, macs = counted_by_torch(published, decisions, CIFAR)
        assert (params, macs + 10) == (row.params, row.macs)
        assert cost(published.graph(decisions, CIFAR)).macs == macs == products.cost(decisions, CIFAR).macs


def test_dead_operations_can_be_removed_from_nasbench201():
    keep, remove = space("nasbench201"), space("nasbench201", dead_operations="remove")
    genotype = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    decisions = keep.from_genotype(genotype)
    assert keep.cost(decisions, CIFAR).params == 73306 + 5 * (48608 + 5600)
    # of the 1x1 convolution of zeros, the normalisation's shift and scale remain: 2 * 5 * (16 + 32 + 64)
    assert remove.cost(decisions, CIFAR).params == 73306 + 1120
    assert keep.identity(decisions, CIFAR) == remove.identity(decisions, CIFAR)


def test_parameters_of_nasbench101_cells_equal_the_table(rows_101):
    searched = space("nasbench101")
    sample = random.Random(0).sample(rows_101, 1500)
    sample += [row for row in rows_101 if len(row.genotype["ops"]) < 6]
    wrong = [r for r in sample if searched.cost(searched.from_genotype(r.genotype), CIFAR).params != r.params]
    assert wrong == []


@pytest.mark.slow
def test_parameters_of_every_nasbench101_cell_equal_the_table(rows_101):
    searched = space("nasbench101")
    wrong = [r for r in rows_101 if searched.cost(searched.from_genotype(r.genotype), CIFAR).params != r.params]
    assert len(rows_101) == 20_001
    assert wrong == []


def test_built_nasbench101_networks_have_the_tables_parameters(rows_101):
    searched = space("nasbench101")
    for row in random.Random(0).sample(rows_101, 4):
        decisions = searched.from_genotype(row.genotype)
        assert counted_by_torch(searched, decisions, CIFAR)[0] == row.params


def test_costing_needs_no_torch(rows_201, rows_101):
    code = (
        "import json, sys; from netwright.core.plugins import build; from netwright.core.shapes import Shapes;"
        "lines = json.loads(sys.stdin.read());"
        "[s.cost(s.from_genotype(g), Shapes((3, 32, 32), 10)) for k, g in lines for s in [build('space', k)]];"
        "print('torch' in sys.modules)"
    )
    lines = [("nasbench201", rows_201[0].genotype), ("nasbench101", rows_101[0].genotype)]
    run = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(lines), capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"


@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        ("|none~0|+|none~0|none~1|", "has three nodes"),
        ("|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", "one edge from every earlier node"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|conv~2|", "'cell/2-3' is 'conv'; expected one of 'none'"),
        ([["none", 0]], "a NAS-Bench-201 genotype reads"),
        ("none", "a NAS-Bench-201 genotype reads"),
    ],
)
def test_a_wrong_nasbench201_genotype_is_refused(genotype, message):
    with pytest.raises(SpaceError, match=message):
        space("nasbench201").from_genotype(genotype)


@pytest.mark.parametrize(
    ("matrix", "ops", "message"),
    [
        ([[0, 1], [0, 1]], ["input", "output"], "no edge back"),
        ([[0, 1], [0, 0], [0, 0]], ["input", "output"], "2 rows of 2"),
        ([[0, 2], [0, 0]], ["input", "output"], "times 0 or 1"),
        ([[0, 0], [0, 0]], ["input", "output"], "no path leads"),
        ([[0, 1], [0, 0]], ["output", "input"], "operations input"),
        ([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv5x5", "output"], "'vertex1/operation' is 'conv5x5'"),
        ([[int(j > i) for j in range(6)] for i in range(6)], ["input", *["maxpool3x3"] * 4, "output"], "has 15 edges"),
    ],
)
def test_a_wrong_nasbench101_genotype_is_refused(matrix, ops, message):
    with pytest.raises(SpaceError, match=message):
        space("nasbench101").from_genotype(json.dumps({"matrix": matrix, "ops": ops}))


def test_dead_vertices_of_a_nasbench101_genotype_are_left_out():
    searched = space("nasbench101")
    conv, pool = "conv3x3-bn-relu", "maxpool3x3"
    plain = {"matrix": [[0, 1, 0], [0, 0, 1], [0, 0, 0]], "ops": ["input", conv, "output"]}
    dead = {
        "matrix": [[0, 1, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]],
        "ops": ["input", conv, pool, pool, "output"],
    }
    one, other = searched.from_genotype(plain), searched.from_genotype(dead)
    assert one == other == {"output/inputs": (1,), "vertex1/operation": conv, "vertex1/inputs": (0,)}
    assert json.loads(searched.genotype(one)) == plain
