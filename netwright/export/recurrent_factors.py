"""Weights of recurrent layers as two thin factors in an ONNX file, where they are of low rank.

The runtime multiplies the factors once, when a session opens: the file is smaller, and what runs is the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx_ir as ir

ROUNDING = 1e-6
"""Singular values below so much of the largest are what rounding to 32-bit floats leaves."""
_RECURRENT = frozenset({"RNN", "LSTM", "GRU"})
_NODE = 64
"""Numbers whose bytes a product takes in a file beside its factors."""
_INPUTS = {1: "weight_ih", 2: "weight_hh"}


def rank_of(matrices: npt.NDArray[Any]) -> int:
    """The rank of a matrix [..., rows, columns] of 32-bit floats, the largest where there are several.

    One whose values are not all finite counts as of full rank.
    """
    if not np.isfinite(matrices).all():
        return int(min(matrices.shape[-2:]))
    values = matrices.astype(np.float64)
    values = values if values.shape[-2] >= values.shape[-1] else values.swapaxes(-1, -2)
    squared = np.linalg.eigvalsh(values.swapaxes(-1, -2) @ values)
    return int((squared > ROUNDING**2 * squared[..., -1:]).sum(axis=-1).max())


def factors_of(matrices: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """Left [..., rows, rank] and right [..., rank, columns] factors, or None where they would not be fewer values.

    Zeros of the matrices are not counted, since they take no room in an archive.
    """
    *many, rows, columns = matrices.shape
    rank = rank_of(matrices)
    if not int(np.prod(many)) * rank * (rows + columns) + _NODE < np.count_nonzero(matrices):
        return None
    left, values, right = np.linalg.svd(matrices.astype(np.float64), full_matrices=False)
    root = np.sqrt(values[..., :rank])
    left, right = left[..., :rank] * root[..., None, :], root[..., None] * right[..., :rank, :]
    return left.astype(np.float32), right.astype(np.float32)


def factor_recurrent(model: ir.Model) -> None:
    """Replace the weights of recurrent nodes, in an onnx_ir model, by products of factors where those are fewer."""
    import onnx_ir as ir

    graph = model.graph
    for node in [node for node in graph if node.op_type in _RECURRENT]:
        for place, kind in _INPUTS.items():
            weight = node.inputs[place]
            values = None if weight is None else ir.convenience.get_const_tensor(weight)
            found = None if values is None else factors_of(values.numpy())
            if weight is None or weight.name is None or weight.name not in graph.initializers or found is None:
                continue
            name = f"{node.name}.{kind}"
            sides = []
            for side, factor in zip(("left", "right"), found, strict=True):
                sides.append(ir.Value(name=f"{name}_{side}", const_value=ir.tensor(factor, name=f"{name}_{side}")))
                graph.register_initializer(sides[-1])
            product = ir.node("MatMul", sides, name=name)
            product.outputs[0].name = f"{name}_product"
            graph.insert_before(next(iter(graph)), product)
            ir.convenience.replace_all_uses_with(weight, product.outputs[0])
            del graph.initializers[weight.name]


def factor_file(path: Path) -> None:
    """Do so in a file, which the runtime's tools multiply out again."""
    import onnx_ir as ir

    model = ir.load(path)
    before = len(model.graph)
    factor_recurrent(model)
    if len(model.graph) > before:
        ir.save(model, path)
