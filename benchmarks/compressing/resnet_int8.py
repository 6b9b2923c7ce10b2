"""The trained CIFAR-10 ResNets in int8: all 10,000 test images, measured latency, bytes, coverage.

Weights are as published, nothing is trained; activation ranges come from training images. The latency is that of the
exported files, one thread, batch 1, interleaved with the float file: the ratio's interval is one of 95 %.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from compressing._resnet import ACCURACY, Cifar10, correct, in_torch, pretrained
from netwright.evaluation.latency import LatencyProtocol
from netwright.evaluation.machine import this_machine
from netwright.export.integer_weights import store_integers
from netwright.export.onnx_runtime import Session
from netwright.export.quantization_static import Static, quantize_static
from netwright.export.timing import time_files
from netwright.export.to_onnx import export_onnx

CALIBRATION = 512


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row per depth; `stages` are the float file and its copies."""
    task = Cifar10(samples=10000, calibration_samples=CALIBRATION)
    return [_known(depth, folder) or _one(depth, task, folder) for depth in ACCURACY]


def _known(depth: int, folder: Path) -> dict[str, Any] | None:
    """The row of a depth that was measured before the run was cut short."""
    kept = folder / f"resnet{depth}.json"
    found: dict[str, Any] | None = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else None
    return found


def _one(depth: int, task: Cifar10, folder: Path) -> dict[str, Any]:
    net, data = pretrained(depth), task.data()
    calibration = np.asarray(data.preprocessing(data.calibration.inputs), np.float32)
    source = folder / f"resnet{depth}.onnx"
    export_onnx(net, source, example=calibration[:16])
    files = {"float": source}
    found = quantize_static(source, folder / f"resnet{depth}.int8.onnx", calibration=calibration, settings=Static())
    files["int8"] = found.path
    for bits in (8, 4):
        path = folder / f"resnet{depth}.w{bits}.onnx"
        store_integers(source, path, bits=bits)
        files[f"weights in {bits} bits"] = path
    count = len(task.test_split())
    right = {name: correct(Session(path), task) for name, path in files.items()}
    protocol = LatencyProtocol.full()
    times = time_files(files, calibration[:16], protocol=protocol, reference="float")
    stages = [
        {
            "stage": name,
            "accuracy": right[name] / count,
            "latency_ms": times[name].median_ms,
            "noisy": times[name].noisy,
            "speedup": times[name].speedup,
            "speedup_low": times[name].speedup_low,
            "speedup_high": times[name].speedup_high,
            "size_bytes": path.stat().st_size,
            "size_ratio": source.stat().st_size / path.stat().st_size,
        }
        for name, path in files.items()
    ]
    published = ACCURACY[depth]
    in_float = correct(in_torch(net), task)
    row = {
        "name": f"ResNet-{depth}, CIFAR-10",
        "ratio": source.stat().st_size / found.path.stat().st_size,
        "size_bytes": found.path.stat().st_size,
        "reference_bytes": source.stat().st_size,
        "error_reference": 1 - in_float / count,
        "error": 1 - right["int8"] / count,
        "accuracy_published": published,
        "accuracy_torch": in_float / count,
        "reproduced": in_float == round(published * count),
        "points_lost": 100 * (in_float - right["int8"]) / count,
        "speedup": times["int8"].speedup_text,
        "coverage_params": found.coverage_params,
        "coverage_macs": found.coverage_macs,
        "left": "; ".join(f"{layer}: {reason}" for layer, reason in found.left) or "nothing",
        "scheme": "/".join(found.scheme),
        "vnni": not this_machine().int8_products_saturate,
        "stages": stages,
    }
    (folder / f"resnet{depth}.json").write_text(json.dumps(row), encoding="utf-8")
    return row
