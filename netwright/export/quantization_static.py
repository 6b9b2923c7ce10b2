"""Static 8-bit quantization: ranges of activations fixed from calibration data, ONNX Runtime's QDQ format."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from netwright.core.errors import ExportError
from netwright.evaluation.machine import Machine, this_machine
from netwright.export.bias_correction import corrected
from netwright.export.equalization import equalized
from netwright.export.onnx_runtime import Session
from netwright.export.quantization import (
    QuantizationResult,
    attribute,
    costs,
    drop_notes,
    excluded_nodes,
    layer_of,
    part_axes,
    precisions,
    prepared,
    told,
)
from netwright.export.quantization_masks import without_masks
from netwright.export.quantization_ranges import Calibration, save_ranges
from netwright.export.recurrent_factors import factor_file
from netwright.export.weight_grid import exact_steps

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"})
_COMPARED = 64
"""Calibration samples that an int8 file's outputs are compared on."""
_CLEARLY = 0.8
"""U8U8 is taken where its error is at most this part of that of 7-bit weights, whose kernels are faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Static:
    """How to quantize statically.

    `weights` is the type of weights; `auto` takes signed ones in the range that this CPU computes exactly, or, on a
    CPU that saturates, unsigned ones in full range where they are measured to be clearly nearer. `percentile` is
    that of the method of this name. `bias_correction` takes the mean error that rounded weights cause out of the
    biases, `equalize` evens the ranges of channels out before.
    """

    per_channel: bool = True
    reduce_range: bool | None = None
    method: Calibration = "minmax"
    percentile: float = 99.999
    weights: Literal["auto", "int8", "uint8"] = "auto"
    bias_correction: bool = False
    equalize: bool = False


@dataclass(frozen=True, slots=True)
class Scheme:
    """Types of activations and weights, as the runtime names them, and whether weights have 7 bits only."""

    activations: str
    weights: str
    reduce_range: bool


def schemes(machine: Machine, settings: Static) -> list[Scheme]:
    """The schemes that a machine computes exactly, fastest first; with several the errors decide."""
    if "asimd" in machine.isa and settings.weights != "uint8":
        return [Scheme("QInt8", "QInt8", bool(settings.reduce_range))]
    reduced = machine.int8_products_saturate if settings.reduce_range is None else settings.reduce_range
    signed, unsigned = Scheme("QUInt8", "QInt8", reduced), Scheme("QUInt8", "QUInt8", bool(settings.reduce_range))
    if settings.weights != "auto":
        return [signed if settings.weights == "int8" else unsigned]
    undecided = machine.int8_products_saturate and settings.reduce_range is None
    return [signed, unsigned] if undecided else [signed]


def quantize_static(
    source: Path,
    target: Path,
    *,
    calibration: npt.NDArray[Any],
    settings: Static | None = None,
    exclude: Sequence[str] = (),
) -> QuantizationResult:
    """Write an int8 copy of an ONNX file, with activation ranges taken from calibration data.

    `calibration` is preprocessed float32 [samples, *shape]. `exclude` names nodes, or layers by the path of their
    weights (`features.0`), that stay in float. Raises ExportError when the file cannot be quantized or an excluded
    name does not exist.
    """
    with tempfile.TemporaryDirectory(prefix="netwright-") as folder:
        quantizer = StaticQuantizer(source, calibration=calibration, settings=settings, folder=Path(folder))
        return quantizer.write(target, exclude=exclude)


class StaticQuantizer:
    """A file made ready and calibrated once, of which int8 copies with other layers left out are written quickly.

    What it needs lies in `folder`, which must stay until the last copy is written.
    """

    def __init__(
        self, source: Path, *, calibration: npt.NDArray[Any], settings: Static | None = None, folder: Path
    ) -> None:
        """Raises ExportError when there is nothing to calibrate on or the file is refused."""
        if len(calibration) == 0:
            raise ExportError("static quantization needs calibration samples, came none")
        self.source, self.folder = Path(source), folder
        self.settings = settings or Static()
        self.calibration = np.asarray(calibration, np.float32)
        self.ranges = folder / "ranges.json"
        with told(self.source):
            self.path = prepared(self.source, folder)
            if self.settings.per_channel:
                part_axes(self.path)
            _mend_lone_softmaxes(self.path)
            if self.settings.equalize:
                self.path = equalized(self.path, folder / "equalized.onnx", sample=self.calibration[:_COMPARED])
            seen, self._masked = without_masks(self.path, folder / "without_masks.onnx", until=_WEIGHTED)
            save_ranges(
                seen,
                self.calibration,
                method=self.settings.method,
                percentile=self.settings.percentile,
                target=self.ranges,
            )
        self._wanted = Session(self.path)(self.calibration[:_COMPARED])

    def layers(self) -> list[str]:
        """The layers with weights, by name, in the order of the file."""
        return list(dict.fromkeys(layer_of(row) for row in costs(self.path) if row.weights and row.macs))

    def write(self, target: Path, *, exclude: Sequence[str] = ()) -> QuantizationResult:
        """Write the int8 copy in the best scheme; raises ExportError as `quantize_static` does."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with told(self.source):
            left = [*excluded_nodes(self.path, exclude), *index_makers(self.path), *self._masked]
            candidates = schemes(this_machine(), self.settings)
            made: list[tuple[float, int, Path]] = []
            for number, scheme in enumerate(candidates):
                path = self.folder / f"scheme{number}.onnx"
                self._quantize(scheme, path, left)
                made.append((self._error(path) / (1 if number == 0 else _CLEARLY), number, path))
            error, number, path = min(made)
            target.write_bytes(path.read_bytes())
            drop_notes(target)
            factor_file(target)
            layers = precisions(self.path, target, excluded=left)
        chosen = candidates[number]
        return QuantizationResult(
            path=target,
            method=f"static, {self.settings.method}",
            scheme=(chosen.activations, chosen.weights),
            per_channel=self.settings.per_channel,
            reduce_range=chosen.reduce_range,
            cpu=this_machine().cpu,
            layers=layers,
            relative_error=error * (1 if number == 0 else _CLEARLY),
        )

    def _error(self, path: Path) -> float:
        found = Session(path)(self.calibration[:_COMPARED])
        return float(np.linalg.norm(found - self._wanted) / max(float(np.linalg.norm(self._wanted)), 1e-30))

    def _quantize(self, scheme: Scheme, target: Path, left: list[str]) -> None:
        """Write the copy of one scheme."""
        self._write(self.path, target, scheme, left)
        if self.settings.bias_correction:
            better = corrected(self.path, target, self.folder / "corrected.onnx", data=self.calibration)
            self._write(better, target, scheme, left)

    def _write(self, source: Path, target: Path, scheme: Scheme, left: list[str]) -> None:
        from onnxruntime import quantization as q

        signed = scheme.weights == "QInt8" and self.settings.per_channel
        levels = 64 if scheme.reduce_range else 127
        q.quantize_static(
            str(source),
            str(target),
            None,
            quant_format=q.QuantFormat.QDQ,
            per_channel=self.settings.per_channel,
            reduce_range=scheme.reduce_range,
            activation_type=getattr(q.QuantType, scheme.activations),
            weight_type=getattr(q.QuantType, scheme.weights),
            calibrate_method=_methods()[self.settings.method],
            nodes_to_exclude=left,
            extra_options={"TensorQuantOverrides": _grids(source, levels) if signed else {}},
            calibration_cache_path=str(self.ranges),
        )


