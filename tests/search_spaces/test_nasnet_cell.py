"""The space of NASNet's cells: published notations, concatenation, skeletons, the auxiliary classifier."""

from __future__ import annotations

import json
import random

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.shapes import Shapes
from netwright.search_spaces.cell_genotypes import read_genotype
from netwright.search_spaces.cell_operations import cell_operation, factorized_reduction
from netwright.search_spaces.cell_skeleton import cell_body
from netwright.search_spaces.chooser import RejectedDecisionsError
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.cost import cost
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.first_channels import FirstChannels
from netwright.search_spaces.outline import Call, Layer, Outline
from netwright.search_spaces.spaces.nasnet_cell import NasnetCell

CIFAR = Shapes((3, 32, 32), 10)
NORMAL = [("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("skip_connect", 0), ("dil_conv_3x3", 2)]
REDUCE = [("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1)]
TWO_NODES = NasnetCell(nodes=(2,), cells=(1,))
DATA = {"normal": NORMAL, "normal_concat": [2, 3], "reduce": REDUCE, "reduce_concat": [2, 3]}
PRINTED = f"Genotype(normal={NORMAL}, normal_concat=range(2, 4), reduce={REDUCE}, reduce_concat=[2, 3])"
LISTS = {
    "normal": {
        "operations": ["separable_3x3_2", "separable_3x3_2", "none", "dil_3x3"],
        "hiddenstate_indices": [1, 0, 1, 2],
        "used_hiddenstates": [1, 1, 0, 0],
    },
    "reduction": {
        "operations": ["max_pool_3x3", "max_pool_3x3", "none", "max_pool_3x3"],
        "hiddenstate_indices": [1, 0, 2, 0],
        "used_hiddenstates": [1, 1, 0, 0],
    },
}
STYLES = ("darts", "nasnet", "nasnet_timm", "amoebanet")


def with_normal(sides, concat=(2, 3), space=TWO_NODES):
    """Decisions with another normal cell."""
    return space.from_genotype({**DATA, "normal": sides, "normal_concat": list(concat)})


def single(block, x, **settings):
    """What a block computes with fresh weights."""
    net = GraphBuilder(tuple(x.shape[1:]))
    return compile_graph(net.finish(net.use(block, net.input, **settings))).eval()


@pytest.mark.parametrize(
    "notation",
    [
        DATA,
        PRINTED,
        json.dumps(DATA),
        LISTS,
        {**DATA, "normal": [NORMAL[:2], NORMAL[2:]]},
        {**DATA, "normal": [(*side, 0.13) for side in NORMAL]},
    ],
    ids=["data", "printed", "json", "lists", "per node", "with strengths"],
)
def test_all_published_notations_of_one_architecture_give_the_same_decisions(notation):
    expected = {
        "normal/nodes": 2,
        "normal/2/left/input": 0,
        "normal/2/left/operation": "sep_conv_3x3",
        "normal/3/right/input": 2,
        "normal/3/right/operation": "dil_conv_3x3",
        "normal/concat": "all",
        "reduction/3/left/operation": "skip_connect",
    }
    decisions = TWO_NODES.from_genotype(notation)
    assert expected.items() <= decisions.items()
    assert decisions == TWO_NODES.from_genotype(DATA)


@pytest.mark.parametrize("space", [NasnetCell(filters=(8, 16)), NasnetCell(reduction="normal"), NasnetCell(stages=1)])
def test_a_genotype_reads_back(space):
    rng = random.Random(3)
    for _ in range(50):
        decisions = space.sample(rng)
        line = space.genotype(decisions)
        assert "\n" not in line
        assert space.from_genotype(line) == decisions
        assert space.from_genotype(" ".join(f"{k}={json.dumps(v).replace(' ', '')}" for k, v in decisions.items()))


@pytest.mark.parametrize(
    "text",
    [
        "Genotype(normal=__import__('os').getcwd(), reduce=[])",
        "Genotype(normal=[('skip_connect', 0)], reduce=[])",
        "Genotype(normal=range(10**9), reduce=[])",
        "Genotype(",
        "{}",
        "{'normal': 3}",
        {"normal": {"operations": ["none"], "hiddenstate_indices": [0]}},
        ["sep_conv_3x3"],
    ],
)
def test_what_is_no_genotype_is_refused(text):
    with pytest.raises(SpaceError, match=r"not a genotype of cells; expected Genotype|expected two for every node"):
        TWO_NODES.from_genotype(text)


def test_a_genotype_outside_of_the_space_names_what_does_not_fit():
    with pytest.raises(SpaceError, match="'normal/2/left/operation' is 'conv_9x9'; expected one of 'sep_conv_3x3'"):
        with_normal([("conv_9x9", 0), *NORMAL[1:]])
    with pytest.raises(SpaceError, match="'normal/2/left/input' is 2; expected one of 0, 1"):
        with_normal([("skip_connect", 2), *NORMAL[1:]])
    with pytest.raises(SpaceError, match="'normal/nodes' is 2; expected one of 4, 5"):
        NasnetCell().from_genotype(DATA)
    with pytest.raises(SpaceError, match=r"concatenates the states \[3\], which this space cannot.*add 'chosen'"):
        with_normal(NORMAL[:2] + NORMAL[:2], (3,), NasnetCell(nodes=(2,), concat=("all", "loose_ends")))
    with pytest.raises(SpaceError, match="no reduction cell"):
        TWO_NODES.from_genotype({"normal": NORMAL})


def test_every_concatenation_has_one_name():
    assert with_normal(NORMAL, (2, 3))["normal/concat"] == "all"
    assert with_normal(NORMAL, (3,))["normal/concat"] == "loose_ends"
    chosen = with_normal(NORMAL, (0, 3))
    assert (chosen["normal/concat"], chosen["normal/concatenated"]) == ("chosen", (0, 3))
    with pytest.raises(RejectedDecisionsError, match="have a name"):
        TWO_NODES.trace({**chosen, "normal/concatenated": [2, 3]})


def test_nodes_that_nothing_reads_cost_nothing_and_do_not_matter():
    small = with_normal([("skip_connect", 0), ("skip_connect", 1), ("sep_conv_7x7", 0), ("conv_3x3", 1)], (2,))
    other = with_normal([("skip_connect", 0), ("skip_connect", 1), ("none", 0), ("max_pool_3x3", 1)], (2,))
    assert TWO_NODES.cost(small, CIFAR) == TWO_NODES.cost(other, CIFAR)
    assert TWO_NODES.identity(small, CIFAR) == TWO_NODES.identity(other, CIFAR)


def test_the_sides_of_a_node_may_change_places():
    swapped = with_normal([NORMAL[1], NORMAL[0], NORMAL[3], NORMAL[2]])
    assert TWO_NODES.identity(swapped, CIFAR) == TWO_NODES.identity(with_normal(NORMAL), CIFAR)
    different = with_normal([("sep_conv_3x3", 0), ("sep_conv_3x3", 0), *NORMAL[2:]])
    assert TWO_NODES.identity(different, CIFAR) != TWO_NODES.identity(swapped, CIFAR)


def test_a_cell_that_passes_nothing_on_is_refused():
    with pytest.raises(RejectedDecisionsError, match="nothing of its inputs reaches the normal cell's result"):
        with_normal([("none", 0), ("none", 1), ("max_pool_3x3", 2), ("none", 2)])


def test_one_wiring_may_serve_as_both_cells():
    space = NasnetCell(nodes=(2,), cells=(2,), reduction="normal")
    decisions = space.from_genotype({"normal": NORMAL})
    assert not any(name.startswith("reduction") for name in decisions)
    cells = {node.name.rpartition("/nodes/")[0] for node in space.graph(decisions, CIFAR).nodes} - {""}
    assert cells == {
        *("stage1/cell1", "stage1/cell2"),
        *("stage2/reduction", "stage2/cell1"),
        *("stage3/reduction", "stage3/cell1"),
    }


def test_the_cell_after_a_reduction_may_pass_over_its_input():
    decisions = TWO_NODES.from_genotype(DATA)
    usual, passing = (NasnetCell(nodes=(2,), cells=(1,), skip_reduction_input=flag) for flag in (False, True))
    sources = [
        {node.name: node.inputs for node in space.graph(decisions, CIFAR).nodes}["stage2/cell1/previous/activation"]
        for space in (usual, passing)
    ]
    assert sources == [("stage1/cell1/nodes/concat",), ("stem/batch_norm",)]


@pytest.mark.parametrize("operation", NasnetCell().operations)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("stride", "filters", "size"), [(1, 8, (6, 5)), (2, 8, (6, 5)), (2, 12, (7, 8))])
def test_every_operation_gives_the_wanted_size_at_the_cost_that_it_says(operation, style, stride, filters, size):
    net = GraphBuilder((8, *size))
    settings = {"operation": operation, "filters": filters, "stride": stride, "style": style}
    graph = net.finish(net.use(cell_operation, net.input, **settings))
    model = compile_graph(graph).eval()
    with FlopCounterMode(display=False) as counter:
        made = model(torch.randn(2, 8, *size))
    assert made.shape == (2, filters, *(-(-side // stride) for side in size))
    assert counter.get_total_flops() == 2 * 2 * cost(graph).macs
    assert sum(p.numel() for p in model.parameters()) == cost(graph).params
    assert bool(made.any()) == (operation != "none")


@pytest.mark.parametrize("size", [(6, 6), (7, 7), (6, 9)])
def test_late_padding_is_that_of_tensorflow(size):
    x = torch.randn(1, 4, *size)
    around = [x for s in reversed(size) for x in ((1, 1) if s % 2 else (0, 1))]
    pool = single(cell_operation, x, operation="max_pool_3x3", filters=4, stride=2, style="nasnet")
    padded = functional.pad(x, around, value=-torch.inf)
    torch.testing.assert_close(pool(x), functional.max_pool2d(padded, 3, 2))
    mean = single(cell_operation, x, operation="avg_pool_3x3", filters=4, stride=2, style="nasnet")
    there = functional.avg_pool2d(functional.pad(torch.ones_like(x), around), 3, 2)
    torch.testing.assert_close(mean(x), functional.avg_pool2d(functional.pad(x, around), 3, 2) / there)
    counted = single(cell_operation, x, operation="avg_pool_3x3", filters=4, stride=2, style="nasnet_timm")
    torch.testing.assert_close(counted(x), functional.avg_pool2d(functional.pad(x, around), 3, 2))
    conv = single(cell_operation, x, operation="conv_3x3", filters=4, stride=2, style="nasnet")
    weight = dict(conv.named_parameters())["cell_operation.conv.weight"]
    expected = functional.conv2d(functional.pad(x.relu(), around), weight, stride=2)
    torch.testing.assert_close(conv(x), expected / (1 + 1e-3) ** 0.5)


def test_a_factorized_reduction_sees_even_and_odd_places():
    x = torch.zeros(1, 4, 5, 5)
    x[..., 2, 2], x[..., 3, 3] = 1.0, 2.0
    made = single(factorized_reduction, x, filters=6, style="darts")(x)
    assert made.shape == (1, 6, 3, 3)
    assert made[:, :3, 1, 1].abs().sum() > 0
    assert made[:, 3:, 1, 1].abs().sum() > 0
    assert (made[:, :3] != 0).any(dim=1).sum() == (made[:, 3:] != 0).any(dim=1).sum() == 1


@pytest.mark.parametrize("skeleton", STYLES)
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("size", [(40, 40), (41, 36)])
def test_every_skeleton_serves_any_size(skeleton, stem, size):
    space = NasnetCell(skeleton=skeleton, stem=stem, cells=(1,), nodes=(2, 3), filters=(8,))
    shapes = Shapes((3, *size), 7)
    for seed in range(3):
        decisions = space.sample(random.Random(seed))
        model, expected = space.build(decisions, shapes).eval(), space.cost(decisions, shapes)
        assert sum(p.numel() for p in model.parameters()) == expected.params
        with FlopCounterMode(display=False) as counter:
            assert model(torch.randn(1, *shapes.input)).shape == (1, 7)
        assert counter.get_total_flops() == 2 * expected.macs


def test_the_auxiliary_classifier_shares_the_names_of_the_network():
    decisions = TWO_NODES.from_genotype(DATA)
    network, (side,) = TWO_NODES.graph(decisions, CIFAR), TWO_NODES.auxiliary_graphs(decisions, CIFAR)
    main, helper = compile_graph(network, seed=1), compile_graph(side, seed=2)
    shared = {k: v for k, v in main.state_dict().items() if k in helper.state_dict()}
    own = [name for name in helper.state_dict() if name not in shared]
    assert own
    assert all(name.startswith("auxiliary.") for name in own)
    helper.load_state_dict(shared, strict=False)
    assert helper(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    with pytest.raises(ShapeError, match="at auxiliary/pool2d"):
        TWO_NODES.auxiliary_graphs(decisions, Shapes((3, 8, 8), 10))


def test_drop_path_is_on_every_operation_but_skips_and_grows_with_depth_in_nasnet():
    decisions = with_normal(NORMAL)
    found = {}
    for skeleton in ("darts", "nasnet"):
        space = NasnetCell(nodes=(2,), cells=(1,), skeleton=skeleton, drop_path=0.3)
        model = space.build(decisions, CIFAR)
        found[skeleton] = {n: m.p for n, m in model.named_modules() if type(m) is torch.nn.Dropout3d}
        assert not any("node3.left" in name for name in found[skeleton])
        x = torch.randn(1, 3, 32, 32)
        assert torch.equal(model.eval()(x), model(x))
    assert set(found["darts"].values()) == {0.3}
    assert found["nasnet"]["stage1.cell1.nodes.node2.left.drop_path"] == pytest.approx(0.3 / 5)
    assert found["nasnet"]["stage3.cell1.nodes.node2.left.drop_path"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    "settings",
    [
        {"stages": 4, "cells": (1, 2)},
        {"skeleton": "nasnet", "concat": ("all",)},
        {"stem": "imagenet", "skeleton": "amoebanet", "stages": 2},
        {"stages": 2, "operations": ("none", "skip_connect", "sep_conv_3x3"), "nodes": (3,)},
    ],
)
def test_cells_told_by_the_first_of_their_kind_cost_what_the_graph_costs(settings: dict[str, object]) -> None:
    space = NasnetCell.parse(settings)
    shapes = Shapes((3, 64, 64) if "stem" in settings else (3, 16, 16), 10)
    rng = random.Random(5)
    for _ in range(25):
        decisions = space.sample(rng)
        identity, found = space.describe(decisions, shapes)
        assert found == cost(space.graph(decisions, shapes))
        swapped = dict(decisions)
        for what in ("input", "operation"):
            one, other = f"normal/2/left/{what}", f"normal/2/right/{what}"
            swapped[one], swapped[other] = decisions[other], decisions[one]
        assert space.identity(swapped, shapes) == identity


def renumbered(cell, rng):
    """The same cell with its nodes in another order and the sides of each exchanged or not."""
    sides, concat = cell.sides, cell.concat
    nodes = {number: sides[2 * number - 4 : 2 * number - 2] for number in range(2, len(sides) // 2 + 2)}
    numbers = {0: 0, 1: 1}
    found = []
    while len(numbers) < len(nodes) + 2:
        ready = [n for n in nodes if n not in numbers and all(source in numbers for _, source in nodes[n])]
        chosen = rng.choice(ready)
        found += rng.sample([(operation, numbers[source]) for operation, source in nodes[chosen]], 2)
        numbers[chosen] = len(numbers)
    return found, sorted(numbers[state] for state in concat)


@pytest.mark.parametrize("skeleton", STYLES)
def test_cells_that_differ_in_the_numbers_of_their_nodes_are_one_network(skeleton):
    space = NasnetCell(nodes=(4, 5), filters=(8,), cells=(1, 2), stages=2, skeleton=skeleton)
    rng = random.Random(skeleton)
    for _ in range(40):
        decisions = space.sample(rng)
        cells = read_genotype(space.genotype(decisions))
        (normal, first), (reduce, second) = renumbered(cells.normal, rng), renumbered(cells.reduction, rng)
        data = {"normal": normal, "normal_concat": first, "reduce": reduce, "reduce_concat": second, **cells.extra}
        other = space.from_genotype(data)
        assert other != decisions
        assert space.describe(other, CIFAR)[0] == space.describe(decisions, CIFAR)[0]


def test_cells_that_give_out_other_nodes_are_other_networks():
    keys = {TWO_NODES.identity(with_normal(NORMAL, concat), CIFAR) for concat in [(2, 3), (2,), (3,), (1, 2), (0, 2)]}
    assert len(keys) == 5


def test_a_cell_in_another_width_has_the_operations_that_its_function_would_write():
    def layers(outline: Outline) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = [outline.input_shapes, (outline.output,)]
        for item in outline.items:
            found.append(item[:2] + item[3:] if isinstance(item, Layer) else (*item[:2], *item[3:6]))
            found += [(item.operation,)] if isinstance(item, Layer) else layers(item.block)
        return found

    rng, resized = random.Random(3), 0
    for settings in ({}, {"skeleton": "nasnet", "filters": (10,)}, {"stem": "imagenet", "stages": 2}):
        space = NasnetCell(**settings)
        shapes = Shapes((3, 75, 64), 10) if "stem" in settings else Shapes((3, 33, 32), 10)
        for _ in range(10):
            for item in space.outline(space.sample(rng), shapes).items:
                if not isinstance(item, Call) or item.like in (None, item.block):
                    continue
                (written,) = [key[1] for key, made in item.like.notes.items() if made is item.block]
                net = GraphBuilder(*item.block.input_shapes)
                output = cell_body(net, *net.inputs, **dict(written))
                assert layers(item.block) == layers(net.outline(output))
                resized += 1
    assert resized > 50


def test_a_block_whose_own_layer_has_a_size_is_written_again():
    def cut(net: GraphBuilder, x: Tensor, *, channels: int) -> Tensor:
        return net.add(FirstChannels(count=channels), x)

    net = GraphBuilder((8, 4, 4))
    first = net.use(cut, net.input, channels=4)
    assert net.use_like(first, cut, net.input, channels=6).shape == (6, 4, 4)
