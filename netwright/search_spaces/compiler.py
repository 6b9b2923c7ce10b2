"""Compile a layer graph to a plain torch module that needs netwright neither to run nor to be loaded."""

from __future__ import annotations

import torch
from torch import fx, nn

from netwright.core.errors import SpaceError
from netwright.search_spaces.graph import INPUT, LayerGraph, node_shapes


def compile_graph(graph: LayerGraph, *, seed: int = 0) -> fx.GraphModule:
    """A torch.fx.GraphModule made of torch.nn layers; its weights depend on `seed` alone.

    The caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _compile(graph)


def _compile(graph: LayerGraph) -> fx.GraphModule:
    root = nn.Module()
    steps = fx.Graph()
    placed: set[str] = set()
    values = {INPUT: steps.placeholder("input")}
    for node, shapes in node_shapes(graph):
        path = node.weights.replace("/", ".")
        module = None if node.weights in placed else node.operation.module(shapes)
        placed.add(node.weights)
        if module is not None:
            _place(root, path, module)
        values[node.name] = node.operation.emit(steps, path, [values[name] for name in node.inputs])
    steps.output(values[graph.output])
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
