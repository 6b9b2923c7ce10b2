"""Named networks made of searched cells: their published figures, and timm's weights in our networks."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from netwright.core.shapes import Shapes
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.cost import layer_costs
from netwright.search_spaces.landmark import Landmark, load_landmark
from netwright.search_spaces.printed_figures import agrees
from tests.search_spaces.weight_copy import copy_tensors, randomize, tensors_in_order

IN_DARTS_SKELETON = ["darts-v1", "darts-v2", "nasnet-in-darts-skeleton", "amoebanet-in-darts-skeleton", "gdas"]
IMAGENET = ["darts-v1-imagenet", "darts-v2-imagenet"]
IN_NASNET_SKELETON = ["nasnet-a-mobile", "nasnet-a-large", "pnasnet-5", "amoebanet-a", "amoebanet-c"]


def compiled(landmark: Landmark, size: int) -> torch.fx.GraphModule:
    """The network for square images of another size."""
    shapes = Shapes((3, size, size), landmark.output)
    return compile_graph(landmark.search_space.graph(landmark.resolved(), shapes)).eval()


@pytest.mark.parametrize("name", [*IN_DARTS_SKELETON, *IMAGENET, *IN_NASNET_SKELETON])
def test_parameters_and_macs_are_the_published_ones(name):
    landmark = load_landmark(name)
    expected = landmark.search_space.cost(landmark.resolved(), landmark.shapes)
    for count in landmark.counts:
        assert count.params is None or agrees(expected.params, count.params)
        assert count.macs is None or agrees(expected.macs, count.macs)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        model = compiled(landmark, landmark.input[1])
        model(torch.empty(1, *landmark.input))
    assert sum(p.numel() for p in model.parameters()) == expected.params
    assert counter.get_total_flops() == 2 * expected.macs


@pytest.mark.parametrize(
    ("name", "params"), [("darts-v1", 476426), ("darts-v2", 476426), ("darts-v2-imagenet", 1260776)]
)
def test_the_auxiliary_classifier_has_the_parameters_of_the_published_code(name, params):
    """3,825,768 with it and 3,349,342 without for darts-v2; 5,979,528 and 4,718,752 for ImageNet."""
    landmark = load_landmark(name)
    (graph,) = landmark.search_space.auxiliary_graphs(landmark.resolved(), landmark.shapes)
    assert sum(c.params for c in layer_costs(graph) if c.name.startswith("auxiliary/")) == params
    deployed = {node.name for node in landmark.search_space.graph(landmark.resolved(), landmark.shapes).nodes}
    assert all(node.name in deployed or node.name.startswith("auxiliary/") for node in graph.nodes)


def test_the_pytorch_port_of_nasnet_mobile_also_computes_rows_that_it_cuts_away():
    """In each reduction cell after the first it widens the images of five separable convolutions by one place."""
    landmark = load_landmark("nasnet-a-mobile")
    macs = landmark.search_space.cost(landmark.resolved(), landmark.shapes).macs
    surplus = 0
    for filters, size in ((22, 28), (88, 14), (176, 7)):
        windows = sum(kernel**2 for kernel in (5, 7, 7, 5, 3))
        surplus += ((size + 1) ** 2 - size**2) * (filters * windows + 5 * filters**2)
    assert macs + surplus == 568_234_858


# 67 leaves odd sizes to every stride, 80 even ones, which are padded at the end alone
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model", "size"),
    [
        ("nasnet-a-large", "nasnetalarge", 67),
        ("nasnet-a-large", "nasnetalarge", 80),
        ("pnasnet-5", "pnasnet5large", 80),
    ],
)
def test_with_the_weights_of_timm_it_computes_the_same(name, model, size):
    timm = pytest.importorskip("timm")
    theirs = randomize(timm.create_model(model))
    ours = compiled(load_landmark(name), size)
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    copy_tensors(in_our_order(theirs, x), tensors_in_order(ours, x))
    with torch.inference_mode():
        given, made = theirs(x), ours(x)
    assert given.std() > 0
    torch.testing.assert_close(made / given.std(), given / given.std(), rtol=0, atol=1e-4)


def in_our_order(model: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The tensors of a timm model in the order in which our networks use theirs."""
    # its first normalisation is one module with an activation, which calls of single layers do not show
    stem = ("conv0.conv.", "conv0.bn.", "conv_0.conv.", "conv_0.bn.")
    tensors = {n: t for n, t in model.state_dict().items() if n.startswith(stem) and "num_batches" not in n}
    tensors |= tensors_in_order(model, x)
    order = list(tensors)
    # the second stem cell of NASNet runs on the last output first, and then on the one before
    late = [name for name in order if name.startswith("cell_stem_1.conv_1x1.")]
    before = [name for name in order if name.startswith(("cell_stem_1.path", "cell_stem_1.final_path"))]
    if before:
        start = order.index(late[0])
        order[start : start + len(late) + len(before)] = before + late
    return [tensors[name] for name in order]
