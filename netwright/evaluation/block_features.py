"""What a network's blocks give out, one tensor each: where all that flows passes through one place."""

from __future__ import annotations

import torch
from torch import fx, nn

from netwright.core.errors import NetwrightError
from netwright.evaluation.proxy import NoScoreError


def block_features(model: nn.Module, inputs: torch.Tensor) -> list[torch.Tensor]:
    """The output of each block in order, the last one (the head) left out; gradients can flow back through them.

    Blocks are told by the places of modules, `stage1.cell2`, or `stem` where layers lie in it directly. A block
    that runs no module, such as a cell of skips alone, is none. Raises NoScoreError when the network cannot be
    read as a graph or has fewer than two such blocks.
    """
    graph = _graph_of(model)
    runner = _Keeper(graph, {node.name for node in _ends(graph)})
    runner.run(inputs)
    found = [tensor for tensor in runner.kept.values() if tensor.ndim == inputs.ndim]
    if len(found) < 2:
        raise NoScoreError(f"the network has {len(found)} block(s) that everything flows through; 2 are needed")
    return found


def rows_of(features: torch.Tensor) -> torch.Tensor:
    """Features as (places, channels): channels are axis 1 of images [N, C, H, W], the last axis of all else."""
    moved = features.movedim(1, -1) if features.ndim == 4 else features
    return moved.reshape(-1, moved.shape[-1])


class _Keeper(fx.Interpreter):
    """Runs a graph and keeps some of its values, in order."""

    def __init__(self, module: fx.GraphModule, wanted: set[str]) -> None:
        super().__init__(module)
        self._wanted = wanted
        self.kept: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if n.name in self._wanted and isinstance(value, torch.Tensor):
            self.kept[n.name] = value
        return value


def _graph_of(model: nn.Module) -> fx.GraphModule:
    if isinstance(model, fx.GraphModule):
        return model
    try:
        return fx.symbolic_trace(model)
    except (NetwrightError, RuntimeError, TypeError, ValueError) as error:
        raise NoScoreError(f"the network cannot be read as a graph: {error}") from error


def _ends(model: fx.GraphModule) -> list[fx.Node]:
    """The last place of each block that everything flows through, without the block of the result."""
    blocks = _blocks(model)
    ends: dict[str, fx.Node] = {}
    for node in _narrow_places(model.graph):
        if blocks.get(node):
            ends[blocks[node]] = node
    output = next(node for node in reversed(model.graph.nodes) if node.op == "output")
    ends.pop(max((blocks.get(node, "") for node in output.all_input_nodes), default=""), None)
    return list(ends.values())


def _blocks(model: fx.GraphModule) -> dict[fx.Node, str]:
    """The block of every step; a step without a module belongs where the latest of its inputs does."""
    paths = [str(node.target).split(".") for node in model.graph.nodes if node.op == "call_module"]
    direct = {path[0] for path in paths if len(path) == 2}
    blocks: dict[fx.Node, str] = {}
    order: dict[str, int] = {}
    for node in model.graph.nodes:
        if node.op == "call_module":
            path = str(node.target).split(".")
            blocks[node] = path[0] if path[0] in direct or len(path) < 3 else ".".join(path[:2])
        else:
            known = [blocks[source] for source in node.all_input_nodes if blocks.get(source)]
            blocks[node] = max(known, key=lambda block: order[block], default="")
        if blocks[node]:
            order.setdefault(blocks[node], len(order))
    return blocks


def _narrow_places(graph: fx.Graph) -> list[fx.Node]:
    """Steps that every way from the input to the result goes through, in order.

    Going through the steps in order, one is narrow when nothing made before it is read after it.
    """
    nodes = [node for node in _alive(graph) if node.op != "output"]
    place = {node: index for index, node in enumerate(nodes)}
    last_read = {
        node: max((place.get(reader, len(nodes)) for reader in node.users if reader in place or reader.op == "output"),
                  default=place[node])
        for node in nodes
    }  # fmt: skip
    narrow, reach = [], 0
    for index, node in enumerate(nodes):
        if node.op == "get_attr":
            continue
        if reach <= index and node.op != "placeholder":
            narrow.append(node)
        reach = max(reach, last_read[node])
    return narrow


def _alive(graph: fx.Graph) -> list[fx.Node]:
    """The steps that the result depends on, in order."""
    needed: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or node in needed:
            needed.add(node)
            needed.update(node.all_input_nodes)
    return [node for node in graph.nodes if node in needed]
