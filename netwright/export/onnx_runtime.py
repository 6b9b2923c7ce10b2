"""Running ONNX files, and making int8 ones, with ONNX Runtime: the only file that knows this runtime."""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort

from netwright.core.errors import ExportError, suggestion
from netwright.evaluation.machine import Machine, this_machine
from netwright.export.onnx_file import NodeCost, node_table

Calibration = Literal["minmax", "entropy", "percentile"]
_BATCH = 64

_DYNAMIC = ("Gemm", "MatMul", "LSTM")
_INT8_KERNELS = frozenset(
    {
        *("QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"),
        *("DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention"),
    }
)


class Session:
    """An ONNX file ready to run on the CPU: a float32 batch [batch, *shape] in, the first output out.

    `threads` are the threads of one call. Raises ExportError when the runtime refuses the file or a batch.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        options = _quiet_options()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        if threads > 1:
            # spinning threads would take the core from whatever is measured beside this session
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = _open(Path(path), options)
        self.path = Path(path)
        self.threads = threads
        self.input_name: str = self._session.get_inputs()[0].name
        self.input_shape: tuple[int | str, ...] = tuple(self._session.get_inputs()[0].shape)
        self.output_name: str = self._session.get_outputs()[0].name

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        try:
            found: np.ndarray = self._session.run([self.output_name], {self.input_name: batch})[0]
        except Exception as error:
            raise ExportError(
                f"{self.path.name} does not run on an input of shape {batch.shape}, type {batch.dtype} "
                f"(it takes {self.input_shape}, float32): {_last_line(error)}"
            ) from error
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationResult:
    """What of a model really computes in int8 in the runtime on this machine.

    `coverage_params` and `coverage_macs` are shares from 0 to 1, `left` the layers that stayed in float with
    the reason. `reduce_range` says whether weights have 7 bits, which every x86 CPU computes exactly; full 8
    bits saturate on those without VNNI or AMX. `scheme` is (activations, weights).
    """

    path: Path
    method: str
    scheme: tuple[str, str]
    per_channel: bool
    reduce_range: bool
    cpu: str
    coverage_params: float
    coverage_macs: float
    left: tuple[tuple[str, str], ...]


def quantize_static(
    source: Path,
    target: Path,
    *,
    calibration: np.ndarray,
    per_channel: bool = True,
    reduce_range: bool | None = None,
    method: Calibration = "minmax",
    exclude: Sequence[str] = (),
) -> QuantizationResult:
    """Write an int8 copy of an ONNX file, with activation ranges taken from calibration data.

    `calibration` is preprocessed float32 [samples, *shape]. `reduce_range=None` decides from this CPU. `exclude`
    names nodes, or layers by the path of their weights (`features.0`), that stay in float.
    Raises ExportError when the file cannot be quantized or an excluded name does not exist.
    """
    from onnxruntime import quantization as q

    if len(calibration) == 0:
        raise ExportError("static quantization needs calibration samples, came none")
    machine = this_machine()
    reduced = machine.int8_products_saturate if reduce_range is None else reduce_range
    activations, weights = _static_scheme(machine)
    methods = {
        "minmax": q.CalibrationMethod.MinMax,
        "entropy": q.CalibrationMethod.Entropy,
        "percentile": q.CalibrationMethod.Percentile,
    }

    def run(prepared: Path, left: list[str]) -> None:
        q.quantize_static(
            str(prepared),
            str(target),
            _batches(calibration, Session(prepared).input_name),
            quant_format=q.QuantFormat.QDQ,
            per_channel=per_channel,
            reduce_range=reduced,
            activation_type=getattr(q.QuantType, activations),
            weight_type=getattr(q.QuantType, weights),
            calibrate_method=methods[method],
            nodes_to_exclude=left,
        )

    found = _quantized(source, target, exclude, run)
    return QuantizationResult(
        method=f"static, {method}",
        scheme=(activations, weights),
        per_channel=per_channel,
        reduce_range=reduced,
        cpu=machine.cpu,
        **found,
    )


def quantize_dynamic(source: Path, target: Path, *, exclude: Sequence[str] = ()) -> QuantizationResult:
    """Write an int8 copy whose Linear and LSTM layers quantize their inputs as they come; needs no data.

    Convolutions stay in float: their dynamic kernels are slower than float ones. Weights are 8-bit unsigned
    for the whole tensor, which no CPU saturates on and which is as accurate here as per channel, and faster.
    Raises ExportError as `quantize_static` does.
    """
    from onnxruntime import quantization as q

    def run(prepared: Path, left: list[str]) -> None:
        q.quantize_dynamic(
            str(prepared),
            str(target),
            op_types_to_quantize=list(_DYNAMIC),
            per_channel=False,
            reduce_range=False,
            weight_type=q.QuantType.QUInt8,
            nodes_to_exclude=left,
        )

    found = _quantized(source, target, exclude, run)
    return QuantizationResult(
        method="dynamic",
        scheme=("QUInt8", "QUInt8"),
        per_channel=False,
        reduce_range=False,
        cpu=this_machine().cpu,
        **found,
    )


def _static_scheme(machine: Machine) -> tuple[str, str]:
    """Types of activations and weights with the fastest exact kernels: U8S8 on x86, S8S8 on ARM."""
    return ("QInt8", "QInt8") if "asimd" in machine.isa else ("QUInt8", "QInt8")


def _quantized(
    source: Path, target: Path, exclude: Sequence[str], run: Callable[[Path, list[str]], None]
) -> dict[str, Any]:
    """Prepare the source, quantize it, and look in the runtime at what became int8."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="netwright-") as folder, _silence():
        prepared = Path(folder) / "prepared.onnx"
        try:
            from onnxruntime.quantization.shape_inference import quant_pre_process

            # An up-sampled batch is `floor(batch)` samples to the shape inference, which must be told to merge.
            quant_pre_process(str(source), str(prepared), auto_merge=True)
            kept = _excluded(prepared, exclude)
            run(prepared, kept)
        except ExportError:
            raise
        except Exception as error:
            raise ExportError(f"{Path(source).name} cannot be quantized: {_last_line(error)}") from error
        optimized = Path(folder) / "optimized.onnx"
        options = _quiet_options()
        options.optimized_model_filepath = str(optimized)
        _open(target, options)
        rows = node_table(prepared, sizes=_any_size(prepared))
        return {"path": target, **_coverage(rows, optimized, kept)}


