"""Networks that read graphs: neither the order of nodes nor padding matters, and messages go where edges do."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest

from netwright.core.errors import DataError, ShapeError
from netwright.core.shapes import Shapes
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.graph import GraphBuilder
from netwright.search_spaces.operations.columns import Columns
from netwright.search_spaces.operations.degree_linear import DegreeLinear
from netwright.search_spaces.operations.neighbours import Neighbours
from netwright.search_spaces.packed_graph import GraphLayout
from netwright.search_spaces.spaces.graph import GraphNetwork
from netwright.tasks.packed_graphs import pack_graph
from tests.search_spaces.cost_check import agrees_with_its_costs

FEATURES, EDGES = 5, 3


def molecule(seed: int, nodes: int):
    """A random graph: node features, symmetric adjacency, symmetric edge features."""
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((nodes, nodes)) < 0.35, 1)
    edges = rng.standard_normal((nodes, nodes, EDGES))
    return rng.standard_normal((nodes, FEATURES)), (upper | upper.T).astype(float), edges + edges.swapaxes(0, 1)


def shapes_for(size: int) -> Shapes:
    return Shapes(GraphLayout(size, FEATURES, EDGES).shape, 2)


def result(model, packed: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return model(torch.from_numpy(packed)[None]).numpy()


def spaces(**settings):
    for aggregation, read_out, by_degree in product(("sum", "mean", "max"), ("softmax", "sum", "mean", "max"), (0, 1)):
        yield GraphNetwork(
            edge_features=EDGES,
            aggregations=(aggregation,),
            read_outs=(read_out,),
            degree_weights=(bool(by_degree),),
            degrees=3,
            **settings,
        )


def test_the_order_of_nodes_does_not_matter():
    nodes, adjacency, edges = molecule(1, 8)
    order = np.random.default_rng(2).permutation(8)
    shuffled = nodes[order], adjacency[np.ix_(order, order)], edges[np.ix_(order, order)]
    for space in spaces():
        model = space.build(space.sample(random.Random(4)), shapes_for(10)).eval()
        first, second = (pack_graph(*graph, size=10) for graph in ((nodes, adjacency, edges), shuffled))
        np.testing.assert_allclose(result(model, first), result(model, second), atol=2e-5)


def test_padding_does_not_matter():
    graph = molecule(3, 7)
    for space in spaces():
        decisions = space.sample(random.Random(5))
        narrow, wide = (space.build(decisions, shapes_for(size), seed=3).eval() for size in (7, 15))
        wide.load_state_dict(narrow.state_dict())
        padded = pack_graph(*graph, size=15)
        exact = result(narrow, pack_graph(*graph, size=7))
        np.testing.assert_allclose(exact, result(wide, padded), atol=2e-5)
        padded[7:, 1 : 1 + FEATURES] = 9.0
        np.testing.assert_allclose(exact, result(wide, padded), atol=2e-5)


def test_padding_does_not_matter_while_training():
    """Statistics of normalisation do not see padded rows either."""
    import torch

    graphs = [molecule(seed, 4 + seed) for seed in range(3)]
    for space in spaces(normalise=(True,), hidden=(16,)):
        decisions = space.sample(random.Random(5))
        narrow, wide = (space.build(decisions, shapes_for(size), seed=3).train() for size in (7, 15))
        wide.load_state_dict(narrow.state_dict())
        found = [
            model(torch.stack([torch.from_numpy(pack_graph(*g, size=size)) for g in graphs]))
            for model, size in ((narrow, 7), (wide, 15))
        ]
        torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


def test_a_change_travels_one_edge_a_layer():
    """On a chain of nodes, the read-out of a node k edges away needs k layers to see a change."""
    size = 6
    chain = np.eye(size, k=1) + np.eye(size, k=-1)
    for depth in (1, 2, 3):
        table = GraphBuilder((size, 2 + size))
        x = table.add(Columns(start=0, stop=2), table.input)
        adjacency = table.add(Columns(start=2, stop=2 + size), table.input)
        for _ in range(depth):
            x = table.add(Neighbours(mode="sum"), x, adjacency)
        model = compile_graph(table.finish(x))
        features = np.zeros((size, 2))
        features[0] = 1
        seen = result(model, np.hstack([features, chain]).astype(np.float32))[0].any(axis=1)
        assert seen[depth]
        assert not seen[depth + 1 :].any()


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_neighbours_are_brought_together_as_said(mode):
    nodes, adjacency, _ = molecule(6, 9)
    adjacency[4] = adjacency[:, 4] = 0
    net = GraphBuilder((9, FEATURES + 9))
    x, joined = (net.add(Columns(start=a, stop=b), net.input) for a, b in ((0, FEATURES), (FEATURES, FEATURES + 9)))
    model = compile_graph(net.finish(net.add(Neighbours(mode=mode), x, joined)))
    found = result(model, np.hstack([nodes, adjacency]).astype(np.float32))[0]
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    for index in range(9):
        own = nodes[adjacency[index] == 1]
        expected = reduce(own, axis=0) if len(own) else np.zeros(FEATURES)
        np.testing.assert_allclose(found[index], expected, atol=1e-5)


def test_each_degree_has_its_own_weights_and_high_ones_share():
    import torch

    adjacency = np.zeros((5, 5))
    adjacency[0, 1:5] = adjacency[1:5, 0] = 1
    adjacency[1, 2] = adjacency[2, 1] = 1
    degrees = [2, 2, 2, 1, 1]  # degrees 4, 2, 2, 1, 1, those of 2 and more alike
    net = GraphBuilder((5, 9))
    x, joined = (net.add(Columns(start=a, stop=b), net.input) for a, b in ((0, 4), (4, 9)))
    model = compile_graph(net.finish(net.add(DegreeLinear(features=3, degrees=3), x, joined, name="layer")))
    rows = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    weight = model.get_parameter("layer.weight")
    expected = torch.stack([weight[d] @ torch.from_numpy(row) for d, row in zip(degrees, rows, strict=True)])
    found = result(model, np.hstack([rows, adjacency]).astype(np.float32))[0]
    np.testing.assert_allclose(found, expected.detach(), atol=1e-6)


def test_every_choice_costs_what_it_promises():
    for seed, space in enumerate(spaces()):
        agrees_with_its_costs(space, space.sample(random.Random(seed)), shapes_for(6))


def test_a_graph_is_packed_as_documented():
    nodes, adjacency, edges = molecule(8, 4)
    packed, layout = pack_graph(nodes, adjacency, edges, size=6), GraphLayout(6, FEATURES, EDGES)
    assert packed.shape == layout.shape == (6, 1 + FEATURES + 6 + EDGES)
    assert packed[:, 0].tolist() == [1, 1, 1, 1, 0, 0]
    assert not packed[4:].any()
    np.testing.assert_allclose(packed[:4, 1 : 1 + FEATURES], nodes, rtol=1e-6)
    np.testing.assert_array_equal(packed[:4, 1 + FEATURES : 5 + FEATURES], adjacency)
    sums = [sum((edges[i, j] for j in range(4) if adjacency[i, j]), np.zeros(EDGES)) for i in range(4)]
    np.testing.assert_allclose(packed[:4, -EDGES:], sums, atol=1e-5)


def test_graphs_that_cannot_be_packed_are_refused_in_words():
    nodes, adjacency, edges = molecule(9, 5)
    for wrong, words in [
        ((nodes, adjacency[:4, :4], edges), "belong|needs node_features"),
        ((nodes, adjacency, edges[..., 0]), "needs node_features"),
        ((nodes[0], adjacency, edges), "needs node_features"),
        ((nodes, 2 * adjacency, edges), "zeros and ones"),
    ]:
        with pytest.raises(DataError, match=words):
            pack_graph(*wrong, size=8)
    with pytest.raises(DataError, match="5 nodes does not fit into 4 rows"):
        pack_graph(nodes, adjacency, edges, size=4)


def test_inputs_without_room_for_a_graph_are_refused_in_words():
    space = GraphNetwork()
    for shape in ((1, 28, 28), (20, 6), (20, 21)):
        with pytest.raises(ShapeError, match="packed graph"):
            space.graph(space.sample(random.Random(0)), Shapes(shape, 2))
