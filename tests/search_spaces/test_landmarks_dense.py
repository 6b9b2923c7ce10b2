"""Networks from image to image, unrolled algorithms, molecules: decisions give the published counts and wiring."""

from __future__ import annotations

from functools import cache

import pytest

from netwright.core.shapes import Shapes
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.landmark import Landmark, load_landmark
from netwright.search_spaces.operations.pad2d import Pad2d

EXACT = {
    "u-net": (31030658, 150428424448),
    "vdsr": (665921, 1117367424),
    "vdsr-no-bias": (664704, 1117367424),
    "fcn-32s": (134346581, None),
    "fcn-8s": (134376863, None),
    "lista": (250 * 500 + 500 * 500 + 500, 250 * 500 + 15 * 500 * 500),
    "neural-fingerprint": (32951, None),
}


@cache
def landmark(name: str) -> Landmark:
    return load_landmark(name)


@pytest.mark.parametrize("name", EXACT)
def test_decisions_give_the_published_counts(name):
    found = landmark(name).search_space.cost(landmark(name).resolved(), landmark(name).shapes)
    params, macs = EXACT[name]
    assert found.params == params
    assert macs is None or found.macs == macs
    stated = [c for c in landmark(name).counts if isinstance(c.params, int)]
    assert [c.params for c in stated] == [params]
    assert all(c.macs is None or c.macs == macs for c in stated)
    for count in landmark(name).counts:
        if isinstance(count.params, str):
            unit = {"K": 1e3, "M": 1e6}[count.params[-1]]
            assert int(count.params[:-1]) == int(found.params / unit)


@pytest.mark.parametrize("name", EXACT)
def test_the_built_model_has_the_same_counts(name):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    shapes = landmark(name).shapes
    graph = landmark(name).search_space.graph(landmark(name).resolved(), shapes)
    with torch.device("meta"):
        model = compile_graph(graph).eval()
        with FlopCounterMode(display=False) as counter:
            outputs = model(torch.empty(1, *shapes.input))
    expected = landmark(name).search_space.cost(landmark(name).resolved(), shapes)
    assert outputs.shape == (1, *shapes.output_shape)
    assert counter.get_total_flops() == 2 * expected.macs
    assert sum(p.numel() for p in model.parameters()) == expected.params


def crops(name: str, shapes: Shapes) -> list[int]:
    graph = landmark(name).search_space.graph(landmark(name).resolved(), shapes)
    return [-n.operation.top for n in graph.nodes if isinstance(n.operation, Pad2d) and n.operation.top < 0]


@pytest.mark.parametrize("size", [500, 375, 333])
def test_fully_convolutional_networks_crop_where_the_published_ones_do(size):
    shapes = Shapes((3, size, size), (21, size, size))
    assert crops("fcn-32s", shapes) == [19]
    assert crops("fcn-8s", shapes) == [5, 9, 31]


def test_u_net_crops_its_skips_as_drawn():
    assert crops("u-net", landmark("u-net").shapes) == [4, 16, 40, 88]


def test_u_net_computes_what_its_plain_definition_does():
    import torch
    from torch.nn import functional as F

    source = landmark("u-net")
    space = source.search_space.model_copy(update={"filters": (2, 3, 4, 5, 6)})
    thin = dict(zip((64, 128, 256, 512, 1024), space.filters, strict=True))
    decisions = {k: thin[v] if k.endswith("filters") else v for k, v in source.resolved().items()}
    model = space.build(decisions, Shapes((1, 188, 188), (2, 4, 4))).eval()
    layers = iter([m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))])

    def double(x):
        x = next(layers)(x).relu()
        return next(layers)(x).relu()

    def cropped(side, x):
        cut = (side.shape[-1] - x.shape[-1]) // 2
        return torch.cat([side[..., cut:-cut, cut:-cut], x], dim=1)

    image = torch.randn(2, 1, 188, 188)
    with torch.inference_mode():
        x, sides = image, []
        for _ in range(4):
            sides.append(double(x))
            x = F.max_pool2d(sides[-1], 2)
        x = double(x)
        for side in reversed(sides):
            x = next(layers)(x)
            x = double(cropped(side, x))
        torch.testing.assert_close(model(image), next(layers)(x))


def test_vdsr_adds_its_correction_to_the_input():
    import torch

    space, source = landmark("vdsr").search_space, landmark("vdsr")
    model = space.build(source.resolved(), Shapes((1, 9, 9), (1, 9, 9))).eval()
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    image = torch.randn(2, 1, 9, 9)
    with torch.inference_mode():
        x = image
        for layer in layers[:-1]:
            x = layer(x).relu()
        torch.testing.assert_close(model(image), image + layers[-1](x))
    assert len(layers) == 20
