"""A network made narrower and shallower: the operations of a layer graph with fewer channels and blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from netwright.search_spaces.channels import ChannelMap, Flow, channel_axis, count
from netwright.search_spaces.graph import INPUT, GraphBuilder, LayerGraph, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.each import Each
from netwright.search_spaces.residual import Block


def add_narrowed(
    net: GraphBuilder,
    graph: LayerGraph,
    channels: ChannelMap,
    *,
    kept: Mapping[str, int],
    dropped: Sequence[Block] = (),
) -> Tensor:
    """Add a graph's operations to `net`, of each group so many channels, without the dropped blocks.

    Groups that are not named stay whole. Gives back the network's output.
    """
    gone = {name for block in dropped for name in block.nodes}
    tensors = {INPUT: net.input}
    ends = {block.end: block.start for block in dropped}
    for node in graph.nodes:
        if node.name in gone:
            if node.name in ends:
                tensors[node.name] = tensors[ends[node.name]]
            continue
        operation = narrowed(node.operation, channels.flows[node.name], kept)
        inputs = [tensors[name] for name in node.inputs]
        tensors[node.name] = net.add(operation, *inputs, name=node.name, weights="/" + node.weights)
    return tensors[graph.output]


def narrowed(operation: Operation, flow: Flow, kept: Mapping[str, int]) -> Operation:
    """The operation with as many channels as are kept."""
    if isinstance(operation, Each):
        return operation.with_step(narrowed(operation.operation, flow, kept))
    channels = flow.counted or flow.out
    width = count(channels, kept)
    if width == count(channels, {}):
        return operation
    changed: dict[str, object] = {
        name: value if isinstance(value, int) else count(value, kept) for name, value in flow.narrow.items()
    }
    if flow.counted_field == "shape":
        shape = getattr(operation, "shape")  # noqa: B009 -- of a reshape
        axis = channel_axis(shape)
        changed["shape"] = (*shape[:axis], width, *shape[axis + 1 :])
    elif flow.counted_field:
        changed[flow.counted_field] = width
    return _with(operation, tuple(changed.items())) if changed else operation


@lru_cache(maxsize=4096)
def _with(operation: Operation, changed: tuple[tuple[str, object], ...]) -> Operation:
    """The operation with some fields changed."""
    fields = {name: getattr(operation, name) for name in type(operation).model_fields}
    return type(operation)(**{**fields, **dict(changed)})
