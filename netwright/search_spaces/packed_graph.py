"""Graphs as tensors of one size: how a molecule's atoms and bonds are laid out as rows and columns."""

from __future__ import annotations

from dataclasses import dataclass

from netwright.core.errors import ShapeError
from netwright.core.shapes import Shape


@dataclass(frozen=True, slots=True)
class ColumnRange:
    """A range of columns of a packed graph."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class GraphLayout:
    """A graph of at most `nodes` nodes as (nodes, 1 + features + nodes + edges); a row is a node.

    ColumnRange: 1 for a node and 0 for padding, the node's features, its row of the adjacency matrix, the sum of the
    features of its edges. Rows beyond the graph's nodes are zeros.
    """

    nodes: int
    features: int
    edges: int = 0

    @property
    def shape(self) -> Shape:
        """The shape of a packed graph."""
        return (self.nodes, 1 + self.features + self.nodes + self.edges)

    @property
    def presence(self) -> ColumnRange:
        """Whether the row is a node."""
        return ColumnRange(0, 1)

    @property
    def node_features(self) -> ColumnRange:
        """What is known of the node."""
        return ColumnRange(1, 1 + self.features)

    @property
    def adjacency(self) -> ColumnRange:
        """Which nodes it is joined to."""
        return ColumnRange(1 + self.features, 1 + self.features + self.nodes)

    @property
    def edge_sums(self) -> ColumnRange:
        """The sum of its edges' features."""
        return ColumnRange(1 + self.features + self.nodes, self.shape[1])


def layout_of(shape: Shape, *, edges: int) -> GraphLayout:
    """The layout of packed graphs of a shape; raises ShapeError when there is no room for node features."""
    if len(shape) != 2 or shape[1] < shape[0] + edges + 2:
        raise ShapeError(
            f"a packed graph has a row for each node and the columns presence, features, adjacency (as many as rows) "
            f"and {edges} edge features; the shape {shape} has no room for them"
        )
    return GraphLayout(nodes=shape[0], features=shape[1] - shape[0] - edges - 1, edges=edges)
