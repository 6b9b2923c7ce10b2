"""Weights stored as integers of 8, 4 or 2 bits in an ONNX file, computed with as floats.

Every weight becomes an integer tensor, a scale per output channel or per block of inputs, and a DequantizeLinear
node between; a weight of few values that lie on no such grid becomes indices into a codebook. A runtime that makes
weights float once, when a session opens, as `Session` has it do, is as fast as with the float file; 4 and 2 bits are
packed, two and four to a byte. Linear layers may instead be multiplied as integers, see `block_products`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

from netwright.core.errors import ExportError
from netwright.export import block_products
from netwright.export.codebooks import Codebook, packed
from netwright.export.onnx_runtime import Session
from netwright.export.quantization import costs, excluded_nodes, layer_of, output_axis
from netwright.export.weight_grid import integers, steps_of

Bits = Literal[2, 4, 8]
_OPSETS: dict[int, int] = {8: 0, 4: 21, 2: 25}
_BLOCK_OPSET = 21
_EXACT = 1e-6
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_SCALE_BYTES = 4


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """How the weights of a layer are stored, or why they are left in float.

    `relative_error` is the norm of what rounding changed over the norm of the weights, `product` says whether the
    layer multiplies the integers themselves.
    """

    layer: str
    params: int
    stored: bool
    reason: str = ""
    relative_error: float = 0.0
    product: bool = False


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """A file with integer weights: its path, and every layer that has weights."""

    path: Path
    bits: int
    layers: tuple[StoredLayer, ...]

    @property
    def coverage_params(self) -> float:
        """The share of the layers' parameters that are stored as integers, from 0 to 1."""
        return sum(one.params for one in self.layers if one.stored) / max(1, sum(one.params for one in self.layers))


def store_integers(
    source: Path,
    target: Path,
    *,
    bits: Bits = 8,
    block: int | None = None,
    exclude: Sequence[str] = (),
    products: bool = False,
) -> StoredWeights:
    """Write a copy of an ONNX file whose weights of two or more dimensions are integers.

    Scales are one per output channel, or with `block` one per so many inputs of it, where the layer's inputs can be
    divided so. A layer stays in float where integers would take more bytes. Weights that lie on a grid of few
    enough steps per channel, as rounded, ternary and binary ones do, or have few enough values, as shared ones, are
    stored exactly. With `products`, of 4 bits, Linear layers become the runtime's own operator on blocks of integers.
    Raises ExportError when an excluded layer does not exist or the runtime refuses the file.
    """
    left = excluded_nodes(source, exclude)
    rows = {row.name: row for row in costs(source)}
    model = _at_opset(onnx.load(str(source)), max(_OPSETS[bits], _BLOCK_OPSET if block else 0))
    held = {one.name: one for one in model.graph.initializer}
    made: list[Any] = []
    layers = []
    for node in model.graph.node:
        if node.name not in rows or not rows[node.name].weights:
            continue
        row = rows[node.name]
        names = [name for name in row.weights if _is_matrix(node, name, held)]
        reason = "excluded" if node.name in left else "" if names else f"{node.op_type} has no weight matrix"
        stored = [] if reason else [_stored(node, held[name], bits=bits, block=block) for name in names]
        count = sum(int(np.prod(held[name].dims)) for name in names)
        if stored and sum(one.size_bytes for one in stored) >= 4 * count:
            reason = f"{count} values are smaller in float than with their scales"
        if reason:
            layers.append(StoredLayer(layer_of(row), row.params, False, reason))
            continue
        product = _product(node, names, held, model.graph, block) if products else None
        error = product.relative_error if product else max(one.relative_error for one in stored)
        layers.append(StoredLayer(layer_of(row), row.params, True, relative_error=error, product=bool(product)))
        if product:
            product.put(model, held.pop(product.name), node)
            continue
        for one in stored:
            made += one.put(model.graph, held.pop(one.name))
    nodes = [*made, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(target))
    Session(target)
    return StoredWeights(target, bits, tuple(layers))


def _at_opset(model: Any, wanted: int) -> Any:
    """The model in an opset that has the integers; 4 bits and blocks came with 21, 2 bits with 25."""
    now = next(one.version for one in model.opset_import if one.domain in {"", "ai.onnx"})
    if now >= wanted:
        return model
    try:
        return version_converter.convert_version(model, wanted)
    except Exception as error:
        raise ExportError(f"the file cannot be lifted from opset {now} to {wanted}: {error}") from error


