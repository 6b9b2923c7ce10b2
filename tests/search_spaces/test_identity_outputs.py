"""Architectures of one identity are built and compute the same; those of different identities do not."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import pytest

from netwright.core.plugins import build
from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.canonical import identity, simplify
from netwright.search_spaces.digest import _hashes, digest_of
from netwright.search_spaces.graph import INPUT, LayerGraph, outline_of
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.space import SearchSpace

SHAPES = Shapes((3, 8, 8), 5)
SPACES = {
    "nasbench201": {"channels": 4, "cells_per_stage": 1},
    "cells": {"widths": [4], "depths": [1], "stages": 1, "nodes": 4, "operations": ["none", "skip", "conv_1x1"]},
    "cells_in_a_row": {
        "kind": "cells",
        "widths": [4],
        "depths": [1, 2, 3, 4],
        "stages": 2,
        "nodes": 3,
        "operations": ["none", "skip", "conv_1x1", "average_pool_3x3"],
    },
    "nasnet_cell": {
        "nodes": [2],
        "filters": [4],
        "cells": [1],
        "stages": 2,
        "operations": ["skip_connect", "avg_pool_3x3", "conv_1x1"],
    },
    "nasnet_of_one_cell": {
        "kind": "nasnet_cell",
        "nodes": [2],
        "filters": [4],
        "cells": [1, 2],
        "stages": 1,
        "operations": ["skip_connect", "avg_pool_3x3", "conv_1x1"],
    },
    "nasnet_of_one_stem": {
        "kind": "nasnet_cell",
        "nodes": [1, 2],
        "filters": [4],
        "cells": [1],
        "stages": 1,
        "skeleton": "nasnet",
        "operations": ["skip_connect", "avg_pool_3x3", "conv_1x1"],
    },
}
"""Settings so small that equal networks written differently come up often."""


def outputs(space: SearchSpace, decisions: Decisions):
    """What the built network gives when every layer's weights are drawn from its role, and whether roles repeat."""
    import torch

    graph = simplify(space.raw_graph(decisions, SHAPES))
    digest = digest_of(outline_of(graph))
    hashes, weighted, _ = _hashes(digest.shapes, digest.kept, (0,))
    role = {graph.nodes[entry.number - 1].name: hashes[entry.number] for entry in digest.kept}
    from netwright.search_spaces.compiler import compile_graph

    model = compile_graph(in_order_of_roles(graph, {INPUT: "", **role})).double().eval()
    for name, value in role.items():
        try:
            module = model.get_submodule(name.replace("/", "."))
        except AttributeError:
            continue
        generator = torch.Generator().manual_seed(int(value[:12], 16))
        for parameter in module.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3 + 0.1
    inputs = torch.randn(2, *SHAPES.input, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.inference_mode():
        return model(inputs), max(weighted.values(), default=1) > 1


def in_order_of_roles(graph: LayerGraph, role: Mapping[str, str]) -> LayerGraph:
    """The graph with freely ordered inputs in the order of their roles, as the weights that read them would be."""
    nodes = [
        replace(node, inputs=tuple(sorted(node.inputs, key=role.__getitem__)))
        if isinstance(node.operation, Concat) and node.operation.any_order
        else node
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize("kind", SPACES)
def test_blocks_leave_no_trace_in_the_identity(kind):
    space = build("space", {"kind": kind, **SPACES[kind]})
    assert isinstance(space, SearchSpace)
    rng = random.Random(0)
    by_blocks: dict[str, set[str]] = defaultdict(set)
    by_layers: dict[str, set[str]] = defaultdict(set)
    for _ in range(400):
        decisions = space.sample(rng)
        blocks, layers = space.identity(decisions, SHAPES), identity(space.raw_graph(decisions, SHAPES))
        by_blocks[layers].add(blocks)
        by_layers[blocks].add(layers)
    assert all(len(found) == 1 for found in [*by_blocks.values(), *by_layers.values()])


@pytest.mark.parametrize("kind", SPACES)
def test_identity_says_whether_outputs_agree(kind):
    import torch

    space = build("space", {"kind": kind, **SPACES[kind]})
    assert isinstance(space, SearchSpace)
    rng = random.Random(0)
    groups: dict[str, list[Decisions]] = defaultdict(list)
    for _ in range(400):
        decisions = space.sample(rng)
        members = groups[space.identity(decisions, SHAPES)]
        if decisions not in members:
            members.append(decisions)
    shared = [members for members in groups.values() if len(members) > 1]
    assert len(shared) >= 4
    for members in shared[:15]:
        found = [outputs(space, decisions)[0] for decisions in members[:3]]
        for other in found[1:]:
            torch.testing.assert_close(other, found[0], rtol=1e-9, atol=1e-9)
    single = [outputs(space, members[0]) for members in list(groups.values())[:30]]
    for (left, alike), (right, also) in combinations(single, 2):
        # layers of one role have one weight here, so networks that use them differently may agree
        assert alike or also or not torch.allclose(left, right, rtol=1e-9, atol=1e-9)
