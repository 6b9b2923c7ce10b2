"""Eight-bit copies of ONNX files made with ONNX Runtime, and what of them really computes in integers."""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from netwright.core.errors import ExportError, suggestion
from netwright.evaluation.machine import this_machine
from netwright.export.onnx_file import NodeCost, node_table
from netwright.export.onnx_runtime import Session, last_line, opened, quiet_options
from netwright.export.recurrent_factors import factor_file

_UNSIGNED = ("Gemm", "MatMul", "Gather")
_INT8_KERNELS = frozenset(
    {
        *("QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"),
        *("DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention"),
        "Gather",  # of an embedding, whose vectors are looked up as they are stored
    }
)


DYNAMIC_CONVOLUTIONS = "convolutions stay in float with dynamic ranges; mode: static computes them in 8 bits"


@dataclass(frozen=True, slots=True)
class LayerPrecision:
    """Whether a layer computes in 8 bits in the runtime on this machine, and why not where it does not.

    `macs` are those at batch 1.
    """

    layer: str
    params: int
    macs: int
    int8: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationResult:
    """What of a file really computes in int8 in the runtime on this machine.

    `scheme` is (activations, weights). `reduce_range` says whether weights have 7 bits, which every x86 CPU
    computes exactly; full 8 bits saturate on those without VNNI or AMX. `relative_error` is the norm of the
    difference of the outputs over the norm of the float file's, on calibration data; None where it was not measured.
    """

    path: Path
    method: str
    scheme: tuple[str, str]
    per_channel: bool
    reduce_range: bool
    cpu: str
    layers: tuple[LayerPrecision, ...]
    relative_error: float | None = None

    @property
    def coverage_params(self) -> float:
        """The share of parameters in layers that compute in int8, from 0 to 1."""
        return sum(one.params for one in self.layers if one.int8) / max(1, sum(one.params for one in self.layers))

    @property
    def coverage_macs(self) -> float:
        """The share of MACs that are int8, from 0 to 1."""
        return sum(one.macs for one in self.layers if one.int8) / max(1, sum(one.macs for one in self.layers))

    @property
    def left(self) -> tuple[tuple[str, str], ...]:
        """The layers that stayed in float and multiply, with the reason."""
        return tuple((one.layer, one.reason) for one in self.layers if one.macs and not one.int8)


def quantize_dynamic(source: Path, target: Path, *, exclude: Sequence[str] = ()) -> QuantizationResult:
    """Write an int8 copy whose Linear and LSTM layers quantize their inputs as they come; needs no data.

    Convolutions stay in float: their dynamic kernels are slower than float ones. Weights are 8-bit unsigned
    for the whole tensor, which no CPU saturates on and which is as accurate here as per channel, and faster. The
    LSTM kernel takes signed weights alone; these have 7 bits, as x86 CPUs without VNNI or AMX saturate on more.
    `exclude` names nodes, or layers by the path of their weights (`features.0`), that stay in float.
    Raises ExportError when the file cannot be quantized or an excluded name does not exist.
    """
    from onnxruntime import quantization as q

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="netwright-") as folder, told(source):
        path = prepared(source, Path(folder))
        part_axes(path)
        kept = excluded_nodes(path, exclude)
        for read, operators, reduce_range in ((path, ("LSTM",), True), (target, _UNSIGNED, False)):
            q.quantize_dynamic(
                str(read),
                str(target),
                op_types_to_quantize=list(operators),
                per_channel=False,
                reduce_range=reduce_range,
                weight_type=q.QuantType.QUInt8,
                nodes_to_exclude=[*kept, *(f"{name}_MatMul" for name in kept)],  # it renames what was a Gemm
            )
        drop_notes(target)
        factor_file(target)
        layers = precisions(path, target, excluded=kept, dynamic=True)
    return QuantizationResult(
        path=target,
        method="dynamic",
        scheme=("QUInt8", "QUInt8"),
        per_channel=False,
        reduce_range=False,
        cpu=this_machine().cpu,
        layers=layers,
    )