def _is_matrix(node: Any, name: str, held: dict[str, Any]) -> bool:
    """Whether a node's weight is worth storing as integers: not a bias, and used as a weight only."""
    if name not in held or held[name].data_type != TensorProto.FLOAT:
        return False
    positions = [index for index, one in enumerate(node.input) if one == name]
    allowed = {1, 2} if node.op_type in _RECURRENT else {0, 1}
    return len(held[name].dims) > 1 and set(positions) <= allowed


def _stored(node: Any, tensor: Any, *, bits: int, block: int | None) -> _Stored | Codebook:
    """Integers with their scales, or a codebook where those would round and it does not."""
    grid = _Stored.of(node, tensor, bits=bits, block=block)
    if grid.relative_error <= _EXACT:
        return grid
    weights = numpy_helper.to_array(tensor)
    by_row = node.op_type not in _RECURRENT and output_axis(node, weights.ndim) == 0
    return Codebook.of(tensor.name, weights, bits=bits, by_row=by_row) or grid


def _product(
    node: Any, names: Sequence[str], held: dict[str, Any], graph: Any, block: int | None
) -> block_products.BlockProduct | None:
    """The integer product that a Linear layer becomes, whose weight nothing else uses."""
    if len(names) != 1 or sum(name == names[0] for one in graph.node for name in one.input) != 1:
        return None
    return block_products.BlockProduct.of(node, held[names[0]], block=block or block_products.BLOCK)


@dataclass(frozen=True, slots=True)
class _Stored:
    """One tensor as integers with their scales; `axis` is what the scales lie along, blocks along it if any."""

    name: str
    values: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]
    axis: int
    block: int
    bits: int
    relative_error: float

    @classmethod
    def of(cls, node: Any, tensor: Any, *, bits: int, block: int | None) -> _Stored:
        weights = numpy_helper.to_array(tensor)
        if node.op_type in _RECURRENT:
            return cls._recurrent(tensor.name, weights, bits)
        out = output_axis(node, weights.ndim)
        inner = 1 if out == 0 else 0
        if block is not None and weights.ndim == 2 and weights.shape[inner] % block == 0:
            return cls._blocks(tensor.name, weights, bits, inner, block)
        rows = np.moveaxis(weights, out, 0).reshape(weights.shape[out], -1)
        steps = steps_of(rows, bits=bits)
        values = integers(rows, steps, bits=bits)
        shape = (weights.shape[out], *np.delete(weights.shape, out))
        back = np.moveaxis(values.reshape(shape), 0, out)
        return cls(tensor.name, back, steps, out, 0, bits, _relative(rows, values * steps[:, None]))

    @classmethod
    def _recurrent(cls, name: str, weights: npt.NDArray[Any], bits: int) -> _Stored:
        """[directions, gates x hidden, inputs]: one scale for every row of one direction, shared between directions."""
        rows = np.moveaxis(weights, 1, 0).reshape(weights.shape[1], -1)
        steps = steps_of(rows, bits=bits)
        values = integers(rows, steps, bits=bits)
        back = np.moveaxis(values.reshape(weights.shape[1], weights.shape[0], weights.shape[2]), 0, 1)
        return cls(name, back, steps, 1, 0, bits, _relative(rows, values * steps[:, None]))

    @classmethod
    def _blocks(cls, name: str, weights: npt.NDArray[Any], bits: int, inner: int, block: int) -> _Stored:
        wide = np.moveaxis(weights, inner, 1)
        rows = wide.reshape(-1, block)
        steps = steps_of(rows, bits=bits)
        values = integers(rows, steps, bits=bits)
        back = np.moveaxis(values.reshape(wide.shape), 1, inner)
        scales = np.moveaxis(steps.reshape(len(wide), -1), 1, inner)
        return cls(name, back, scales, inner, block, bits, _relative(rows, values * steps[:, None]))

    @property
    def size_bytes(self) -> int:
        """What values and scales take in the file."""
        return -(-self.values.size * self.bits // 8) + _SCALE_BYTES * self.scales.size

    def put(self, graph: Any, tensor: Any) -> list[Any]:
        """Replace the float tensor by the integers and their scales; gives the node that makes floats of them."""
        whole, scale = f"{self.name}_integers", f"{self.name}_scale"
        graph.initializer.remove(tensor)
        graph.initializer.append(packed(self.values, whole, bits=self.bits))
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(self.scales), scale))
        options = {"axis": self.axis, **({"block_size": self.block} if self.block else {})}
        name = f"{self.name}_floats"
        return [helper.make_node("DequantizeLinear", [whole, scale], [self.name], name=name, **options)]


def _relative(wanted: npt.NDArray[Any], found: npt.NDArray[Any]) -> float:
    return float(np.linalg.norm(found - wanted) / max(float(np.linalg.norm(wanted)), 1e-30))
