"""Latency of files is measured in a process of its own, again when the machine was disturbed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from netwright.core.errors import ExportError
from netwright.evaluation.latency import Latency, LatencyProtocol
from netwright.export.timing import quietest, time_files
from netwright.export.to_onnx import export_onnx

QUICK = LatencyProtocol(pairs=20, seconds=0.2, warmup_seconds=0.05, noisy_above=100)


def latency(median: float, spread: float) -> Latency:
    return Latency(
        median_ms=median, p10_ms=median, p90_ms=median, p95_ms=median, iqr_ms=spread,
        cpu_median_ms=median, cpu_iqr_ms=spread, n=10, noisy=spread > median, reason="", protocol={"statistic": "wall"},
    )  # fmt: skip


def test_files_are_timed_side_by_side(tmp_path: Path) -> None:
    example = np.zeros((2, 16), np.float32)
    small = export_onnx(nn.Linear(16, 4), tmp_path / "small.onnx", example=example).path
    layers = [layer for _ in range(12) for layer in (nn.Linear(16, 512), nn.ReLU(), nn.Linear(512, 16))]
    large = export_onnx(nn.Sequential(*layers), tmp_path / "large.onnx", example=example).path
    found = time_files({"small": small, "large": large}, example, protocol=QUICK, reference="large")
    assert found["small"].speedup is not None
    assert found["small"].speedup > 1
    assert found["large"].speedup is None
    assert found["small"].protocol["sessions"] == 1


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    with pytest.raises(ExportError, match=r"ONNX Runtime refuses bad\.onnx"):
        time_files({"bad": tmp_path / "bad.onnx"}, np.zeros((1, 4), np.float32), protocol=QUICK)


def test_the_quietest_session_counts_and_their_number_is_told() -> None:
    noisy = {"a": latency(1.0, 2.0), "b": latency(1.0, 0.01)}
    quiet = {"a": latency(1.1, 0.1), "b": latency(1.2, 0.2)}
    best = quietest([noisy, quiet, noisy])
    assert best["a"].median_ms == 1.1
    assert best["b"].protocol["sessions"] == 3
    assert dataclasses.asdict(best["a"])["noisy"] is False
