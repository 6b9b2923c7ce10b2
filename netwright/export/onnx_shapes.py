"""The shape of every tensor in an ONNX graph, for given sizes of its dynamic axes."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

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
    values = _Values(work, inferred)
    for node, position, name in open_ones:
        shape = _by_rule(node, position, inferred, values)
        if shape is not None:
            return [(name, shape, inferred[node.input[0]][1])]
    return []


class _Values:
    """Values that follow from shapes and constants alone, such as the target of a reshape."""

    def __init__(self, work: Any, inferred: Mapping[str, tuple[Shape, int]]) -> None:
        self._shapes = inferred
        self._makers = {name: node for node in work.graph.node for name in node.output}
        self._constants = {tensor.name: tensor for tensor in work.graph.initializer}

    def of(self, name: str) -> np.ndarray | None:
        """The value of a tensor, or None when it depends on the input's values."""
        if name in self._constants:
            return np.asarray(numpy_helper.to_array(self._constants[name]))
        node = self._makers.get(name)
        if node is None or len(node.output) != 1:
            return None
        if node.op_type == "Shape":
            known = self._shapes.get(node.input[0])
            return None if known is None else _run(node, {node.input[0]: np.empty(known[0], np.float32)})
        found = {one: self.of(one) for one in node.input if one}
        return _run(node, found) if all(value is not None for value in found.values()) else None


def _run(node: Any, inputs: Mapping[str, Any]) -> np.ndarray:
    return np.asarray(ReferenceEvaluator(node).run(None, dict(inputs))[0])


def _by_rule(node: Any, position: int, inferred: Mapping[str, tuple[Shape, int]], values: _Values) -> Shape | None:
    if not node.input or node.input[0] not in inferred:
        return None
    source = inferred[node.input[0]][0]
    if node.op_type == "DynamicQuantizeLSTM":
        recurrence = inferred[node.input[2]][0]
        time, batch, _ = source
        directions, hidden = recurrence[0], recurrence[1]
        return (time, directions, batch, hidden) if position == 0 else (directions, batch, hidden)
    if node.op_type == "MatMulNBits":
        return (*source[:-1], next(one.i for one in node.attribute if one.name == "N"))
    if node.op_type != "Reshape":
        return None
    target = values.of(node.input[1])
    # of a target that only running tells, the size is known, which is enough to count bytes
    return (1, prod(source)) if target is None else np.empty(source, np.bool_).reshape(_sizes(target, source)).shape


def _sizes(target: np.ndarray, source: Shape) -> list[int]:
    """A reshape's target with the sizes it copies from its input, for which it has a 0."""
    return [source[axis] if size == 0 and axis < len(source) else int(size) for axis, size in enumerate(target)]


def _item_bytes(kind: int) -> int:
    """Bytes of a value; of a kind that is not stated, as in a loop over samples, those of a float."""
    return int(helper.tensor_dtype_to_np_dtype(kind or onnx.TensorProto.FLOAT).itemsize)
