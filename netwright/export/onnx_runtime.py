"""Running ONNX files with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from netwright.core.errors import ExportError


class Session:
    """An ONNX file ready to run on the CPU: a float32 batch [batch, *shape] in, the first output out.

    `threads` are the threads of one call. Weights that are only stored as integers are made float once, when the
    session opens. `batch_matters` tells that the file finds ranges of activations at run time, over all samples of a
    call, so that what it gives for one depends a little on the others. `calls` says how a loader runs the file: at
    most `batch` samples a call, and `options` of the runtime. Raises ExportError when the runtime refuses the file or a
    batch.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        options = quiet_options(threads=threads)
        operators = _operators(Path(path))
        self.batch_matters = any(name.startswith("DynamicQuantize") for name in operators)
        settings: dict[str, str] = {}
        if "DequantizeLinear" in operators and "QuantizeLinear" not in operators:
            # else the runtime, in hope of integer kernels, makes the same float weights again for every call
            settings["session.disable_quant_qdq"] = "1"
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        self.calls = {"batch": 1 if self.batch_matters else 256, "options": settings}
        self._session = opened(Path(path), options)
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
                f"(it takes {self.input_shape}, float32): {last_line(error)}"
            ) from error
        return found


def quiet_options(*, threads: int | None = None) -> Any:
    """Options of a session that says nothing, and takes so many threads for a call; by default as many as it likes."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        if threads > 1:
            # spinning threads would take the core from whatever is measured beside this session
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def opened(path: Path, options: Any) -> Any:
    """The runtime's own session; raises ExportError when it refuses the file."""
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"ONNX Runtime refuses {path.name}: {last_line(error)}") from error


def last_line(error: Exception) -> str:
    """What an error of the runtime comes down to."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _operators(path: Path) -> set[str]:
    try:
        return {node.op_type for node in onnx.load(str(path), load_external_data=False).graph.node}
    except Exception:
        # a file that cannot be read is refused, with the reason, by the runtime
        return set()
