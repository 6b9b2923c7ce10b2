"""A PyTorch model as one ONNX file whose dynamic axes really are dynamic."""

from __future__ import annotations

import copy
import os
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import spawn
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.core.errors import ExportError
from netwright.core.files import file_hash
from netwright.export.exporter_client import exporter

if TYPE_CHECKING:
    from torch import nn

INPUT, OUTPUT = "input", "output"


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """An exported file and what to know about it. `dynamic_axes` maps the input's axes to their names."""

    path: Path
    sha256: str
    size_bytes: int
    opset: int
    input_name: str
    output_name: str
    dynamic_axes: Mapping[int, str]


def export_onnx(
    model: nn.Module,
    path: Path,
    *,
    example: np.ndarray,
    dynamic_batch: bool = True,
    dynamic_time: bool = False,
    timeout_s: float = 600.0,
) -> ExportedModel:
    """Write a model in evaluation mode to one ONNX file, and run the file at two sizes of each dynamic axis.

    `example` is a preprocessed float32 batch [batch, *shape]; with `dynamic_time` its axis 1 is time. The input
    is named `input`, the output `output`; weights are inside the file. The model itself is not changed.
    Raises ExportError when the exporter or the runtime refuses the model, or when an axis came out fixed.
    """
    _require_known_layers(model)
    axes = {0: "batch"} if dynamic_batch else {}
    if dynamic_time:
        if example.ndim < 3:
            raise ExportError(f"dynamic_time needs an example [batch, time, ...], came shape {example.shape}")
        axes[1] = "time"
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp.onnx")
    try:
        answer = exporter().run(
            {
                "sys_path": [str(Path(entry).absolute()) for entry in sys.path],
                "main": _main_module(model),
                "path": str(temporary),
                "name": type(model).__name__,
                "axes": axes,
                "timeout_s": timeout_s,
            },
            _body(model, example, grow=dynamic_batch),
        )
        if "error" in answer:
            raise ExportError(f"{type(model).__name__} cannot be exported to ONNX: {answer['error']}")
        _check_axes(temporary, example, axes)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return ExportedModel(
        path=path,
        sha256=file_hash(path),
        size_bytes=path.stat().st_size,
        opset=answer["opset"],
        input_name=INPUT,
        output_name=OUTPUT,
        dynamic_axes=axes,
    )


def _require_known_layers(model: nn.Module) -> None:
    """Raises ExportError for a layer that would be written as something else than it is."""
    from torch import nn

    for path, layer in model.named_modules():
        if isinstance(layer, nn.LSTM) and layer.proj_size:
            raise ExportError(
                f"{type(model).__name__} cannot be exported to ONNX: {path or 'it'} is an LSTM with proj_size, which "
                "the LSTM of ONNX does not have; train one without, with a Linear layer behind it if it must be narrow"
            )


def _body(model: nn.Module, example: np.ndarray, *, grow: bool) -> bytes:
    """The model, on the CPU, and an example tensor, as the exporter process takes them."""
    import torch
    from torch import nn

    on_cpu = all(tensor.device.type == "cpu" for tensor in (*model.parameters(), *model.buffers()))
    plain = model if on_cpu else copy.deepcopy(model).cpu()
    # an example of one row fixes the batch axis at one, and recurrent layers need a good many rows not to
    rows = len(example)
    if grow:
        rows = max(rows, 16 if any(isinstance(m, nn.RNNBase) for m in model.modules()) else 2)
    batch = np.resize(example, (rows, *example.shape[1:])).astype(np.float32, copy=False)
    try:
        return pickle.dumps((plain, torch.from_numpy(np.ascontiguousarray(batch))))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ExportError(
            f"{type(model).__name__} cannot be sent to the exporter process: {error}; define its classes at the "
            "top level of a module that can be imported"
        ) from error


def _main_module(model: nn.Module) -> dict[str, Any] | None:
    """What the exporter process needs to import the main script, if the model's classes live there."""
    if not any(type(module).__module__ == "__main__" for module in model.modules()):
        return None
    wanted = ("init_main_from_name", "init_main_from_path", "dir", "orig_dir", "sys_argv")
    data = spawn.get_preparation_data("exporter")
    return {key: data[key] for key in wanted if key in data}


def _check_axes(path: Path, example: np.ndarray, axes: Mapping[int, str]) -> None:
    """Run the file at two sizes of each dynamic axis; raises ExportError when one of them is refused."""
    from netwright.export.onnx_runtime import Session

    session = Session(path)
    for axis, name in axes.items():
        if isinstance(fixed := session.input_shape[axis], int):
            raise ExportError(
                f"the {name} axis came out fixed at {fixed} although it was to be dynamic; a network that makes a "
                f"number of it, as len(x) does, is to take x.shape[{axis}]"
            )
    one = np.resize(example, (1, *example.shape[1:])).astype(np.float32, copy=False)
    base = one if 0 in axes else example.astype(np.float32, copy=False)
    session(base)
    for axis, name in axes.items():
        longer = base.shape[axis] + 3
        shape = [longer if i == axis else size for i, size in enumerate(base.shape)]
        try:
            found = session(np.resize(base, shape))
        except ExportError as error:
            raise ExportError(
                f"the exported model runs with {name} {base.shape[axis]} but not with {longer}: {error}"
            ) from error
        if axis == 0 and found.shape[:1] != (longer,):
            raise ExportError(f"{longer} samples in give an output of shape {found.shape}")