def _any_size(path: Path) -> dict[str, int]:
    """One size for every dynamic axis but the batch: shares of MACs hardly depend on it."""
    shape = Session(path).input_shape
    return {str(dim): 16 for dim in shape[1:] if not isinstance(dim, int)}


def _excluded(path: Path, names: Sequence[str]) -> list[str]:
    """The nodes meant by names of nodes or by paths of layers."""
    rows = node_table(path, sizes=_any_size(path))
    found: list[str] = []
    for name in names:
        hits = [r.name for r in rows if r.name == name or any(w.startswith(f"{name}.") for w in r.weights)]
        if not hits:
            layers = sorted({w.rpartition(".")[0] for r in rows for w in r.weights if "." in w})
            raise ExportError(f"no layer to exclude is called {name!r}{suggestion(name, layers)}")
        found += hits
    return found


def _coverage(rows: Sequence[NodeCost], optimized: Path, excluded: Sequence[str]) -> dict[str, Any]:
    """Shares of parameters and MACs in int8 kernels, read from the graph that the runtime really executes."""
    running = [n for n in onnx.load(str(optimized)).graph.node if n.op_type in _INT8_KERNELS]
    operands = {name for node in running for name in node.input}
    names = {node.name for node in running}
    params = macs = 0
    left = []
    for row in rows:
        quantized = any(f"{weight}_quantized" in operands for weight in row.weights)
        if quantized or (not row.weights and row.name in names):
            params += row.params
            macs += row.macs
        elif row.macs:
            left.append((_layer(row), "excluded" if row.name in excluded else _why_left(row)))
    return {
        "coverage_params": params / max(1, sum(row.params for row in rows)),
        "coverage_macs": macs / max(1, sum(row.macs for row in rows)),
        "left": tuple(left),
    }


def _layer(row: NodeCost) -> str:
    named = [weight.rpartition(".")[0] for weight in row.weights if "." in weight]
    return named[0] if named else row.name


def _why_left(row: NodeCost) -> str:
    if row.op in {"LSTM", "GRU", "RNN"}:
        instead = "; quantize it dynamically" if row.op == "LSTM" else ""
        return f"ONNX Runtime has no such int8 kernel for {row.op}{instead}"
    if not row.weights:
        return f"{row.op} of two activations stays in float"
    if row.op in {"Conv", "ConvTranspose"}:
        return f"ONNX Runtime has no fast int8 kernel for this {row.op} with this method"
    return f"ONNX Runtime runs this {row.op} in float"


class _Batches:
    """Calibration data in batches, as the runtime's calibrators read it."""

    def __init__(self, batches: Iterator[dict[str, np.ndarray]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def _batches(data: np.ndarray, input_name: str) -> _Batches:
    """Equal batches, because the histogram methods refuse others: the last one may overlap the one before."""
    size = min(_BATCH, len(data))
    starts = [min(start, len(data) - size) for start in range(0, len(data), size)]
    parts = (data[start : start + size] for start in starts)
    return _Batches({input_name: np.ascontiguousarray(part, dtype=np.float32)} for part in parts)


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps the quantizer's remarks, logged and printed, from the user's screen."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(level)


def _quiet_options() -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return options


def _open(path: Path, options: Any) -> Any:
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"ONNX Runtime refuses {path.name}: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