def full_range(path: Path) -> bool:
    """Whether a file multiplies by signed weights of all 8 bits, on which x86 CPUs without VNNI or AMX saturate."""
    graph = onnx.load(path).graph
    if not any(node.op_type == "QuantizeLinear" for node in graph.node):
        return False
    stored = {
        one.name: one for one in graph.initializer if one.data_type == onnx.TensorProto.INT8 and len(one.dims) > 1
    }
    read = {node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    weights = (onnx.numpy_helper.to_array(stored[name]) for name in read & stored.keys())
    return any(weight.max(initial=0) > 64 or weight.min(initial=0) < -64 for weight in weights)


def prepared(source: Path, folder: Path) -> Path:
    """A copy of a file as the runtime's quantizers want it: shapes known, batch norms folded."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path = folder / "prepared.onnx"
    try:
        # An up-sampled batch is `floor(batch)` samples to the shape inference, which must be told to merge.
        quant_pre_process(str(source), str(path), auto_merge=True)
    except Exception:
        # It raises anything at operators that it does not know, such as a maximum over time.
        quant_pre_process(str(source), str(path), skip_symbolic_shape=True)
    return path


def part_axes(path: Path) -> None:
    """Copy, in a file, each matrix whose outputs lie along one axis for one node and along the other for another.

    Tied layers read theirs so, and the runtime's quantizers take the axis of the first.
    """
    model = onnx.load(str(path))
    held = {one.name: one for one in model.graph.initializer}
    axes: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type not in {"Gemm", "MatMul"} or node.input[1] not in held:
            continue
        tensor = held[node.input[1]]
        axis = output_axis(node, len(tensor.dims))
        if axes.setdefault(tensor.name, axis) != axis:
            node.input[1] = f"{tensor.name}_along_{axis}"
            if node.input[1] not in axes:
                axes[node.input[1]] = axis
                model.graph.initializer.add().CopyFrom(tensor)
                model.graph.initializer[-1].name = node.input[1]
    onnx.save(model, str(path))


def output_axis(node: Any, rank: int) -> int:
    """The axis of a node's weight of so many axes along which its outputs lie."""
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return rank - 1 if node.op_type == "MatMul" else 0


def drop_notes(path: Path) -> None:
    """Take what the runtime's quantizers note for themselves out of a file: operator sets that no node is of, marks."""
    model = onnx.load(str(path))
    used = {"", *(node.domain for node in model.graph.node)}
    kept = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del model.metadata_props[:]
    onnx.save(model, str(path))


@contextmanager
def told(source: Path) -> Iterator[None]:
    """Silence around the runtime's quantizers; whatever they raise becomes one sentence about the file."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"{Path(source).name} cannot be quantized: {last_line(error)}") from error
    finally:
        logging.disable(level)


def costs(path: Path) -> list[NodeCost]:
    """The nodes of a file that hold parameters or multiply."""
    # one size for every dynamic axis but the batch: shares of MACs hardly depend on it
    shape = Session(path).input_shape
    return node_table(path, sizes={str(dim): 16 for dim in shape[1:] if not isinstance(dim, int)})


def excluded_nodes(path: Path, names: Sequence[str]) -> list[str]:
    """The nodes meant by names of nodes or by paths of layers; raises ExportError for a name that fits none."""
    if not names:
        return []
    rows = costs(path)
    found: list[str] = []
    for name in names:
        inside = f"{name}."
        hits = [r.name for r in rows if r.name == name or any(n.startswith(inside) for n in (r.name, *r.weights))]
        if not hits:
            layers = sorted({layer_of(row) for row in rows if row.params})
            raise ExportError(f"no layer to exclude is called {name!r}{suggestion(name, layers)}")
        found += hits
    return found


def precisions(
    path: Path, quantized: Path, *, excluded: Sequence[str], dynamic: bool = False
) -> tuple[LayerPrecision, ...]:
    """How each layer of a prepared file computes in its quantized copy, as the runtime really executes that."""
    with tempfile.TemporaryDirectory(prefix="netwright-") as folder:
        optimized = Path(folder) / "optimized.onnx"
        options = quiet_options()
        options.optimized_model_filepath = str(optimized)
        opened(quantized, options)
        running = [n for n in onnx.load(str(optimized)).graph.node if n.op_type in _INT8_KERNELS]
    operands = {name for node in running for name in node.input}
    names = {node.name for node in running}
    layers = []
    for row in costs(path):
        held = any(f"{weight}_quantized" in operands for weight in row.weights)
        int8 = held or (not row.weights and row.name in names)
        reason = "" if int8 else "excluded" if row.name in excluded else _why_left(row, dynamic=dynamic)
        layers.append(LayerPrecision(layer_of(row), row.params, row.macs, int8, reason))
    return tuple(layers)


def layer_of(row: NodeCost) -> str:
    """The path of the layer that a node was made from, or the node's own name."""
    named = [weight.rpartition(".")[0] for weight in row.weights if "." in weight]
    return named[0] if named else row.name


def _why_left(row: NodeCost, *, dynamic: bool) -> str:
    if row.op in {"LSTM", "GRU", "RNN"}:
        instead = "; quantize it dynamically" if row.op == "LSTM" else ""
        return f"ONNX Runtime has no such int8 kernel for {row.op}{instead}"
    if not row.weights:
        return f"{row.op} of two activations stays in float"
    if dynamic and row.op == "Conv":
        return DYNAMIC_CONVOLUTIONS
    if row.op in {"Conv", "ConvTranspose"}:
        return f"ONNX Runtime has no fast int8 kernel for this {row.op} with this method"
    return f"ONNX Runtime runs this {row.op} in float"


def attribute(node: Any, name: str, default: Any) -> Any:
    """An attribute of a node of an ONNX graph."""
    for one in node.attribute:
        if one.name == name:
            return onnx.helper.get_attribute_value(one)
    return default
