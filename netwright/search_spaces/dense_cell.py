"""Blocks of networks made of dense cells: every edge carries one operation, every node sums its edges."""

from __future__ import annotations

from typing import Literal, TypeAlias

from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.operations.skip import Skip
from netwright.search_spaces.operations.zero import Zero

SUM = Add()
ZERO = Zero()
ActivationPlace: TypeAlias = Literal["before", "after"]
"""Whether ReLU runs before a convolution or after its normalisation."""
Edges: TypeAlias = tuple[tuple[int, int, str], ...]
"""(source, target, operation) of every edge, by target and then by source."""


def stem(net: GraphBuilder, x: Tensor, *, filters: int, stride: int, activation: ActivationPlace) -> Tensor:
    """A 3x3 convolution with normalisation: (channels, height, width) -> (filters, height / stride, width / stride)."""
    return net.chain(x, *_convolution(filters, kernel=3, stride=stride, activation=activation, first=True))


def dense_cell(net: GraphBuilder, x: Tensor, *, edges: Edges, activation: ActivationPlace) -> Tensor:
    """A cell whose node 0 is the input and whose last node is the result; the shape stays."""
    nodes = [x]
    for target in range(1, max(target for _, target, _ in edges) + 1):
        terms = []
        for source, end, operation in edges:
            if end != target or operation == "none":
                continue
            x = nodes[source]
            if operation != "skip":
                x = net.use(edge, x, name=f"{source}-{target}", operation=operation, activation=activation)
            terms.append(x)
        # a node without any edge is zero
        terms = terms or [net.add(ZERO, nodes[0], name=f"zero{target}")]
        nodes.append(net.add(SUM, *terms, name=f"node{target}"))
    return nodes[-1]


def edge(net: GraphBuilder, x: Tensor, *, operation: str, activation: ActivationPlace) -> Tensor:
    """One edge's operation; its layers are named after it, so that a supernet keeps the weights of each apart."""
    with net.scope(operation):
        return net.chain(x, *_edge_layers(operation, x.shape[0], activation))


def residual_reduction(net: GraphBuilder, x: Tensor, *, filters: int, activation: ActivationPlace) -> Tensor:
    """A residual block that halves height and width and gives out `filters` channels."""
    wide = _convolution(filters, kernel=3, stride=2, activation=activation)
    body = net.chain(x, *wide, *_convolution(filters, kernel=3, activation=activation))
    with net.scope("shortcut"):
        # the mean of 2x2 places meets the body's size only when both sides are even
        pooled = activation == "before" and all(size % 2 == 0 for size in x.shape[1:])
        steps: list[Operation] = [Pool2d(mode="average", kernel=2, stride=2)] if pooled else []
        short = net.chain(x, *steps, Conv2d(filters=filters, kernel=1, stride=1 if pooled else 2))
    return net.add(Add(), body, short)


def head(net: GraphBuilder, x: Tensor, *, classes: int, activation: ActivationPlace) -> Tensor:
    """The mean over places and a linear layer: (channels, height, width) -> (classes,)."""
    if activation == "before":
        x = net.chain(x, BatchNorm(), Activation())
    return net.chain(x, GlobalPool(), Linear(features=classes))


def _convolution(
    filters: int,
    *,
    kernel: int,
    activation: ActivationPlace,
    stride: int = 1,
    separable: bool = False,
    first: bool = False,
) -> list[Operation]:
    """Convolution and normalisation, with ReLU before or after them; the network's first has none before."""
    convolutions = [Conv2d(filters=filters, kernel=kernel, stride=stride)]
    if separable:
        convolutions = [Conv2d(filters=filters, kernel=kernel, groups=0), Conv2d(filters=filters, kernel=1)]
    if activation == "after":
        return [*convolutions, BatchNorm(), Activation()]
    return [*([] if first else [Activation()]), *convolutions, BatchNorm()]


def _edge_layers(operation: str, filters: int, activation: ActivationPlace) -> list[Operation]:
    """The layers that an edge's operation stands for; `filters` come in and go out."""
    family, _, size = operation.rpartition("_")
    kernel = int(size[0]) if size[:1].isdigit() else 0
    if family in ("conv", "separable"):
        return _convolution(filters, kernel=kernel, activation=activation, separable=family == "separable")
    if family in ("average_pool", "max_pool"):
        mode: Literal["average", "max"] = "average" if family == "average_pool" else "max"
        return [Pool2d(mode=mode, kernel=kernel, stride=1)]
    return [Zero() if operation == "none" else Skip()]
