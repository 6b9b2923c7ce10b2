"""A network and its files with integer weights, scored and counted."""

from __future__ import annotations

from typing import Any

from compressing._resnet import correct
from netwright.compression.context import Context
from netwright.compression.model import Model
from netwright.export.coding import archive
from netwright.export.onnx_runtime import Session
from netwright.export.to_onnx import export_onnx


def row(name: str, model: Model, ways: dict[str, Model], context: Context) -> dict[str, Any]:
    """The row of a network: its float file and those of all ways, scored on the test images."""
    source = context.workspace / "float.onnx"
    export_onnx(model.module, source, example=context.example)
    files = {"float": source, **{way: one.file for way, one in ways.items() if one.file is not None}}
    stages = []
    for way, path in files.items():
        stages.append(
            {
                "stage": way,
                "accuracy": correct(Session(path), context.task) / len(context.task.test_split()),
                "size_bytes": path.stat().st_size,
                "size_ratio": source.stat().st_size / path.stat().st_size,
                "coded_bytes": len(archive.encode(path.read_bytes()).data),
            }
        )
    best = min(stages[1:], key=lambda stage: stage["coded_bytes"])
    return {
        "name": name,
        "ratio": source.stat().st_size / best["coded_bytes"],
        "size_bytes": best["coded_bytes"],
        "reference_bytes": source.stat().st_size,
        "error_reference": 1 - stages[0]["accuracy"],
        "error": 1 - best["accuracy"],
        "stages": stages,
    }
