"""Drawings say what is there, fit their frame and escape what they are given."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.drawing import draw_svg
from netwright.search_spaces.graph import GraphBuilder, LayerGraph
from netwright.search_spaces.landmark import load_landmark
from netwright.search_spaces.layered_layout import layout
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.packing import buses
from netwright.search_spaces.space import SearchSpace

SVG = "{http://www.w3.org/2000/svg}"


def words(text: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(text).iter(f"{SVG}text")]


def drawn(kind: str, decisions: dict[str, object], shapes: Shapes, **settings: object) -> str:
    space = build("space", {"kind": kind, **settings})
    assert isinstance(space, SearchSpace)
    return draw_svg(space.graph(decisions, shapes))


def cell(depth: int, **edges: str) -> str:
    decisions = {"width": 8, "depth": depth} | {f"cell/{k[1]}-{k[2]}": v for k, v in edges.items()}
    return drawn("cells", decisions, Shapes((3, 32, 32), 10))


def test_repeated_cells_are_drawn_once_with_their_number():
    text = cell(3, e01="conv_3x3", e02="conv_1x1", e12="skip", e03="skip", e13="conv_3x3", e23="conv_1x1")
    found = words(text)
    assert found.count("stage1 · cell1 – cell3") == 1
    assert any(word.startswith("3 × ") for word in found)
    assert found.count("A: cell") == 1
    assert "× 9; sizes as in stage1/cell1" in found
    assert "B: cell" not in found
    assert [word for word in found if word in ("stem", "head", "stage2 · reduce")] == [
        "stem",
        "stage2 · reduce",
        "head",
    ]


def test_a_cell_that_is_a_chain_needs_no_detail():
    found = words(cell(1, e01="none", e02="none", e12="none", e03="conv_3x3", e13="none", e23="none"))
    assert not [word for word in found if word.startswith("A:")]
    assert "conv 3×3, 8" in found
    assert "after relu, then batch norm" in found


def test_skip_connections_are_arcs_with_what_is_on_them():
    layers = {
        "stages": 1, "stage1/connection": "plain", "stage1/depth": 2, "stage1/strided": [1],
        "stage1/down_sampling": "stride", "stage1/stride": 2, "stage1/padding": "same", "stage1/pool": "none",
        "stage1/convolution": "full", "activation": "relu", "normalisation": "batch", "dropout": 0.0,
        "head/pooling": "average", "head/size": 1, "head/hidden": 0,
    }  # fmt: skip
    for index in (1, 2):
        place = f"stage1/layer{index}"
        layers |= {f"{place}/filters": 8, f"{place}/kernel": 3, f"{place}/skip": True}
    found = words(drawn("convnet", layers, Shapes((8, 28, 28), 10)))
    assert "skip" in found
    assert "conv 1×1, 8 /2" in found
    assert found.count("add") == 2


def test_recurrent_networks_show_layers_shapes_and_parameters():
    decisions = {
        "depth": 1, "frame": 1, "window": 0, "cell": "lstm", "layer1/width": 64, "bidirectional": True,
        "summary": "mean", "dropout": 0.2,
    }  # fmt: skip
    found = words(drawn("recurrent", decisions, Shapes((20, 6), 4)))
    for word in ("input 20×6", "layer1", "bi-lstm 64", "36.9 k params", "20×128", "mean over time", "output 4"):
        assert word in found


def inception() -> LayerGraph:
    net = GraphBuilder((3, 32, 32))
    with net.scope("<b>&\"down'"):
        x = net.chain(net.input, Conv2d(filters=8), BatchNorm(), Activation())
    with net.scope("mixed"):
        branches = [
            net.chain(x, Conv2d(filters=8, kernel=1), Activation(), Conv2d(filters=4, kernel=k)) for k in (3, 5)
        ]
        y = net.add(Concat(), *branches, x)
    with net.scope("merge"):
        z = net.add(Concat(), y, x)
    with net.scope("head"):
        return net.finish(net.chain(z, GlobalPool(), Linear(features=10)))


def test_text_is_escaped():
    text = draw_svg(inception(), title="<script>alert('x')</script>")
    root = ElementTree.fromstring(text)
    assert "<script" not in text
    assert root.find(f"{SVG}title").text == "<script>alert('x')</script>"
    assert any("<b>&\"down'" in word for word in words(text))
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == root.find(f"{SVG}title").get("id")


def test_a_network_of_nothing_and_one_layer_can_be_drawn():
    net = GraphBuilder((5,))
    assert words(draw_svg(net.finish(net.input))) == ["input 5", "output 5"]
    net = GraphBuilder((5,))
    assert "linear 3" in words(draw_svg(net.finish(net.add(Linear(features=3), net.input))))


def test_a_tensor_summed_twice_is_marked():
    net = GraphBuilder((4, 8, 8))
    with net.scope("block"):
        x = net.add(Conv2d(filters=4), net.input)
        out = net.add(Add(), x, x, net.input)
    assert "2 ×" in words(draw_svg(net.finish(out)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["cells", "convnet", "recurrent"])
def test_boxes_lie_inside_the_frame_and_do_not_overlap(kind, seed):
    import random

    space = build("space", {"kind": kind, **({"nodes": 6} if kind == "cells" else {})})
    assert isinstance(space, SearchSpace)
    graph = space.graph(space.sample(random.Random(seed)), space.examples()[0])
    root = ElementTree.fromstring(draw_svg(graph))
    _, _, width, height = map(float, root.get("viewBox").split())
    boxes = [tuple(float(r.get(k)) for k in ("x", "y", "width", "height")) for r in root.iter(f"{SVG}rect")]
    assert len(boxes) > 3
    for index, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
        for a, b, c, d in boxes[:index]:
            assert x >= a + c or a >= x + w or y >= b + d or b >= y + h
    for node in root.iter(f"{SVG}text"):
        reach = 0.62 * float(node.get("font-size")) * len(node.text)
        start = {"start": 0, "middle": reach / 2, "end": reach}[node.get("text-anchor")]
        assert float(node.get("x")) - start >= -1
        assert float(node.get("x")) - start + reach <= width + 1


def test_colours_follow_the_page():
    text = draw_svg(inception())
    assert 'fill="currentColor"' in text
    assert not re.search(r'fill="(#000|#fff|black|white)', text)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 9)), max_size=20))
def test_layouts_keep_edges_downward_and_nodes_apart(pairs):
    sizes = {str(index): (20.0 + 7 * index, 20.0) for index in range(10)}
    edges = [(str(a), str(b)) for a, b in pairs if a < b]
    placed = layout(sizes, edges)
    for source, target in edges:
        path = [placed.centres[source], *placed.bends[source, target], placed.centres[target]]
        assert all(above[1] < below[1] for above, below in pairwise(path))
    nodes = list(placed.centres.items())
    for index, (name, (x, y)) in enumerate(nodes):
        assert x - sizes[name][0] / 2 + 1e-6 >= 0
        assert x + sizes[name][0] / 2 <= placed.width + 1e-6
        for other, (a, b) in nodes[:index]:
            assert abs(y - b) > 19 or abs(x - a) >= (sizes[name][0] + sizes[other][0]) / 2 - 1e-6


def test_parts_that_come_again_and_again_are_framed_once_with_their_number():
    decisions = {"depth": 5, "width": 32, "heads": 2, "ratio": 2.0, "summary": "mean", "dropout": 0.0, "patch": 4}
    text = drawn("transformer", decisions, Shapes((1, 28, 28), 10), depth=[5, 5], same_blocks=True)
    found = words(text)
    assert found.count("5 ×") == 1
    assert [word for word in found if word.startswith("block")] == ["block1 · attention", "block1 · mlp"]
    assert text.count("stroke-dasharray") == 1
    # input, embedding, the two in the frame, head: all are joined, and two are gone around
    assert text.count("marker-end") == 5 + 2


def test_separable_convolutions_are_named_and_equal_steps_drawn_once():
    space = build("space", {"kind": "nasnet_cell", "nodes": [2], "filters": [8], "cells": [1], "stages": 1})
    cell = [["sep_conv_3x3", 0], ["sep_conv_3x3", 1], ["dil_conv_5x5", 1], ["sep_conv_5x5", 2]]
    found = words(draw_svg(space.graph(space.from_genotype({"normal": cell}), Shapes((3, 8, 8), 10))))
    lines = list(pairwise(found))
    assert lines.count(("2 × separable", "3×3, 8")) == 2
    assert ("separable 5×5,", "8 dilated 2") in lines
    assert found.count("convolutions after relu, then batch norm") == 1
    assert "after relu, then batch norm" not in found


def test_a_network_of_wide_cells_is_drawn_no_wider_than_a_page():
    darts = load_landmark("darts-v2")
    frame = ElementTree.fromstring(draw_svg(darts.search_space.graph(darts.resolved(), darts.shapes)))
    assert float(frame.attrib["viewBox"].split()[2]) < 1400


def test_a_line_that_leaves_the_input_begins_at_its_edge():
    net = GraphBuilder((4, 8, 8))
    with net.scope("first"):
        x = net.add(Conv2d(filters=4), net.input)
    with net.scope("last"):
        out = net.add(Add(), net.add(Conv2d(filters=4), x), net.input)
    text = draw_svg(net.finish(out))
    pill = next(ElementTree.fromstring(text).iter(f"{SVG}rect"))
    assert f'd="M{pill.get("x")},{float(pill.get("y")) + 12:.1f} C' in text


def test_ways_from_one_place_share_a_line():
    assert buses([(0, 2), (0, 3), (1, 3), (0, 4), (1, 5)]) == [[(0, 2), (0, 3), (0, 4)], [(1, 3), (1, 5)]]
    assert buses([(0, 9), (2, 9), (4, 9), (4, 6)]) == [[(0, 9), (2, 9), (4, 9)], [(4, 6)]]
