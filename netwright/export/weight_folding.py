"""What a graph computes from weights alone is computed once, where its file does not grow by it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import permutations
from math import prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

_KEPT = frozenset({"QuantizeLinear", "DequantizeLinear"})
_NODE_BYTES = 128
"""About what a node takes in a file."""


def fold_weights(model: ir.Model) -> None:
    """Replace nodes that depend on weights alone by their results, in an onnx_ir model.

    The exporter does so for small weights. For large ones it leaves the order of a recurrent layer's gates, or the
    signs of binary weights, to the runtime, beside constants that it made: the file is then larger than what is
    computed with, and what is made once counts as if it were made at every call. Nodes that hang together are folded
    together, and only where their results take no more bytes than the weights that nothing else reads.
    """
    from onnxscript.optimizer import fold_constants

    smaller = {node for nodes in _islands(model.graph) if _pays(nodes) for node in nodes}
    if smaller:
        fold_constants(
            model, should_fold=smaller.__contains__, input_size_limit=sys.maxsize, output_size_limit=sys.maxsize
        )
        for name, value in list(model.graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del model.graph.initializers[name]


def share_transposed(model: ir.Model) -> None:
    """Make weights that are others with their axes in another order from those, in an onnx_ir model.

    The exporter writes a small weight that a network also uses transposed as a second one. A runtime transposes it
    once, when a session opens.
    """
    import onnx_ir as ir

    graph = model.graph
    held: dict[tuple[object, ...], list[tuple[ir.Value, np.ndarray]]] = {}
    for value in list(graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or len(tensor.shape) < 2 or tensor.nbytes <= _NODE_BYTES or value.is_graph_output():
            continue
        values = tensor.numpy()
        bits = values.view(f"u{values.itemsize}")
        # alike in whatever order their axes are, so that few are compared
        alike = held.setdefault((values.dtype, *sorted(values.shape), int(bits.sum(dtype=np.uint64))), [])
        found = ((one, order) for one, other in alike if (order := _order(other, bits)) is not None)
        source, order = next(found, (None, None))
        if source is None:
            alike.append((value, bits))
            continue
        made = ir.node("Transpose", [source], {"perm": order}, name=value.name)
        made.outputs[0].shape, made.outputs[0].type = value.shape, value.type
        graph.insert_before(next(iter(graph)), made)
        ir.convenience.replace_all_uses_with(value, made.outputs[0])
        del graph.initializers[value.name or ""]
        made.outputs[0].name = value.name


def _order(one: np.ndarray, other: np.ndarray) -> list[int] | None:
    """The order in which one array's axes give the other, if they are not equal as they are."""
    orders = permutations(range(one.ndim))
    found = next((list(order) for order in orders if np.array_equal(one.transpose(order), other)), None)
    return None if found == [*range(one.ndim)] else found


def _islands(graph: ir.Graph) -> Iterator[list[ir.Node]]:
    """The nodes that depend on initializers alone, those of one island joined by what they make or read."""
    known = {value for value in graph.initializers.values() if not value.is_graph_input()}
    nodes: dict[ir.Node, None] = {}
    for node in graph:
        reads = [value for value in node.inputs if value is not None]
        inner = any(attribute.type.name.startswith("GRAPH") for attribute in node.attributes.values())
        if reads and known.issuperset(reads) and not inner and node.op_type not in _KEPT:
            nodes[node] = None
            known.update(node.outputs)
    while nodes:
        island: dict[ir.Node, None] = {}
        reached = [next(iter(nodes))]
        while reached:
            node = reached.pop()
            if node in nodes:
                del nodes[node]
                island[node] = None
                values = [*node.outputs, *(value for value in node.inputs if value is not None)]
                reached += [reader for value in values for reader, _ in value.uses()]
                reached += [made for value in values if (made := value.producer()) is not None]
        yield list(island)


def _pays(nodes: list[ir.Node]) -> bool:
    """Whether what the nodes give takes no more bytes than the weights that they alone read."""
    inside = set(nodes)

    def shown(value: ir.Value) -> bool:
        return value.is_graph_output() or any(reader not in inside for reader, _ in value.uses())

    given = _bytes(value for node in nodes for value in node.outputs if shown(value))
    read = {value for node in nodes for value in node.inputs if value is not None and value.producer() is None}
    saved = _bytes(value for value in read if not shown(value))
    return given is not None and saved is not None and given <= saved


def _bytes(values: Iterable[ir.Value]) -> float | None:
    """The bytes of tensors; None where a size is not known."""
    total = 0.0
    for value in values:
        shape = value.shape if value.const_value is None else value.const_value.shape
        sizes = [None] if shape is None else [size if isinstance(size, int) else None for size in shape]
        if None in sizes or value.dtype is None:
            return None
        total += prod(size for size in sizes if size is not None) * value.dtype.itemsize
    return total
