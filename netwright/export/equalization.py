"""Cross-layer equalization: channels of neighbouring layers are scaled so that none is lost in a shared range.

Nagel et al., ICCV 2019, section 4.1. A channel made smaller in one layer and larger in the next by the same factor
changes nothing, if only homogeneous operators, such as ReLU, lie between. Factors are powers of two, which float
multiplies exactly: the equalized file gives the very same outputs, and that is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from netwright.core.errors import ExportError
from netwright.export.onnx_runtime import Session
from netwright.export.quantization import attribute

_HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity", "Dropout"})
_ROUNDS = 20
_EQUAL = 1e-5
_FURTHEST = 2.0**20


@dataclass
class _Layer:
    """A convolution or Linear layer with its values, [outputs, inputs of a group, ...]."""

    node: Any
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32] | None
    depthwise: bool

    def by_output(self) -> npt.NDArray[np.float32]:
        """The largest value of each output channel."""
        return _largest(self.weights)

    def by_input(self) -> npt.NDArray[np.float32]:
        """The largest value of each input channel."""
        return _largest(self.weights if self.depthwise else np.moveaxis(self.weights, 1, 0))

    def scale_outputs(self, factors: npt.NDArray[np.float32]) -> None:
        self.weights = self.weights * factors.reshape(-1, *[1] * (self.weights.ndim - 1))
        if self.bias is not None:
            self.bias = self.bias * factors

    def scale_inputs(self, factors: npt.NDArray[np.float32]) -> None:
        axis = 0 if self.depthwise else 1
        shape = [-1 if one == axis else 1 for one in range(self.weights.ndim)]
        self.weights = self.weights * factors.reshape(shape)


def equalized(path: Path, target: Path, *, sample: npt.NDArray[Any]) -> Path:
    """Write a copy of a prepared file with even channels; the file itself where no two layers can be evened out.

    Raises ExportError when the copy does not give the outputs of the file on `sample`.
    """
    model = onnx.load(str(path))
    layers = _layers(model.graph)
    pairs = _pairs(model.graph, layers)
    if not pairs:
        return path
    for _ in range(_ROUNDS):
        changes = [_even(layers[first], layers[second]) for first, second in pairs]
        if not any(changes):
            break
    for layer in layers.values():
        _store(model.graph, layer)
    onnx.save(model, str(target))
    wanted, found = Session(path)(sample), Session(target)(sample)
    off = float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-30))
    if not off <= _EQUAL:
        raise ExportError(f"equalizing {path.name} changed its outputs by {off:.1e} of their size")
    return target


def _layers(graph: Any) -> dict[str, _Layer]:
    """The layers that may be scaled, by the name of their output: weights and biases must be their own."""
    held = {one.name: one for one in graph.initializer}
    uses = [name for node in graph.node for name in node.input]
    found = {}
    for node in graph.node:
        if node.op_type not in {"Conv", "Gemm"} or not all(n in held and uses.count(n) == 1 for n in node.input[1:]):
            continue
        weights = numpy_helper.to_array(held[node.input[1]])
        groups = attribute(node, "group", 1)
        depthwise = groups > 1 and weights.shape[1] == 1 and groups == len(weights)
        if (groups > 1 and not depthwise) or (node.op_type == "Gemm" and not attribute(node, "transB", 0)):
            continue
        bias = numpy_helper.to_array(held[node.input[2]]) if len(node.input) > 2 else None
        if bias is None or bias.shape == (len(weights),):
            found[node.output[0]] = _Layer(node, weights, bias, depthwise)
    return found


def _pairs(graph: Any, layers: dict[str, _Layer]) -> list[tuple[str, str]]:
    """Layers that follow one another with nothing but homogeneous operators between."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    shown = {one.name for one in graph.output}
    found = []
    for first in layers:
        name = first
        while name not in shown and len(readers.get(name, [])) == 1:
            node = readers[name][0]
            if node.output[0] in layers:
                same = node.op_type == layers[first].node.op_type
                if same and node.input[0] == name:
                    found.append((first, node.output[0]))
                break
            if node.op_type not in _HOMOGENEOUS:
                break
            name = node.output[0]
    return found


def _even(first: _Layer, second: _Layer) -> bool:
    """Make the ranges of the channels between two layers equal; whether anything changed."""
    out, into = first.by_output(), second.by_input()
    if len(out) != len(into):
        return False
    safe = (out > 0) & (into > 0)
    ratio = np.sqrt(np.where(safe, into, 1.0) / np.where(safe, out, 1.0))
    factors = np.exp2(np.rint(np.log2(np.clip(ratio, 1 / _FURTHEST, _FURTHEST)))).astype(np.float32)
    if (factors == 1).all():
        return False
    first.scale_outputs(factors)
    second.scale_inputs(1 / factors)
    return True


def _largest(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The largest absolute value of each entry of the first axis."""
    return np.asarray(np.abs(weights).reshape(len(weights), -1).max(axis=1), np.float32)


def _store(graph: Any, layer: _Layer) -> None:
    values = dict(zip(layer.node.input[1:], [layer.weights, layer.bias], strict=False))
    for one in graph.initializer:
        if one.name in values and values[one.name] is not None:
            one.CopyFrom(numpy_helper.from_array(np.asarray(values[one.name], np.float32), one.name))
