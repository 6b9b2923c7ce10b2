"""ONNX: graph and weights in one file, run by ONNX Runtime and by most other runtimes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from netwright.export.format import Format
from netwright.export.loaders import template
from netwright.export.to_onnx import export_onnx

if TYPE_CHECKING:
    from torch import nn


class Onnx(Format):
    """One ONNX file with the weights inside; any batch size, and sequences as long as those of the task."""

    suffix: ClassVar[str] = ".onnx"
    needs: ClassVar[str] = "onnxruntime numpy"

    def write(
        self, model: nn.Module, path: Path, *, example: np.ndarray, architecture: Mapping[str, Any] | None = None
    ) -> Path:
        del architecture
        return export_onnx(model, path, example=example).path

    def opened(self, path: Path) -> Callable[[np.ndarray], np.ndarray]:
        from netwright.export.onnx_runtime import Session

        return Session(path)

    def scripts(self, path: Path) -> Mapping[str, str]:
        del path
        return {"load.py": template("load_onnx.py")}

    def calls(self, path: Path) -> Mapping[str, Any]:
        from netwright.export.onnx_runtime import Session

        return Session(path).calls
