"""Bias correction: the mean error that rounded weights cause is taken out of the biases.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2, with
means taken from calibration data. Every layer is looked at with the inputs it has in the float network, so all
are corrected at once and the order does not matter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from netwright.export.quantization import attribute
from netwright.export.quantization_ranges import means_of


def corrected(path: Path, quantized: Path, target: Path, *, data: npt.NDArray[Any]) -> Path:
    """Write a copy of a prepared float file with the biases that suit the weights of its quantized copy.

    `data` is preprocessed float32 [samples, *shape]. Layers whose weights stayed in float are left as they are.
    """
    model = onnx.load(str(path))
    rounded = dequantized(quantized)
    layers = [node for node in model.graph.node if _weighs(node) and node.input[1] in rounded]
    if not layers:
        onnx.save(model, str(target))
        return target
    watched, outputs = _watching(model, layers, rounded)
    means = means_of(watched, outputs, data, folder=target.parent)
    for node, mean in zip(layers, means, strict=True):
        _subtract(model.graph, node, mean.reshape(-1).astype(np.float32))
    onnx.save(model, str(target))
    return target


def _weighs(node: Any) -> bool:
    if node.op_type == "Gemm":
        plain = attribute(node, "alpha", 1.0) == 1.0 and attribute(node, "beta", 1.0) == 1.0
        return plain and not attribute(node, "transA", 0)
    return node.op_type in {"Conv", "ConvTranspose"}


def dequantized(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The weights that a quantized file computes with, by their names in the float file."""
    graph = onnx.load(str(path)).graph
    held = {one.name: one for one in graph.initializer}
    found = {}
    for node in graph.node:
        name = node.input[0] if node.input else ""
        if node.op_type != "DequantizeLinear" or not name.endswith("_quantized") or name not in held:
            continue
        values = numpy_helper.to_array(held[name]).astype(np.float32)
        scale = numpy_helper.to_array(held[node.input[1]])
        zero = numpy_helper.to_array(held[node.input[2]]).astype(np.float32)
        if values.ndim > 1:
            shape = [-1 if axis == attribute(node, "axis", 1) else 1 for axis in range(values.ndim)]
            scale, zero = (one.reshape(shape) if one.size > 1 else one for one in (scale, zero))
            found[name.removesuffix("_quantized")] = (values - zero) * scale
    return found


def _watching(model: Any, layers: list[Any], rounded: dict[str, Any]) -> tuple[Any, list[str]]:
    """A copy whose extra outputs are the mean errors of the layers' outputs, by channel."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    held = {one.name: one for one in model.graph.initializer}
    outputs = []
    for number, node in enumerate(layers):
        error = rounded[node.input[1]] - numpy_helper.to_array(held[node.input[1]])
        name = f"netwright_error{number}"
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        twin.name = name
        del twin.input[:], twin.output[:]
        twin.input.extend([node.input[0], f"{name}_weight"])
        twin.output.append(f"{name}_output")
        rank = error.ndim if node.op_type != "Gemm" else 2
        axes = np.array([axis for axis in range(rank) if axis != 1], np.int64)
        watched.graph.initializer.extend(
            [numpy_helper.from_array(error, f"{name}_weight"), numpy_helper.from_array(axes, f"{name}_axes")]
        )
        reads, gives = [f"{name}_output", f"{name}_axes"], f"{name}_mean"
        watched.graph.node.extend([twin, helper.make_node("ReduceMean", reads, [gives], keepdims=0, name=gives)])
        watched.graph.output.append(helper.make_empty_tensor_value_info(gives))
        outputs.append(gives)
    return watched, outputs


def _subtract(graph: Any, node: Any, mean: npt.NDArray[np.float32]) -> None:
    """Give a layer a bias of its own: the one it has, less a mean error."""
    held = {one.name: one for one in graph.initializer}
    old = node.input[2] if len(node.input) > 2 and node.input[2] else ""
    if old and old not in held:
        return
    before = numpy_helper.to_array(held[old]).reshape(-1) if old else np.zeros_like(mean)
    name = f"{node.input[1]}_corrected_bias"
    graph.initializer.append(numpy_helper.from_array((before - mean).astype(np.float32), name))
    if len(node.input) > 2:
        node.input[2] = name
    else:
        node.input.append(name)
    if old and not any(old in other.input for other in graph.node):
        graph.initializer.remove(held[old])
