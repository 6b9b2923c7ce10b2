"""Compile a layer graph to a plain torch module that needs netwright neither to run nor to be loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import fx, nn

from netwright.core.errors import SpaceError
from netwright.core.plugins import given
from netwright.search_spaces.graph import INPUT, LayerGraph, node_shapes


def compile_graph(graph: LayerGraph, *, seed: int = 0) -> fx.GraphModule:
    """A torch.fx.GraphModule made of torch.nn layers; its weights depend on `seed` alone.

    The caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _compile(graph)


def compile_beside(
    model: nn.Module, graph: LayerGraph, sides: Sequence[LayerGraph], *, seed: int = 0
) -> fx.GraphModule:
    """A module that gives the outputs of `graph`, whose layers are those of `model`, and then of each of `sides`.

    What a side has under the name of a node of the graph is that node; its other layers are new, their weights drawn
    from `seed`.
    """
    nodes = {node.name: node for part in (graph, *sides) for node in part.nodes}
    nodes |= {node.name: node for node in graph.nodes}
    whole = LayerGraph(graph.input_shape, tuple(nodes.values()), graph.output)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _compile(whole, sides=[side.output for side in sides], held=dict(model.named_modules()))


def _compile(
    graph: LayerGraph, *, sides: Sequence[str] = (), held: Mapping[str, nn.Module] = MappingProxyType({})
) -> fx.GraphModule:
    root = nn.Module()
    steps = fx.Graph()
    placed: set[str] = set()
    values = {INPUT: steps.placeholder("input")}
    for node, shapes in node_shapes(graph):
        path = node.weights.replace("/", ".")
        module = None
        if node.weights not in placed:
            module = held.get(path) or given(node.operation, "module", nn.Module | None, shapes)
        placed.add(node.weights)
        if module is not None:
            _place(root, path, module)
        inputs = [values[name] for name in node.inputs]
        values[node.name] = given(node.operation, "emit", fx.Node, steps, path, inputs)
    output = values[graph.output]
    steps.output((output, *(values[side] for side in sides)) if sides else output)
    for step in reversed(steps.nodes):
        if step.target is torch.transpose and not step.users:
            steps.erase_node(step)  # the layer after it took what was turned
    steps.lint()
    return fx.GraphModule(root, steps, class_name="Network")


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module at a dotted path, making the containers on the way."""
    *parents, leaf = path.split(".")
    holder = root
    for part in parents:
        if not hasattr(holder, part):
            holder.add_module(part, nn.Module())
        holder = holder.get_submodule(part)
    if hasattr(holder, leaf):
        raise SpaceError(f"two operations share the place {path!r}; give them names of their own")
    holder.add_module(leaf, module)
