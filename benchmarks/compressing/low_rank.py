"""Low-rank factors of the trained ResNet-20 without training: what each share of energy leaves of 10,000 test images.

A share of energy by which no layer gets smaller has no row. The latency is that of the exported files, one thread,
batch 1, interleaved with the whole network's file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from compressing._resnet import Cifar10, correct, pretrained
from netwright.compression.context import make_context
from netwright.compression.model import Model
from netwright.compression.passes.low_rank import LowRank
from netwright.core.errors import CompressionError
from netwright.evaluation.latency import LatencyProtocol
from netwright.export.onnx_file import graph_cost
from netwright.export.onnx_runtime import Session
from netwright.export.timing import time_files
from netwright.export.to_onnx import export_onnx
from netwright.tasks.settings import Training

ENERGIES = (0.99, 0.97, 0.95, 0.9, 0.8)


def measure(folder: Path) -> list[dict[str, Any]]:
    """A row for each method; `stages` are the network itself and its factors, the mildest first."""
    task = Cifar10(samples=2000)
    net = pretrained(20)
    context = make_context(task, net, workspace=folder, training=Training(epochs=1)).without_training()
    example = np.asarray(context.example, np.float32)
    whole = folder / "whole.onnx"
    export_onnx(net, whole, example=example)
    return [_row(method, Model(net), context, whole, example) for method in ("tucker", "spatial")]


def _row(method: Any, model: Model, context: Any, whole: Path, example: np.ndarray[Any, Any]) -> dict[str, Any]:
    files = {"whole": whole}
    for energy in ENERGIES:
        try:
            made = LowRank(method=method, energy=energy).apply(model, context)
        except CompressionError:  # no layer gets smaller
            continue
        files[f"energy {energy}"] = path = whole.with_name(f"{method}-{energy}.onnx")
        export_onnx(made.module, path, example=example)
    times = time_files(files, example, protocol=LatencyProtocol.full(), reference="whole")
    count = len(context.task.test_split())
    first = graph_cost(whole)
    stages: list[dict[str, Any]] = []
    for name, path in files.items():
        cost, time = graph_cost(path), times[name]
        stages.append(
            {
                "stage": name,
                "accuracy": correct(Session(path), context.task) / count,
                "params_left": cost.params / first.params,
                "macs_left": cost.macs / first.macs,
                "size_bytes": path.stat().st_size,
                "speedup": time.speedup,
                "speedup_low": time.speedup_low,
                "speedup_high": time.speedup_high,
                "noisy": time.noisy,
            }
        )
    last = stages[-1]
    return {
        "name": f"ResNet-20, {method}",
        "ratio": whole.stat().st_size / last["size_bytes"],
        "size_bytes": last["size_bytes"],
        "reference_bytes": whole.stat().st_size,
        "error_reference": 1 - stages[0]["accuracy"],
        "error": 1 - last["accuracy"],
        "stages": stages,
    }
