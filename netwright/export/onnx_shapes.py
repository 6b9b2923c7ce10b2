"""The shape of every tensor in an ONNX graph, for given sizes of its dynamic axes."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import onnx
from onnx import helper, shape_inference

from netwright.core.errors import ExportError

Shape = tuple[int, ...]


def known_shapes(model: Any, sizes: Mapping[str, int]) -> tuple[dict[str, Shape], dict[str, int]]:
    """Shapes and bytes per element by tensor name; tensors whose shape stays unknown are left out.

    `sizes` gives the dynamic axes by name. The model is not changed.
    Raises ExportError when a dynamic axis of the input has no size.
    """
    stored = _stated(model, sizes)
    work = onnx.ModelProto()
    work.CopyFrom(model)
    for value in work.graph.input:
        _fix(value, sizes)
    for output in work.graph.output:
        output.type.tensor_type.ClearField("shape")
    while True:
        inferred = _inferred(work)
        added = _missing(work, inferred, stored)
        if not added:
            break
        for name, shape, kind in added:
            work.graph.value_info.append(helper.make_tensor_value_info(name, kind, shape))
    shapes = {name: shape for name, (shape, _) in inferred.items()}
    bytes_each = {name: _item_bytes(kind) for name, (_, kind) in inferred.items()}
    return shapes, bytes_each


def _stated(model: Any, sizes: Mapping[str, int]) -> dict[str, tuple[Shape, int]]:
    """What the file itself says of its tensors, with names of axes replaced by sizes."""
    found = {}
    for value in (*model.graph.value_info, *model.graph.output):
        tensor = value.type.tensor_type
        dims = [sizes.get(d.dim_param, 0) if d.dim_param else d.dim_value for d in tensor.shape.dim]
        if all(dims):
            found[value.name] = (tuple(dims), tensor.elem_type)
    return found


def _fix(value: Any, sizes: Mapping[str, int]) -> None:
    for position, dim in enumerate(value.type.tensor_type.shape.dim):
        if dim.dim_value:
            continue
        name = dim.dim_param or f"axis {position}"
        if position and name not in sizes:
            raise ExportError(f"the axis {name!r} of {value.name!r} is dynamic: give its size, sizes={{{name!r}: n}}")
        dim.dim_value = sizes.get(name, 1)


def _inferred(work: Any) -> dict[str, tuple[Shape, int]]:
    """Shapes and element types that ONNX's own inference finds from the input's shape."""
    bare = onnx.ModelProto()
    bare.CopyFrom(work)
    graph = shape_inference.infer_shapes(bare, data_prop=True).graph
    found: dict[str, tuple[Shape, int]] = {}
    for tensor in graph.initializer:
        found[tensor.name] = (tuple(tensor.dims), tensor.data_type)
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        dims = [dim.dim_value for dim in tensor.shape.dim]
        if tensor.HasField("shape") and all(dims):
            found[value.name] = (tuple(dims), tensor.elem_type)
    return found


def _missing(
    work: Any, inferred: Mapping[str, tuple[Shape, int]], stored: Mapping[str, tuple[Shape, int]]
) -> list[tuple[str, Shape, int]]:
    """Tensors that inference left open: those the file states, else the first that a rule gives."""
    made = [(node, position, name) for node in work.graph.node for position, name in enumerate(node.output)]
    open_ones = [item for item in made if item[2] and item[2] not in inferred]
    stated = [(name, *stored[name]) for _, _, name in open_ones if name in stored]
    if stated:
        return stated
    for node, position, name in open_ones:
        shape = _by_rule(node, position, inferred)
        if shape is not None:
            return [(name, shape, inferred[node.input[0]][1])]
    return []


def _by_rule(node: Any, position: int, inferred: Mapping[str, tuple[Shape, int]]) -> Shape | None:
    if not node.input or node.input[0] not in inferred:
        return None
    source = inferred[node.input[0]][0]
    if node.op_type == "DynamicQuantizeLSTM":
        recurrence = inferred[node.input[2]][0]
        time, batch, _ = source
        directions, hidden = recurrence[0], recurrence[1]
        return (time, directions, batch, hidden) if position == 0 else (directions, batch, hidden)
    # nothing is known of a reshape's target but its size, which is enough to count bytes
    return (1, prod(source)) if node.op_type == "Reshape" else None


def _item_bytes(kind: int) -> int:
    return int(helper.tensor_dtype_to_np_dtype(kind).itemsize)
