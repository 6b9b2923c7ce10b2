"""A cell whose operations sit on the vertices of a graph, as in NAS-Bench-101: pruned, numbered, made into layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.first_channels import FirstChannels
from netwright.search_spaces.operations.pool2d import Pool2d

Edge = tuple[int, int]
LABELS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""What a vertex may do, in the benchmark's order."""
ADD, CONCAT, NORM, RELU = Add(), Concat(), BatchNorm(momentum=0.003), Activation()
"""The normalisation's momentum is TensorFlow's 0.997, said torch's way."""
POOL = Pool2d(mode="max", kernel=3, stride=1)


@dataclass(frozen=True, slots=True)
class LabelledCell:
    """Vertices 0 (input), 1, 2, ..., and the output last; edges (source, target) with source < target.

    `labels` are the operations of the vertices between input and output.
    """

    edges: tuple[Edge, ...]
    labels: tuple[str, ...]

    @property
    def output(self) -> int:
        """The number of the output vertex."""
        return len(self.labels) + 1

    def sources(self, target: int) -> list[int]:
        """The vertices that a vertex reads."""
        return [source for source, end in self.edges if end == target]

    def channels(self, filters: int) -> list[int]:
        """The channels of every inner vertex when `filters` come out of the cell.

        Vertices that the output reads share its channels, the first ones taking what is left over; any other
        has as many as the widest vertex that reads it (Ying et al., 2019).
        """
        widths = [0] * (self.output + 1)
        joined = [vertex for vertex in self.sources(self.output) if vertex]
        for place, vertex in enumerate(joined):
            widths[vertex] = filters // len(joined) + (place < filters % len(joined))
        for vertex in range(self.output - 1, 0, -1):
            if vertex not in joined:
                widths[vertex] = max(widths[end] for source, end in self.edges if source == vertex)
        return widths[1 : self.output]


def live_edges(edges: Iterable[Edge], output: int) -> list[Edge]:
    """The edges on a way from vertex 0 to `output`, by target and then by source."""
    ordered = sorted(edges, key=lambda edge: (edge[1], edge[0]))
    reached, needed = {0}, {output}
    for source, target in ordered:
        if source in reached:
            reached.add(target)
    for source, target in reversed(ordered):
        if target in needed:
            needed.add(source)
    return [edge for edge in ordered if reached.issuperset(edge) and needed.issuperset(edge)]


def labelled_cell(edges: Iterable[Edge], labels: Mapping[int, str], output: int) -> LabelledCell:
    """The cell that is left of some edges without dead vertices, its vertices numbered without gaps."""
    live = live_edges(edges, output)
    inner = sorted({vertex for edge in live for vertex in edge} - {0, output})
    number = {vertex: place for place, vertex in enumerate([0, *inner, output])}
    return LabelledCell(
        tuple((number[source], number[target]) for source, target in live), tuple(labels[vertex] for vertex in inner)
    )


@lru_cache(maxsize=65536)
def as_published(cell: LabelledCell) -> LabelledCell:
    """The same cell with its vertices numbered as in the benchmark, whatever numbers they had.

    The benchmark went through adjacency matrices as binary numbers, column by column, then through labels, and
    trained the first cell of every class of equal ones. The numbers matter: the vertices read by the
    output that come first take the channels that are left over.
    """
    ranks = [LABELS.index(label) for label in cell.labels]
    matrix, found = min(_written(cell, order, ranks) for order in _orders(cell))
    pairs = ((source, target) for target in range(1, cell.output + 1) for source in range(target))
    return LabelledCell(
        tuple(pair for place, pair in enumerate(pairs) if matrix >> place & 1), tuple(LABELS[rank] for rank in found)
    )


def cell_block(net: GraphBuilder, x: Tensor, *, cell: LabelledCell, filters: int) -> Tensor:
    """The cell's layers: (channels, height, width) -> (filters, height, width).

    A vertex sums what it reads, the cell's input through a 1x1 convolution, other vertices cut to its own
    channels. The output concatenates the vertices that it reads and adds the input's 1x1 convolution, if it reads it.
    """
    values, widths = [x], cell.channels(filters)
    for vertex, (label, width) in enumerate(zip(cell.labels, widths, strict=True), start=1):
        with net.scope(f"vertex{vertex}"):
            terms = [_term(net, values[source], source=source, width=width) for source in cell.sources(vertex)]
            total = terms[0] if len(terms) == 1 else net.add(ADD, *terms)
            if label == "maxpool3x3":
                values.append(net.add(POOL, total, name=label))
            else:
                kernel = 3 if label == "conv3x3-bn-relu" else 1
                values.append(net.use(convolution, total, name=label, filters=width, kernel=kernel))
    with net.scope("output"):
        joined = [values[source] for source in cell.sources(cell.output) if source]
        terms = [net.add(CONCAT, *joined)] if len(joined) > 1 else joined
        if 0 in cell.sources(cell.output):
            terms.append(_term(net, x, source=0, width=filters))
        return terms[0] if len(terms) == 1 else net.add(ADD, *terms)


def convolution(net: GraphBuilder, x: Tensor, *, filters: int, kernel: int) -> Tensor:
    """Convolution, normalisation, ReLU: (channels, height, width) -> (filters, height, width)."""
    return net.chain(x, Conv2d(filters=filters, kernel=kernel), NORM, RELU)


def _term(net: GraphBuilder, value: Tensor, *, source: int, width: int) -> Tensor:
    """What a vertex reads of another one, with the vertex's own number of channels."""
    if not source:
        return net.use(convolution, value, name="from_input", filters=width, kernel=1)
    if value.shape[0] == width:
        return value
    return net.add(FirstChannels(count=width), value, name=f"from_vertex{source}")


def _written(cell: LabelledCell, order: tuple[int, ...], ranks: list[int]) -> tuple[int, tuple[int, ...]]:
    """A cell's matrix as a binary number and its labels when its inner vertices stand in this order."""
    number = {0: 0, cell.output: cell.output, **{vertex: place for place, vertex in enumerate(order, start=1)}}
    matrix = 0
    for source, target in cell.edges:
        end = number[target]
        matrix |= 1 << number[source] + end * (end - 1) // 2
    return matrix, tuple([ranks[vertex - 1] for vertex in order])


def _orders(cell: LabelledCell, placed: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Every order of the inner vertices in which each comes after those that it reads."""
    if len(placed) == cell.output - 1:
        yield placed
        return
    for vertex in range(1, cell.output):
        if vertex not in placed and all(source in placed or source == 0 for source in cell.sources(vertex)):
            yield from _orders(cell, (*placed, vertex))
