"""The simplest form of a layer graph, and an identity that equal networks share."""

from __future__ import annotations

from collections.abc import Mapping

from netwright.core.shapes import Shape
from netwright.search_spaces.digest import digest_of
from netwright.search_spaces.graph import INPUT, LayerGraph, Node, outline_of
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.zero import Zero


def simplify(graph: LayerGraph) -> LayerGraph:
    """The same network without operations that cannot matter.

    Identities are folded into their input, zeros are dropped from sums and made where they are read, sums of one
    input vanish, and whatever the output does not depend on is removed.
    """
    shapes = graph.shapes()
    alias: dict[str, str] = {INPUT: INPUT}
    zero: set[str] = set()
    kept: dict[str, Node] = {}
    for node in graph.nodes:
        name, operation = node.name, node.operation
        inputs = tuple([alias[source] for source in node.inputs])
        if operation.drops_zeros and not zero.isdisjoint(inputs):
            inputs = tuple([source for source in inputs if source not in zero]) or inputs[:1]
        if _gives_zeros(operation, inputs, zero):
            alike = [source for source in inputs if source in zero and shapes[source] == node.shape]
            if alike:
                alias[name] = alike[0]
                continue
            operation, inputs = Zero(size=node.shape), inputs[:1]
            node = Node(name, operation, inputs, node.shape, name)
        elif len(inputs) == 1 and operation.is_identity([shapes[inputs[0]]]):
            alias[name] = inputs[0]
            continue
        if operation.is_zero():
            zero.add(name)
        alias[name] = name
        if zero:
            inputs = _with_zeros_at_hand(node, inputs, zero, shapes, kept)
        kept[name] = node if inputs == node.inputs else Node(name, operation, inputs, node.shape, node.weights)
    output = alias[graph.output]
    _feed_zeros(kept, output, shapes)
    live = _live(kept, output)
    return LayerGraph(graph.input_shape, tuple(node for node in kept.values() if node.name in live), output)


def identity(graph: LayerGraph) -> str:
    """A hash that does not depend on names, on the order of commutative inputs, or on what cannot matter.

    Every layer is hashed from its operation and its inputs' hashes; how often each hash occurs counts as
    well, so that two separate layers differ from one used twice. Operations without weights that read the
    same inputs are the same value and count once; zeros are all alike, and a sum of sums is one sum.
    """
    return digest_of(outline_of(graph)).key


def _gives_zeros(operation: Operation, inputs: tuple[str, ...], zero: set[str]) -> bool:
    """Whether zeros come out because zeros come in."""
    if not zero or not operation.keeps_zeros():
        return False
    return not zero.isdisjoint(inputs) if operation.zeroed_by_one else zero.issuperset(inputs)


def _with_zeros_at_hand(
    node: Node, inputs: tuple[str, ...], zero: set[str], shapes: Mapping[str, Shape], kept: dict[str, Node]
) -> tuple[str, ...]:
    """The inputs, with zeros made right before from another input of their shape where there is one."""
    if zero.isdisjoint(inputs):
        return inputs
    beside = {shapes[name]: name for name in reversed(inputs) if name not in zero}
    made: dict[Shape, str] = {}
    found = []
    for name in inputs:
        shape = shapes[name]
        if name in zero and shape in beside:
            if shape not in made:
                own = made[shape] = f"{node.name}_zeros{len(made) + 1}"
                kept[own] = Node(own, Zero(), (beside[shape],), shape, own)
            name = made[shape]  # instead of those from far away
        found.append(name)
    return tuple(found)


def _feed_zeros(kept: dict[str, Node], output: str, shapes: Mapping[str, Shape]) -> None:
    """Let zeros take their shape from something that is needed anyway, so that nothing lives for them alone."""
    needed = _live(kept, output, through_zeros=False) | {INPUT}
    for name, node in kept.items():
        source = node.inputs[0]
        if not node.operation.is_zero() or source in needed:
            continue
        while source not in needed:
            source = kept[source].inputs[0]
        operation = Zero() if shapes[source] == node.shape else Zero(size=node.shape)
        kept[name] = Node(name, operation, (source,), node.shape, node.weights)


def _live(nodes: Mapping[str, Node], output: str, *, through_zeros: bool = True) -> set[str]:
    """The nodes that the output depends on; a zero depends on its input for the shape only."""
    live: set[str] = set()
    waiting = [output]
    while waiting:
        name = waiting.pop()
        if name in live or name == INPUT:
            continue
        live.add(name)
        if through_zeros or not nodes[name].operation.is_zero():
            waiting.extend(nodes[name].inputs)
    return live
