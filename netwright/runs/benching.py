"""Latency of ONNX files by the protocol, for files that come from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from netwright.core.errors import ExportError
from netwright.evaluation.latency import LatencyProtocol
from netwright.export.onnx_runtime import Session
from netwright.export.timing import time_files


def bench_files(paths: list[Path], *, threads: int, batch: int) -> list[dict[str, Any]]:
    """A row per file, all measured in one interleaved session; the first file is the reference.

    Raises ExportError for no file, one that is missing or refused, and when the files take different inputs.
    """
    protocol = LatencyProtocol.full(threads=threads, batch=batch)
    if not paths:
        raise ExportError("there is no file to measure; give the path of at least one ONNX file")
    for path in paths:
        if not path.is_file():
            raise ExportError(f"there is no file {path}; give the path of an ONNX file")
    sessions = {str(path): Session(path, threads=protocol.threads) for path in paths}
    shapes = {
        tuple(s if isinstance(s, int) else None for s in session.input_shape[1:]) for session in sessions.values()
    }
    if len(shapes) != 1:
        raise ExportError(f"the files take inputs of different shapes ({shapes}); measure them one at a time")
    shape = [size or 16 for size in shapes.pop()]
    example = np.random.default_rng(0).standard_normal((protocol.batch, *shape)).astype(np.float32)
    files = {str(path): path for path in paths}
    found = time_files(files, example, protocol=protocol, reference=str(paths[0]))
    return [
        {
            "model": name,
            "median_ms": latency.median_ms,
            "p10_ms": latency.p10_ms,
            "p90_ms": latency.p90_ms,
            "p95_ms": latency.p95_ms,
            "iqr_ms": latency.iqr_ms,
            "n": latency.n,
            "verdict": "NOISY" if latency.noisy else "ok",
            "speed-up": latency.speedup_text or None,
            "resolution": latency.resolution,
            "protocol": dict(latency.protocol),
        }
        for name, latency in found.items()
    ]
