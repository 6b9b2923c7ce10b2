"""ONNX for sequences of any length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from netwright.core.errors import ExportError
from netwright.export.formats.onnx import Onnx
from netwright.export.to_onnx import export_onnx

if TYPE_CHECKING:
    from torch import nn


class OnnxAnyLength(Onnx):
    """One ONNX file of the float network whose sequences [batch, time, ...] may have any length, and any batch size.

    It is compared with the network at half and twice the length of the task's sequences too. Networks whose layers
    depend on the length are refused.
    """

    any_length: ClassVar[bool] = True

    def write(
        self, model: nn.Module, path: Path, *, example: np.ndarray, architecture: Mapping[str, Any] | None = None
    ) -> Path:
        del architecture
        if example.ndim != 3:
            shape = example.shape[1:]
            raise ExportError(f"a sequence of any length is [time, features], but the network takes {shape}")
        return export_onnx(model, path, example=example, dynamic_time=True).path