def index_makers(path: Path) -> list[str]:
    """Nodes whose floats become whole numbers, such as places in an embedding: a little rounding makes them others.

    They are followed back from each cast to integers to the input, or to the next layer with weights.
    """
    graph = onnx.load(str(path)).graph
    makers = {name: node for node in graph.node for name in node.output}
    whole = {onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.UINT8, onnx.TensorProto.INT8}
    waiting = [node.input[0] for node in graph.node if node.op_type == "Cast" and attribute(node, "to", 0) in whole]
    found: dict[str, None] = {}
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in found or node.op_type in _WEIGHTED:
            continue
        found[node.name] = None
        waiting += node.input
    return list(found)


def _mend_lone_softmaxes(path: Path) -> None:
    """Write a softmax over a single element, which is one, as the power 0 in a file whose shapes are known.

    ONNX Runtime's 8-bit softmax (1.31) gives zero for it: attention to the only step there is would be lost.
    """
    model = onnx.load(str(path))
    shapes = {one.name: one.type.tensor_type.shape.dim for one in model.graph.value_info}
    found = [node for node in model.graph.node if node.op_type == "Softmax" and shapes.get(node.input[0])]
    lone = [node for node in found if shapes[node.input[0]][attribute(node, "axis", -1)].dim_value == 1]
    if not lone:
        return
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "lone_softmax_power"))
    for node in lone:
        ones = onnx.helper.make_node("Pow", [node.input[0], "lone_softmax_power"], node.output, name=node.name)
        node.CopyFrom(ones)
    onnx.save(model, str(path))


def _methods() -> dict[str, Any]:
    from onnxruntime.quantization import CalibrationMethod

    plain = dict.fromkeys(("minmax", "mse", "entropy"), CalibrationMethod.MinMax)
    return {**plain, "percentile": CalibrationMethod.Percentile}


def _grids(path: Path, levels: int) -> dict[str, list[dict[str, Any]]]:
    """Ranges of weights that lie on a grid of few steps, chosen so that 8 bits hold them without rounding.

    Without them, weights trained at 4 bits would be rounded a second time, to steps that the first do not divide.
    """
    from onnxruntime.quantization import QuantType

    graph = onnx.load(str(path)).graph
    held = {one.name: one for one in graph.initializer}
    found: dict[str, list[dict[str, Any]]] = {}
    for node in graph.node:
        if node.op_type not in {"Conv", "ConvTranspose", "Gemm"} or node.input[1] not in held:
            continue
        transposed = node.op_type == "ConvTranspose" or (node.op_type == "Gemm" and not attribute(node, "transB", 0))
        axis = 1 if transposed else 0
        weights = numpy_helper.to_array(held[node.input[1]])
        rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
        steps = exact_steps(rows, levels=15)
        if not steps.all():
            continue
        counts = np.rint(np.abs(rows).max(axis=1) / steps)
        tops = steps * levels / np.maximum(1, levels // np.maximum(counts, 1))
        kind = QuantType.QInt8
        found[node.input[1]] = [
            {"quant_type": kind, "axis": axis, "symmetric": True, "rmin": -float(top), "rmax": float(top)}
            for top in tops
        ]
    return found
