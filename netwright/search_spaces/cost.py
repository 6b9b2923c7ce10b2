"""What a layer graph costs, from its operations alone: no torch, nothing built."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from netwright.core.cost import Cost
from netwright.core.shapes import Shape
from netwright.search_spaces.graph import INPUT, LayerGraph, node_shapes

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One operation's parameters, multiply-accumulates and output bytes (32-bit, batch 1)."""

    name: str
    label: str
    shape: Shape
    params: int
    macs: int
    activation_bytes: int


def layer_costs(graph: LayerGraph) -> list[LayerCost]:
    """The cost of every operation, in the order in which they run; shared weights count where they come first."""
    costs = []
    counted: set[str] = set()
    for node, shapes in node_shapes(graph):
        costs.append(
            LayerCost(
                name=node.name,
                label=node.operation.label(),
                shape=node.shape,
                params=0 if node.weights in counted else node.operation.params(shapes),
                macs=node.operation.macs(shapes),
                activation_bytes=FLOAT_BYTES * prod(node.shape),
            )
        )
        counted.add(node.weights)
    return costs


def cost(graph: LayerGraph) -> Cost:
    """Parameters, multiply-accumulates and peak activation memory of one inference at batch 1."""
    params = macs = 0
    counted: set[str] = set()
    for node, shapes in node_shapes(graph):
        params += 0 if node.weights in counted else node.operation.params(shapes)
        macs += node.operation.macs(shapes)
        counted.add(node.weights)
    return Cost(params=params, macs=macs, peak_activation_bytes=peak_activation_bytes(graph))


def peak_activation_bytes(graph: LayerGraph) -> int:
    """The most bytes alive at once when operations run in order and a value dies after its last use."""
    last_use = {node.name: index for index, node in enumerate(graph.nodes)}
    last_use |= {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    last_use.pop(graph.output, None)
    size = {name: FLOAT_BYTES * prod(shape) for name, shape in graph.shapes().items()}
    alive = peak = size[INPUT]
    for index, node in enumerate(graph.nodes):
        alive += size[node.name]
        peak = max(peak, alive)
        alive -= sum(size[name] for name in {node.name, *node.inputs} if last_use.get(name) == index)
    return peak
