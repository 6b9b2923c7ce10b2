"""Our identity against the classes of equal cells in NAS-Bench-201's table: every difference has a cause."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.nasbench201_classes import Cell, compare, description, read, wiring
from benchmarks.nasbench_tables import NoTableError, Row201, nasbench201
from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.space import SearchSpace

SHAPES = Shapes((3, 8, 8), 10)


@pytest.fixture(scope="module")
def rows() -> list[Row201]:
    try:
        return nasbench201()
    except NoTableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def cells(rows: list[Row201]) -> list[Cell]:
    return [read(row.genotype) for row in rows]


@pytest.fixture(scope="module")
def identities(rows: list[Row201]) -> list[str]:
    searched = small_space()
    return [searched.identity(searched.from_genotype(row.genotype), SHAPES) for row in rows]


def small_space(**settings: Any) -> SearchSpace:
    found = build("space", {"kind": "nasbench201", "cells_per_stage": 1, "channels": 4, **settings})
    assert isinstance(found, SearchSpace)
    return found


def test_the_published_classes_are_understood(rows, cells):
    """The texts of the table, written again from the cells alone."""
    assert [description(cell, ()) for cell in cells] == [row.published_class for row in rows]


def test_identities_are_those_of_the_rules(cells, identities):
    """All 15,625 cells fall into the same classes by rules that are written apart from our code."""
    ours = [wiring(cell) for cell in cells]
    assert len(set(identities)) == len(set(ours)) == len(set(zip(identities, ours, strict=True))) == 5485


def test_every_difference_from_the_published_classes_has_a_cause(rows, cells, identities):
    found = compare(cells, [row.published_class for row in rows], identities)
    assert found.unexplained == 0
    assert set(found.equal_here) == {"order", "zero_terms", "order + zero_terms"}
    assert set(found.equal_there) == {"shift_of_zero", "layers"}
    assert 0 < found.rows < len(rows)


def outputs(genotype: str) -> Any:
    """What the built network gives for fixed images; layers of one shape get the same weights."""
    import torch

    searched = small_space()
    model = searched.build(searched.from_genotype(genotype), SHAPES).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            seed = sum(size * 31**place for place, size in enumerate(parameter.shape))
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
        return model(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(
            "|skip_connect~0|+|skip_connect~0|nor_conv_3x3~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
            "|skip_connect~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|skip_connect~1|skip_connect~2|",
            id="order",
        ),
        pytest.param(
            "|none~0|+|skip_connect~0|none~1|+|none~0|none~1|nor_conv_3x3~2|",
            "|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|",
            id="zero_terms",
        ),
    ],
)
def test_cells_that_only_we_call_equal_compute_the_same(one, other, rows):
    import torch

    texts = {row.genotype: row.published_class for row in rows}
    searched = small_space()
    a, b = (searched.identity(searched.from_genotype(genotype), SHAPES) for genotype in (one, other))
    assert a == b
    assert texts[one] != texts[other]
    torch.testing.assert_close(outputs(one), outputs(other))


def test_cells_with_a_shift_of_zero_compute_something_else(rows):
    import torch

    one = "|none~0|+|skip_connect~0|none~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    other = "|none~0|+|skip_connect~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    texts = {row.genotype: row.published_class for row in rows}
    assert texts[one] == texts[other]
    assert not torch.allclose(outputs(one), outputs(other))


def test_cells_with_two_layers_for_one_have_more_parameters(rows):
    one = "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|"
    other = "|nor_conv_1x1~0|+|nor_conv_1x1~0|none~1|+|none~0|skip_connect~1|skip_connect~2|"
    texts = {row.genotype: row.published_class for row in rows}
    assert texts[one] == texts[other]
    searched = small_space(dead_operations="remove")
    params = [searched.cost(searched.from_genotype(genotype), SHAPES).params for genotype in (one, other)]
    # one 1x1 convolution with its normalisation more in each of the three stages
    assert params[1] - params[0] == sum(filters**2 + 2 * filters for filters in (4, 8, 16))
