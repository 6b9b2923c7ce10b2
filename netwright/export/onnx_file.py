"""What an ONNX file holds and what it computes, read from the file alone: nothing runs.

- Parameters: float and int8 initializers, each counted once, whatever their type. Not parameters: batch-norm
  statistics, quantizers' scales and zero points, shapes and other integers, bounds of clips, and the single
  constants that the exporter names itself. Batch norms folded into convolutions are gone from the file.
- MACs: convolutions, matrix products and recurrent layers, at batch 1, as `evaluation.profile` counts them.
- Peak activation memory: the most bytes alive at one moment of one inference in the order of the file, the
  input included, as a runtime needs them that fuses quantizers and works in place where it can.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import onnx

from netwright.core.cost import Cost
from netwright.core.errors import ExportError
from netwright.export.codebooks import INDICES, LOOKED_UP
from netwright.export.einsum_macs import einsum_macs
from netwright.export.onnx_shapes import known_shapes

_NOT_PARAMETERS: Mapping[str, frozenset[int]] = {
    "BatchNormalization": frozenset({3, 4}),
    "QuantizeLinear": frozenset({1, 2}),
    "DequantizeLinear": frozenset({1, 2}),
    "MatMulInteger": frozenset({2, 3}),
    "ConvInteger": frozenset({2, 3}),
    "DynamicQuantizeLSTM": frozenset(range(4, 12)),
    "MatMulNBits": frozenset({2, 3, 4}),
    "Clip": frozenset({1, 2}),
    "Pad": frozenset({1, 2, 3}),
    "Resize": frozenset({1, 2, 3}),
}
"""Input positions of operators that hold something else than parameters."""

_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
_IN_PLACE = _VIEWS | {
    *("Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "Selu", "Gelu"),
    *("Softplus", "Softsign", "Abs", "Neg", "Exp", "Log", "Sqrt", "Erf", "BatchNormalization", "Mish"),
}
_FLOATS = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE})
_INT8 = frozenset({onnx.TensorProto.INT8, onnx.TensorProto.UINT8})
_ANONYMOUS = re.compile(r"(val_\d+|scalar_tensor_default(_\d+)?)(_quantized)?$")
_GATES: Mapping[str, int] = {"LSTM": 4, "DynamicQuantizeLSTM": 4, "GRU": 3, "RNN": 1}


@dataclass(frozen=True, slots=True)
class NodeCost:
    """One node of the file: what it holds and computes at batch 1.

    `weights` are the initializers it is the first to use, `precision` is `int8` when it multiplies 8-bit
    weights with 8-bit activations.
    """

    name: str
    op: str
    params: int
    macs: int
    output_shape: tuple[int, ...]
    output_bytes: int
    precision: str
    weights: tuple[str, ...]


def size_bytes(path: Path) -> int:
    """The size of the file on disk."""
    return path.stat().st_size


def graph_cost(path: Path, *, sizes: Mapping[str, int] | None = None) -> Cost:
    """Parameters, MACs and peak activation bytes of the graph in a file, at batch 1.

    `sizes` gives the other dynamic axes by name, such as `{"time": 100}`.
    Raises ExportError when the file cannot be read or a shape cannot be worked out.
    """
    graph = _Graph.read(path, sizes or {})
    rows = graph.rows()
    return Cost(
        params=sum(row.params for row in rows),
        macs=sum(row.macs for row in rows),
        peak_activation_bytes=graph.peak_bytes(),
    )


def node_table(path: Path, *, sizes: Mapping[str, int] | None = None) -> list[NodeCost]:
    """The cost of every node that holds parameters or multiplies, in the order of the file."""
    rows = _Graph.read(path, sizes or {}).rows()
    return [row for row in rows if row.params or row.macs]


@dataclass
class _Graph:
    """A file's graph with the shape and element size of every tensor."""

    nodes: Sequence[Any]
    initializers: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: frozenset[str]
    shapes: Mapping[str, tuple[int, ...]]
    item_bytes: Mapping[str, int]
    consumers: Mapping[str, list[Any]] = field(default_factory=dict)
    makers: Mapping[str, Any] = field(default_factory=dict)
    constants: frozenset[str] = frozenset()
    """What nodes make of initializers alone, such as the product of two factors: once, when a session opens."""

    @classmethod
    def read(cls, path: Path, sizes: Mapping[str, int]) -> _Graph:
        try:
            model = onnx.load(str(path))
        except Exception as error:
            raise ExportError(f"{Path(path).name} cannot be read as an ONNX file: {error}") from error
        shapes, item_bytes = known_shapes(model, {"batch": 1, **sizes})
        initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        consumers: dict[str, list[Any]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                consumers[name].append(node)
        return cls(
            nodes=list(model.graph.node),
            initializers=initializers,
            inputs=tuple(i.name for i in model.graph.input if i.name not in initializers),
            outputs=frozenset(o.name for o in model.graph.output),
            shapes=shapes,
            item_bytes=item_bytes,
            consumers=consumers,
            makers={name: node for node in model.graph.node for name in node.output},
            constants=_constants(model.graph.node, initializers),
        )

    def rows(self) -> list[NodeCost]:
        taken: set[str] = set()
        rows = []
        for node in self.nodes:
            if node.op_type in {"QuantizeLinear", "DequantizeLinear"} or LOOKED_UP in node.name:
                continue
            weights = [name for name in self._weights(node) if name not in taken]
            taken.update(weights)
            output = node.output[0]
            rows.append(
                NodeCost(
                    name=node.name,
                    op=node.op_type,
                    params=sum(self._values(node, name) for name in weights),
                    macs=0 if self._is_constant(node) else self._macs(node),
                    output_shape=self.shapes.get(output, ()),
                    output_bytes=self._bytes(output),
                    precision="int8" if self._is_int8(node) else "float32",
                    weights=tuple(weights),
                )
            )
        return rows

    def _values(self, node: Any, name: str) -> int:
        """How many values an initializer holds; the integers of a product are packed, with some to fill the blocks."""
        if node.op_type == "MatMulNBits" and name == node.input[1]:
            return int(_attribute(node, "K", 0)) * int(_attribute(node, "N", 0))
        return prod(self.initializers[name].dims)

    def _weights(self, node: Any) -> Iterable[str]:
        """The initializers a node uses as parameters, those behind a dequantizer or a codebook included."""
        skipped = _NOT_PARAMETERS.get(node.op_type, frozenset())
        for position, name in enumerate(node.input):
            if position in skipped:
                continue
            source = f"{name}{INDICES}" if f"{name}{INDICES}" in self.initializers else name
            while (maker := self.makers.get(source)) is not None and maker.op_type == "DequantizeLinear":
                source = maker.input[0]
            tensor = self.initializers.get(source)
            if tensor is None or self._is_scale(source):
                continue
            if _is_parameter(tensor, behind_dequantizer=source != name):
                yield source

    def _is_scale(self, name: str) -> bool:
        """Whether a tensor is the scale of a quantized weight, multiplied in by a node of its own."""
        return name.endswith("_scale") and f"{name.removesuffix('_scale')}_quantized" in self.initializers

    def _is_int8(self, node: Any) -> bool:
        if node.op_type in {"MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM", "MatMulNBits"}:
            return True
        if node.op_type.startswith("QLinear") or len(node.input) < 2 or self._is_constant(node):
            return bool(node.op_type.startswith("QLinear"))
        operands = [self.makers.get(name) for name in node.input[:2]]
        return all(maker is not None and maker.op_type == "DequantizeLinear" for maker in operands)

    def _macs(self, node: Any) -> int:
        rule = {"Conv": self._conv, "ConvInteger": self._conv, "ConvTranspose": self._transposed}.get(node.op_type)
        if rule is not None:
            return rule(node)
        if node.op_type in _GATES:
            return self._recurrent(node)
        if node.op_type in {"MatMul", "MatMulInteger", "MatMulNBits"}:
            return prod(self._shape(node.output[0])) * self._shape(node.input[0])[-1]
        if node.op_type == "Gemm":
            # of the weights, since the shape of what they multiply is not known behind a loop
            weight = self._shape(node.input[1])
            return prod(self._shape(node.output[0])) * weight[1 if _attribute(node, "transB", 0) else 0]
        if node.op_type == "Einsum":
            return einsum_macs(_attribute(node, "equation", b"").decode(), [self._shape(name) for name in node.input])
        return 0

    def _conv(self, node: Any) -> int:
        weight = self._shape(node.input[1])
        return prod(self._shape(node.output[0])) * prod(weight[1:])

    def _transposed(self, node: Any) -> int:
        weight = self._shape(node.input[1])
        return prod(self._shape(node.input[0])) * prod(weight[1:])

    def _recurrent(self, node: Any) -> int:
        time, batch, features = self._shape(node.input[0])
        hidden: int = _attribute(node, "hidden_size", 0)
        directions = 2 if _attribute(node, "direction", b"forward") == b"bidirectional" else 1
        return time * batch * directions * _GATES[node.op_type] * hidden * (features + hidden)

    def _shape(self, name: str) -> tuple[int, ...]:
        if name not in self.shapes:
            raise ExportError(f"the shape of the tensor {name!r} cannot be worked out from the file")
        return self.shapes[name]

    def _bytes(self, name: str) -> int:
        return prod(self.shapes.get(name, (0,))) * self.item_bytes.get(name, 4)

    def peak_bytes(self) -> int:
        """The most bytes of buffers alive at once; see the head of this file for what shares a buffer."""
        buffer = {name: name for name in self.inputs}
        size = {name: self._bytes(name) for name in self.inputs}
        last = dict.fromkeys(self.inputs, len(self.nodes))
        born = dict.fromkeys(self.inputs, -1)
        for index, node in enumerate(self.nodes):
            for name in node.input:
                if name in buffer:
                    last[buffer[name]] = max(last[buffer[name]], index)
            shared = self._shared(node, buffer)
            for output in node.output:
                if not output or self._is_constant(node):
                    continue
                root = shared or output
                buffer[output] = root
                size[root] = min(size.get(root, self._bytes(output)), self._bytes(output))
                born.setdefault(root, index)
                last[root] = max(last.get(root, index), len(self.nodes) if output in self.outputs else index)
        return max(
            sum(size[root] for root in size if born[root] <= index <= last[root])
            for index in range(-1, len(self.nodes))
        )

    def _shared(self, node: Any, buffer: Mapping[str, str]) -> str | None:
        """The buffer a node writes its output to, if it is its input's; the caller's input is only read."""
        if not node.input or not self._shares(node):
            return None
        root = buffer.get(node.input[0])
        return None if root in self.inputs and node.op_type not in _VIEWS else root

    def _is_constant(self, node: Any) -> bool:
        """Whether a node only prepares a weight."""
        return node.output[0] in self.constants

    def _shares(self, node: Any) -> bool:
        """Whether a node's output takes the place of its first input."""
        source = node.input[0]
        if node.op_type == "DequantizeLinear":
            return self._ends_in_quantizer(node.output[0], depth=2)
        alone = len(self.consumers.get(source, [])) == 1 and source not in self.outputs
        if node.op_type == "QuantizeLinear":
            return alone
        return node.op_type in _VIEWS or (node.op_type in _IN_PLACE and alone)

    def _ends_in_quantizer(self, name: str, *, depth: int) -> bool:
        """Whether whatever reads a tensor gives int8 again, so that a float copy never exists."""
        readers = self.consumers.get(name, [])
        if name in self.outputs or not readers:
            return False
        for reader in readers:
            if reader.op_type == "QuantizeLinear":
                continue
            if depth == 0 or not self._ends_in_quantizer(reader.output[0], depth=depth - 1):
                return False
        return True


def _constants(nodes: Iterable[Any], initializers: Collection[str]) -> frozenset[str]:
    known = {*initializers, ""}
    made: set[str] = set()
    for node in nodes:
        if any(node.input) and known.issuperset(node.input):
            known.update(node.output)
            made.update(node.output)
    return frozenset(made)


def _is_parameter(tensor: Any, *, behind_dequantizer: bool) -> bool:
    if prod(tensor.dims) <= 1 and _ANONYMOUS.search(tensor.name):
        return False
    return tensor.data_type in _FLOATS | _INT8 or (behind_dequantizer and len(tensor.dims) > 0)


def _attribute(node: Any, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return onnx.helper.get_attribute_value(attribute)
    return default
