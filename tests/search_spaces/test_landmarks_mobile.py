"""MobileNets and LeNet-300-100 as points in their spaces: their figures, and outputs with torchvision's weights."""

from __future__ import annotations

import random
from math import prod

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from netwright.core.errors import ShapeError
from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.landmark import Landmark, load_landmark
from netwright.search_spaces.mobile_blocks import divisible
from netwright.search_spaces.space import SearchSpace
from tests.search_spaces.weight_copy import copy_weights, randomize

FIGURES = {
    "lenet-300-100": (266_610, 266_200),
    "mobilenet-v2": (3_504_872, 300_774_272),
    "mobilenet-v3-large": (5_483_032, 216_589_760),
    "mobilenet-v3-small": (2_542_856, 56_510_400),
}
landmarks = pytest.mark.parametrize("name", FIGURES)
mobile_nets = pytest.mark.parametrize("name", [name for name in FIGURES if name.startswith("mobilenet")])


def built(landmark: Landmark) -> torch.nn.Module:
    return landmark.search_space.build(landmark.resolved(), landmark.shapes).eval()


@landmarks
def test_the_figures_from_decisions_are_the_published_ones(name):
    landmark = load_landmark(name)
    cost = landmark.search_space.cost(landmark.resolved(), landmark.shapes)
    assert (cost.params, cost.macs) == FIGURES[name]
    assert (landmark.counts[0].params, landmark.counts[0].macs) == FIGURES[name]


@landmarks
def test_the_figures_of_the_built_network_are_those_from_decisions(name):
    landmark = load_landmark(name)
    with torch.device("meta"):
        model = built(landmark).to("meta")
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, *landmark.input))
    params = sum(prod(parameter.shape) for parameter in model.parameters())
    assert (params, counter.get_total_flops() / 2) == FIGURES[name]


@mobile_nets
def test_with_torchvision_s_weights_the_outputs_are_torchvision_s(name):
    torchvision = pytest.importorskip("torchvision")
    theirs = randomize(getattr(torchvision.models, name.replace("-", "_"))())
    ours = built(load_landmark(name))
    inputs = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    copy_weights(theirs, ours, inputs[:1])
    with torch.inference_mode():
        torch.testing.assert_close(ours(inputs), theirs(inputs), rtol=1e-4, atol=1e-4)


@mobile_nets
def test_normalisation_has_torchvision_s_settings(name):
    torchvision = pytest.importorskip("torchvision")

    def settings(model: torch.nn.Module) -> set[tuple[float, float]]:
        return {(m.eps, m.momentum) for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)}

    assert settings(built(load_landmark(name))) == settings(getattr(torchvision.models, name.replace("-", "_"))())


@pytest.mark.parametrize(
    ("channels", "expected"), [(0.4, 8), (8, 8), (12, 16), (17, 16), (24, 24), (30, 32), (88.08, 88)]
)
def test_channels_are_multiples_of_8_and_never_a_tenth_too_few(channels, expected):
    assert divisible(channels) == expected


def test_elastic_layers_keep_their_places():
    space = build("space", {"kind": "mobile", "choices": "stage"})
    assert isinstance(space, SearchSpace)
    small = {
        "resolution": 0.75, "width": 0.5, "activation": "hardswish", "relu_stages": 0, "stem/filters": 16,
        "stem/stride": 1, "head/filters": 128, "head/neurons": 0, "head/dropout": 0.0,
    }  # fmt: skip
    for stage, filters in ((1, 16), (2, 24), (3, 48)):
        small |= {f"stage{stage}/filters": filters, f"stage{stage}/stride": min(stage, 2), f"stage{stage}/depth": 1}
        small |= {f"stage{stage}/kernel": 3, f"stage{stage}/expansion": 3.0, f"stage{stage}/squeeze_excite": True}
    large = {**small, "resolution": 1.0, "width": 1.0, "stage2/depth": 3, "stage3/filters": 64}
    large |= {f"stage{stage}/{name}": value for stage in (2, 3) for name, value in (("kernel", 7), ("expansion", 6.0))}
    shapes = Shapes((3, 32, 32), 10)
    places = [{node.name for node in space.graph(d, shapes).nodes} for d in (small, large)]
    lost = {name for name in places[0] - places[1] if name != "resize" and not name.endswith("/add")}
    assert lost == set()
    assert "resize" in places[0] - places[1]


def test_resolution_is_a_share_of_the_input_s():
    space = build("space", {"kind": "mobile", "resolutions": [0.5]})
    assert isinstance(space, SearchSpace)
    graph = space.graph(space.sample(random.Random(0)), Shapes((3, 30, 21), 10))
    assert (graph.nodes[0].name, graph.nodes[0].shape) == ("resize", (3, 15, 10))


def test_a_sequence_is_refused():
    space = build("space", "mobile")
    assert isinstance(space, SearchSpace)
    with pytest.raises(ShapeError, match="the space 'mobile' needs an image-like input"):
        space.graph(space.sample(random.Random(0)), Shapes((20, 6), 4))
