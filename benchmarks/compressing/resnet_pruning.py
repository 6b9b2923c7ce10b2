"""Trained ResNet-20 and ResNet-56 on CIFAR-10 at half their multiply-accumulates, by structured pruning.

Every figure is of the exported file: test errors of the 10,000 test images, latencies interleaved. The fine-tuning fits
into the time of a benchmark; `NETWRIGHT_LONG=1` trains for about 40 minutes per network on a quiet core instead, and
`NETWRIGHT_DEPTHS=20` leaves the deeper one out. `published` is the line of DepGraph (Fang et al., CVPR 2023, table 2)
for a ResNet-56, which was fine-tuned on all images for 100 epochs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from compressing._resnet import Cifar10, correct, pretrained
from netwright.compression.context import make_context
from netwright.compression.model import Model
from netwright.compression.recipe import Recipe, RecipeResult, run_recipe
from netwright.compression.store import FolderStore
from netwright.evaluation.latency import LatencyProtocol
from netwright.export.onnx_runtime import Session
from netwright.runs.stages import StageMeter
from netwright.tasks.settings import Training

LONG = os.environ.get("NETWRIGHT_LONG") == "1"
DEPTHS = tuple(int(depth) for depth in os.environ.get("NETWRIGHT_DEPTHS", "20,56").split(","))
EPOCHS = {20: 10, 56: 4} if LONG else {20: 3, 56: 4}
SAMPLES = None if LONG else 10000
PRUNE = {"kind": "structured_prune", "macs": 0.5, "round_to": 8, "criterion": "taylor", "scope": "global"}
PUBLISHED = {56: {"source": "DepGraph", "error_reference": 0.0647, "error": 0.0623, "macs_ratio": 2.13}}
TEST = 10000


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row per network: its errors, and what it lost in multiply-accumulates, latency and bytes."""
    task = Cifar10(shift=4, flip=True)
    return [_row(depth, task, folder / f"resnet{depth}") for depth in DEPTHS]


def _row(depth: int, task: Cifar10, folder: Path) -> dict[str, Any]:
    training = Training(
        epochs=EPOCHS[depth], samples=SAMPLES, batch_size=128, learning_rate=0.02, optimizer="sgd", weight_decay=5e-4
    )
    recipe = Recipe.parse({"passes": [PRUNE], "fine_tune": training.model_dump()})
    module = pretrained(depth)
    context = make_context(task, module, workspace=folder / "work", training=training, seed=0)
    meter = StageMeter(task, folder / "models", LatencyProtocol(pairs=100, seconds=3.0))
    meter.begin(Model(module))
    result = run_recipe(Model(module), recipe, context, meter.measure, store=FolderStore(folder / "stages"))
    return {"name": f"resnet{depth}-half-the-macs", **_figures(result, meter, task), **_setting(depth, task)}


def _figures(result: RecipeResult, meter: StageMeter, task: Cifar10) -> dict[str, Any]:
    latencies = meter.measure_together({stage.name: meter.files[stage.name] for stage in result.stages})
    errors = {stage.name: 1 - correct(Session(meter.files[stage.name]), task) / TEST for stage in result.stages}
    first, last = result.stages[0], result.stages[-1]
    stages = [
        {
            "stage": stage.name,
            "error": errors[stage.name],
            **{key: stage.row[key] for key in ("params", "macs", "size_bytes")},
            "latency_ms": latencies[stage.name]["latency_ms"],
            "seconds": round(stage.seconds),
        }
        for stage in result.stages
    ]
    return {
        "ratio": first.row["size_bytes"] / last.row["size_bytes"],
        "size_bytes": last.row["size_bytes"],
        "reference_bytes": first.row["size_bytes"],
        "error_reference": errors[first.name],
        "error": errors[last.name],
        "macs_ratio": first.row["macs"] / last.row["macs"],
        "latency_ratio": latencies[last.name]["speedup"],
        "latency_text": latencies[last.name]["speedup_text"],
        "stages": stages,
    }


def _setting(depth: int, task: Cifar10) -> dict[str, Any]:
    images = min(SAMPLES or TEST * 5, len(task.data().train))
    found: dict[str, Any] = {"n_test": TEST, "fine_tuned_epochs": EPOCHS[depth], "fine_tuned_images": images}
    return {**found, "published": PUBLISHED[depth]} if depth in PUBLISHED else found
