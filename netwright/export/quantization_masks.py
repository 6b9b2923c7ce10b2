"""Masks in a graph: constants without bound, such as the minus infinity that attention adds to what it must not see.

A range that reaches so far leaves no steps for anything else, so what reads a mask stays in float.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

BOUND = 1e4
"""Constants beyond, on their way to a softmax, are there to rule others out, not to be computed with."""
STAND_IN = 100.0
"""What calibration sees of them: after a softmax as little as nothing."""
SOFTMAX = frozenset({"Softmax", "LogSoftmax"})


def without_masks(path: Path, target: Path, *, until: frozenset[str]) -> tuple[Path, list[str]]:
    """The file to calibrate on, and the nodes that read a mask.

    That is `path` itself where there is none, else a copy in `target` whose masks have a bound. A mask holds
    infinities, or large numbers that reach a softmax. Nodes are followed from it to that softmax, which is the last of
    them, and to the next of the kinds `until`, which are not.
    """
    model = onnx.load(str(path))
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found: dict[str, None] = {}
    for name, tensor in list(_constants(model.graph)):
        values = _numbers(tensor)
        wild = ~(np.abs(values) <= BOUND)
        if not wild.any():
            continue
        nodes = _followed(name, readers, until)
        if np.isfinite(values).all() and not SOFTMAX & {node.op_type for node in nodes}:
            continue
        finite = np.where(wild, np.sign(np.nan_to_num(values)) * STAND_IN, values).astype(values.dtype)
        tensor.CopyFrom(numpy_helper.from_array(finite, tensor.name))
        found |= {node.name: None for node in nodes}
    if not found:
        return path, []
    onnx.save(model, str(target))
    return target, list(found)


def _followed(name: str, readers: Mapping[str, Sequence[Any]], until: frozenset[str]) -> list[Any]:
    """The nodes that what has this name flows through, to the next softmax and before the next of the kinds `until`."""
    found: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        for node in readers.get(waiting.pop(), ()):
            if node.op_type not in until and node.name not in found:
                found[node.name] = node
                waiting += [] if node.op_type in SOFTMAX else node.output
    return list(found.values())


def _constants(graph: Any) -> Iterator[tuple[str, Any]]:
    """The tensors that a graph holds, each with the name under which nodes read it."""
    yield from ((one.name, one) for one in graph.initializer)
    for node in graph.node:
        yield from ((node.output[0], one.t) for one in node.attribute if one.type == onnx.AttributeProto.TENSOR)


def _numbers(tensor: Any) -> npt.NDArray[Any]:
    """The values of a tensor of real numbers; none of another."""
    real = tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
    return numpy_helper.to_array(tensor) if real else np.zeros(0)
