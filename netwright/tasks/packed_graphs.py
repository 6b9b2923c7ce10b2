"""Graphs as arrays of one size, in the form that the space `graph` takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from netwright.core.errors import DataError
from netwright.tasks.data import FloatArray


def pack_graph(
    node_features: ArrayLike, adjacency: ArrayLike, edge_features: ArrayLike | None = None, *, size: int
) -> FloatArray:
    """One graph as a tensor (size, 1 + features + size + edges) whose rows are its nodes, then padding of zeros.

    The columns: 1 for a node, its features, its row of the adjacency matrix, the sum of its edges' features.
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
    sums = np.einsum("ij,ije->ie", joined, edges)
    far = np.zeros((count, size - count))
    packed = np.zeros((size, 1 + nodes.shape[1] + size + edges.shape[2]), dtype=np.float32)
    packed[:count] = np.concatenate([np.ones((count, 1)), nodes, joined, far, sums], axis=1)
    return packed
