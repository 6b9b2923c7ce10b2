"""Masks in a graph: constants without bound, such as the minus infinity that attention adds to what it must not see.

A range that reaches so far leaves no steps for anything else, so what reads a mask stays in float.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

BOUND = 1e4
"""Constants beyond are there to rule others out, not to be computed with."""
STAND_IN = 100.0
"""What calibration sees of them: after a softmax as little as nothing."""


def without_masks(path: Path, target: Path, *, until: frozenset[str]) -> tuple[Path, list[str]]:
    """The file to calibrate on, and the nodes that read a mask.

    That is `path` itself where there is none, else a copy in `target` whose masks have a bound. Nodes are followed from
    a mask to the next softmax, that one too, or to the next of the kinds `until`, those not.
    """
    model = onnx.load(str(path))
    names = {name for name, tensor in _constants(model.graph) if _bounded(tensor)}
    if not names:
        return path, []
    onnx.save(model, str(target))
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        for node in readers.get(waiting.pop(), ()):
            if node.op_type in until or node.name in found:
                continue
            found[node.name] = None
            waiting += [] if node.op_type == "Softmax" else node.output
    return target, list(found)


def _constants(graph: Any) -> Iterator[tuple[str, Any]]:
    """The tensors that a graph holds, each with the name under which nodes read it."""
    yield from ((one.name, one) for one in graph.initializer)
    for node in graph.node:
        yield from ((node.output[0], one.t) for one in node.attribute if one.type == onnx.AttributeProto.TENSOR)


def _bounded(tensor: Any) -> bool:
    """Give a tensor of real numbers a bound; whether it had none."""
    if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16):
        return False
    values = numpy_helper.to_array(tensor)
    wild = ~(np.abs(values) <= BOUND)
    if not wild.any():
        return False
    finite = np.where(wild, np.sign(np.nan_to_num(values)) * STAND_IN, values).astype(values.dtype)
    tensor.CopyFrom(numpy_helper.from_array(finite, tensor.name))
    return True
