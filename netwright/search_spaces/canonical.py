"""The simplest form of a layer graph, and an identity that equal networks share."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import lru_cache

from netwright.core.files import canonical_json
from netwright.core.plugins import spec_of
from netwright.search_spaces.graph import INPUT, LayerGraph, Node
from netwright.search_spaces.operation import Operation


def simplify(graph: LayerGraph) -> LayerGraph:
    """The same network without operations that cannot matter.

    Identities are folded into their input, zeros are dropped from sums, sums of one input vanish,
    and whatever the output does not depend on is removed.
    """
    shapes = graph.shapes()
    alias: dict[str, str] = {INPUT: INPUT}
    zero: set[str] = set()
    kept: dict[str, Node] = {}
    for node in graph.nodes:
        inputs = tuple(alias[name] for name in node.inputs)
        if node.operation.is_zero():
            zero.add(node.name)
        elif node.operation.drops_zeros:
            inputs = tuple(name for name in inputs if name not in zero) or inputs[:1]
        if node.operation.is_identity([shapes[name] for name in inputs]):
            alias[node.name] = inputs[0]
            continue
        alias[node.name] = node.name
        kept[node.name] = Node(node.name, node.operation, inputs, node.shape)
    output = alias[graph.output]
    live = _live(kept, output)
    return LayerGraph(graph.input_shape, tuple(node for node in kept.values() if node.name in live), output)


def identity(graph: LayerGraph) -> str:
    """A hash of the simplified graph that does not depend on names or on the order of commutative inputs.

    Every node is hashed from its operation and its inputs' hashes; the multiset of all node hashes is
    hashed with the output's, so that two separate layers differ from one layer used twice. Operations
    without weights that read the same inputs are the same value and count once.
    """
    simple = simplify(graph)
    hashes = {INPUT: _digest("input", str(simple.input_shape))}
    weighted: Counter[str] = Counter()
    shapes = simple.shapes()
    for node in simple.nodes:
        inputs = [hashes[name] for name in node.inputs]
        if node.operation.commutative:
            inputs.sort()
        own = _digest(_operation_key(node.operation), *inputs)
        hashes[node.name] = own
        if node.operation.params([shapes[name] for name in node.inputs]) or node.operation.random:
            weighted[own] += 1
    return _digest(hashes[simple.output], *(f"{key}*{count}" for key, count in sorted(weighted.items())))


def _live(nodes: dict[str, Node], output: str) -> set[str]:
    live: set[str] = set()
    waiting = [output]
    while waiting:
        name = waiting.pop()
        if name in live or name == INPUT:
            continue
        live.add(name)
        waiting.extend(nodes[name].inputs)
    return live


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


@lru_cache(maxsize=65536)
def _operation_key(operation: Operation) -> str:
    return canonical_json(spec_of(operation))
