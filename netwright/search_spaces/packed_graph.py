"""Graphs as tensors of one size: how a molecule's atoms and bonds are laid out as rows and columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netwright.core.errors import DataError, ShapeError
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


def pack_graph(
    node_features: ArrayLike, adjacency: ArrayLike, edge_features: ArrayLike | None = None, *, size: int
) -> NDArray[np.float32]:
    """One graph as a tensor (size, 1 + features + size + edges), see GraphLayout.

    `node_features` is (nodes, features), `adjacency` (nodes, nodes) of zeros and ones, `edge_features`
    (nodes, nodes, edges). Raises DataError when these do not belong together or there are more nodes than `size`.
    """
    nodes, joined = np.asarray(node_features, dtype=np.float32), np.asarray(adjacency, dtype=np.float32)
    count = len(nodes) if nodes.ndim else 0
    edges = np.zeros((count, count, 0)) if edge_features is None else np.asarray(edge_features, dtype=np.float32)
    if nodes.ndim != 2 or joined.shape != (count, count) or edges.ndim != 3 or edges.shape[:2] != (count, count):
        raise DataError(
            "a graph of n nodes needs node_features (n, features), adjacency (n, n) and edge_features (n, n, edges); "
            f"came {nodes.shape}, {joined.shape} and {edges.shape}"
        )
    if not 1 <= count <= size:
        raise DataError(f"a graph of {count} nodes does not fit into {size} rows; choose `size` by the largest graph")
    if not np.isin(joined, (0, 1)).all():
        raise DataError("the adjacency matrix must be of zeros and ones")
    layout = GraphLayout(size, nodes.shape[1], edges.shape[2])
    packed = np.zeros(layout.shape, dtype=np.float32)
    packed[:count, 0] = 1
    packed[:count, layout.node_features.start : layout.node_features.stop] = nodes
    packed[:count, layout.adjacency.start : layout.adjacency.start + count] = joined
    packed[:count, layout.edge_sums.start :] = np.einsum("ij,ije->ie", joined, edges)
    return packed
