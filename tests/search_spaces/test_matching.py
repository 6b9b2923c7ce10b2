"""Tensors of any shapes come together, in the graph and in the built network."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.errors import ShapeError
from netwright.search_spaces.cost import cost
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.matching import match, merge
from netwright.search_spaces.operations.adaptive_pool2d import AdaptivePool2d
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.linear import Linear

sizes = st.integers(1, 12)


def other(net: GraphBuilder, channels: int, size: tuple[int, int]) -> Tensor:
    return net.chain(net.input, Conv2d(filters=channels), AdaptivePool2d(size=size))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(height=sizes, width=sizes, size=st.tuples(sizes, sizes), channels=st.sampled_from([2, 3]))
def test_images_of_any_two_shapes_are_merged(height, width, size, channels):
    import torch

    from netwright.search_spaces.compiler import compile_graph

    for how, expected in (("sum", channels), ("concat", channels + 3)):
        net = GraphBuilder((3, height, width))
        graph = net.finish(merge(net, net.input, other(net, channels, size), how=how))
        model = compile_graph(graph).eval()
        assert model(torch.zeros(2, 3, height, width)).shape == (2, expected, *size)
        assert sum(p.numel() for p in model.parameters()) == cost(graph).params


def test_a_stride_is_used_where_it_gives_the_size():
    net = GraphBuilder((3, 9, 9))
    y = net.add(Conv2d(filters=8, stride=2), net.input)
    graph = net.finish(merge(net, net.input, y))
    assert [node.operation.stride for node in graph.nodes if isinstance(node.operation, Conv2d)] == [2, 2]


def test_what_fits_is_left_alone():
    net = GraphBuilder((3, 8, 8))
    assert match(net, net.input, net.add(Conv2d(filters=3), net.input)) is net.input


def test_features_of_sequences_and_vectors_are_matched():
    for shape in ((5, 4), (4,)):
        net = GraphBuilder(shape)
        wide = net.add(Linear(features=6), net.input)
        assert merge(net, net.input, wide).shape == (*shape[:-1], 6)
        assert merge(net, net.input, wide, how="concat").shape == (*shape[:-1], 10)


def test_an_image_and_a_vector_do_not_go_together():
    net = GraphBuilder((3, 8, 8))
    with pytest.raises(ShapeError, match="flatten or pool"):
        match(net, net.input, GraphBuilder((4,)).input)
