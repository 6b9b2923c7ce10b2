"""Blocks of networks made of cells that read the two cells before them: the cell, stems, heads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

from netwright.core.shapes import Shape
from netwright.search_spaces.cell_operations import (
    STYLES,
    CellOperation,
    StyleName,
    cell_operation,
    factorized_reduction,
    relu_conv_norm,
)
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.drop_path import DropPath
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.outline import Outline

Side: TypeAlias = tuple[CellOperation, int]
"""An operation and the number of the state that it reads."""

SUM = Add()
CONCATENATION = Concat(any_order=True)
"""A cell is read by convolutions and by the classifier, so that its nodes may be numbered in any order."""


@dataclass(frozen=True)
class Wiring:
    """A cell: the two sides of every node, and the states whose concatenation is its result.

    State 0 is the output of the cell before the last, 1 that of the last cell, 2 the first node.
    """

    nodes: tuple[tuple[Side, Side], ...]
    concat: tuple[int, ...]

    @cached_property
    def _hash(self) -> int:
        return hash((self.nodes, self.concat))

    def __hash__(self) -> int:
        """That of its parts, worked out once: every cell of a network is looked up by it."""
        return self._hash


def loose_ends(nodes: tuple[tuple[Side, Side], ...]) -> tuple[int, ...]:
    """The nodes that no other node reads."""
    read = [source for node in nodes for _, source in node]
    return tuple([state for state in range(2, len(nodes) + 2) if state not in read])


def connected(wiring: Wiring) -> bool:
    """Whether something of the inputs reaches the cell's result."""
    alive = [True, True]
    for (left, first), (right, second) in wiring.nodes:
        alive.append((left != "none" and alive[first]) or (right != "none" and alive[second]))
    return any(alive[state] for state in wiring.concat)


def cell_body(
    net: GraphBuilder,
    previous: Tensor,
    current: Tensor,
    *,
    wiring: Wiring,
    filters: int,
    stride: int,
    style: StyleName,
    drop_path: float,
) -> Tensor:
    """A cell whose inputs have been matched: two (filters, height, width) -> (concatenated, height / stride, ...).

    Nodes are named by their state and side, and an operation's layers by the operation, so that a supernet
    keeps apart the weights of each (node, side, operation).
    """
    states = [previous, current]
    settings: dict[str, Any] = {"filters": filters, "style": style, "drop_path": drop_path}
    known = _nodes(current.shape, filters, style, drop_path)
    for number, sides in enumerate(wiring.nodes, start=2):
        (left, first), (right, second) = sides
        x, y = states[first], states[second]
        strides = (stride if first < 2 else 1, stride if second < 2 else 1)
        place, name = (left, right, x.shape, y.shape, strides), f"node{number}"
        block = known.get(place)
        if block is None:
            own = {"operations": (left, right), "strides": strides}
            block = known[place] = net.block(node, x, y, name=name, **own, **settings)
        states.append(net.embed(block, x, y, name=name))
    shape = (filters, *(-(-size // stride) for size in current.shape[1:]))
    parts = []
    for state in wiring.concat:
        part = states[state]
        if part.shape != shape:
            half = part.shape[1:] != shape[1:]
            part = net.use(_brought_to, part, name=f"concat{state}", filters=filters, half=half, style=style)
        parts.append(part)
    return net.add(CONCATENATION, *parts)


def node(
    net: GraphBuilder,
    left: Tensor,
    right: Tensor,
    *,
    operations: tuple[CellOperation, CellOperation],
    strides: tuple[int, int],
    filters: int,
    style: StyleName,
    drop_path: float,
) -> Tensor:
    """The sum of two operations, each on a state of its own: (filters, height / stride, width / stride)."""
    terms = []
    for side, x, operation, stride in zip(("left", "right"), (left, right), operations, strides, strict=True):
        settings: dict[str, Any] = {"operation": operation, "stride": stride, "filters": filters, "style": style}
        term = net.use(cell_operation, x, name=f"{side}/{operation}", **settings)
        if drop_path and operation not in ("none", "skip_connect"):
            term = net.add(DropPath(probability=drop_path), term, name=f"{side}/drop_path")
        terms.append(term)
    return net.add(SUM, *terms, name="sum")


@lru_cache(maxsize=64)
def _nodes(shape: Shape, filters: int, style: StyleName, drop_path: float) -> dict[tuple[object, ...], Outline]:
    """The nodes worked out so far: the same ones stand in many cells, and looking them up is most of the work."""
    del shape, filters, style, drop_path
    return {}


def match_previous(net: GraphBuilder, x: Tensor, *, filters: int, size: tuple[int, ...], style: StyleName) -> Tensor:
    """The output of the cell before the last, brought to the number of filters and to the size of the last one's."""
    if x.shape[1:] == size:
        return relu_conv_norm(net, x, filters=filters, style=style)
    return factorized_reduction(net, x, filters=filters, style=style)


def small_stem(net: GraphBuilder, x: Tensor, *, filters: int, style: StyleName) -> Tensor:
    """A 3x3 convolution with normalisation; height and width stay."""
    return net.chain(x, Conv2d(filters=filters, kernel=3), BatchNorm(epsilon=STYLES[style].epsilon))


def strided_stem(net: GraphBuilder, x: Tensor, *, filters: int, style: StyleName) -> Tensor:
    """A 3x3 convolution with stride 2 and without padding, and normalisation."""
    conv = Conv2d(filters=filters, kernel=3, stride=2, padding="valid")
    return net.chain(x, conv, BatchNorm(epsilon=STYLES[style].epsilon))


def quarter_stem(net: GraphBuilder, x: Tensor, *, filters: int) -> Tensor:
    """Two 3x3 convolutions with stride 2, the first with half the filters."""
    half, whole = (Conv2d(filters=number, kernel=3, stride=2) for number in (filters // 2, filters))
    return net.chain(x, half, BatchNorm(), Activation(), whole, BatchNorm())


def eighth_stem(net: GraphBuilder, x: Tensor, *, filters: int) -> Tensor:
    """One more 3x3 convolution with stride 2."""
    return net.chain(x, Activation(), Conv2d(filters=filters, kernel=3, stride=2), BatchNorm())


def head(net: GraphBuilder, x: Tensor, *, classes: int, relu: bool, dropout: float) -> Tensor:
    """The mean over places and a linear layer: (channels, height, width) -> (classes,)."""
    if relu:
        x = net.add(Activation(), x)
    x = net.add(GlobalPool(), x)
    if dropout:
        x = net.add(Dropout(probability=dropout), x)
    return net.add(Linear(features=classes), x)


def _brought_to(net: GraphBuilder, x: Tensor, *, filters: int, half: bool, style: StyleName) -> Tensor:
    """A state of another size or number of filters than the nodes, made fit to stand beside them."""
    if half:
        return factorized_reduction(net, x, filters=filters, style=style, relu=False)
    y = net.add(Conv2d(filters=filters, kernel=1), x, name="conv")
    return net.add(BatchNorm(epsilon=STYLES[style].epsilon), y, name="norm")
