"""The latency a network would have, as a share of another's: both are exported and their files run side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netwright.evaluation.latency import LatencyProtocol

if TYPE_CHECKING:
    from torch import nn

PROTOCOL = LatencyProtocol(
    statistic="cpu", pairs=60, seconds=0.6, warmup_seconds=0.2, warmup_windows=3, noisy_above=0.6, control=False
)
"""CPU time of one thread, in pairs: another program on the machine changes the share little."""


class LatencyRuler:
    """Measures the exported files of smaller networks beside that of the one they come from."""

    def __init__(self, module: nn.Module, example: np.ndarray, *, workspace: Path) -> None:
        """`example` is a preprocessed float32 batch [N, *shape]. Raises ExportError when a network has no file."""
        workspace.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="latency-", dir=workspace)
        self._example = example
        self._known: dict[tuple[tuple[int, ...], ...], float] = {}
        self._original = self._export(module, "original")

    def share(self, module: nn.Module) -> float:
        """The latency as a share of the original's; measured once for networks of equal shapes."""
        from netwright.export.timing import time_files

        key = tuple(tuple(parameter.shape) for parameter in module.parameters())
        if key not in self._known:
            files = {"original": self._original, "smaller": self._export(module, "smaller")}
            found = time_files(files, self._example, protocol=PROTOCOL, reference="original", sessions=2)
            self._known[key] = 1.0 / (found["smaller"].speedup or 1.0)
        return self._known[key]

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    def _export(self, module: nn.Module, name: str) -> Path:
        from netwright.export.to_onnx import export_onnx

        return export_onnx(module, Path(self._folder.name) / f"{name}.onnx", example=self._example).path
