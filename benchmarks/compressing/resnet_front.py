"""The front of a whole recipe on a trained ResNet: pruning to several shares, fine-tuning, then 8 bits.

Every figure is of the exported file: errors of the 10,000 test images, latencies of all files interleaved, speed-ups
beside the input network. `on_front` says in which of bytes and latency no other file is better at no more errors.
`NETWRIGHT_DEPTHS=20,56` takes the deeper network too, which needs three times as long.
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

DEPTHS = tuple(int(depth) for depth in os.environ.get("NETWRIGHT_DEPTHS", "20").split(","))
SHARES = (None, 0.8, 0.65, 0.5, 0.35)
"""Of the multiply-accumulates, what pruning leaves; None prunes nothing."""
TRAINING = Training(epochs=3, samples=10000, batch_size=128, learning_rate=0.02, optimizer="sgd", weight_decay=5e-4)
TEST = 10000


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row per network; its stages are the files that the recipes made."""
    task = Cifar10(shift=4, flip=True)
    return [_row(depth, task, folder / f"resnet{depth}") for depth in DEPTHS]


def _row(depth: int, task: Cifar10, folder: Path) -> dict[str, Any]:
    module = pretrained(depth)
    files: dict[str, Path] = {}
    rows: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    for share in SHARES:
        result, meter = _made(share, module, task, folder)
        made = result.stages[0 if share is None else 1 :]
        if not made[0].kept:
            refused[f"{share:.0%} of the MACs"] = made[0].reason
            continue
        for stage in made:
            if stage.kept:
                name = " ".join(filter(None, [f"{share:.0%} of the MACs," if share else "", stage.name]))
                files[name], rows[name] = meter.files[stage.name], dict(stage.row)
    latencies = meter.measure_together(files)
    stages = [
        {
            "stage": name,
            "error": 1 - correct(Session(path), task) / TEST,
            **{key: rows[name][key] for key in ("params", "macs", "size_bytes")},
            "latency_ms": latencies[name]["latency_ms"],
            "speedup": latencies[name]["speedup"],
            "speedup_text": latencies[name]["speedup_text"],
        }
        for name, path in files.items()
    ]
    for stage in stages:
        stage["on_front"] = [figure for figure in ("size_bytes", "latency_ms") if _on_front(stage, stages, figure)]
    first, last = stages[0], min(stages, key=lambda stage: stage["size_bytes"])
    return {
        "name": f"resnet{depth}-front",
        "ratio": first["size_bytes"] / last["size_bytes"],
        "size_bytes": last["size_bytes"],
        "reference_bytes": first["size_bytes"],
        "error_reference": first["error"],
        "error": last["error"],
        "stages": stages,
        "refused": refused,
    }


def _made(share: float | None, module: Any, task: Cifar10, folder: Path) -> tuple[RecipeResult, StageMeter]:
    """The stages of one recipe."""
    prune = {"kind": "structured_prune", "macs": share, "round_to": 8, "criterion": "taylor", "scope": "global"}
    recipe = Recipe.parse({"passes": [*([prune] if share else []), "quantize"], "fine_tune": TRAINING.model_dump()})
    place = folder / str(share)
    context = make_context(task, module, workspace=place / "work", training=TRAINING, seed=0)
    meter = StageMeter(task, place / "models", LatencyProtocol(pairs=100, seconds=3.0))
    meter.begin(Model(module))
    return run_recipe(Model(module), recipe, context, meter.measure, store=FolderStore(place / "stages")), meter


def _on_front(stage: dict[str, Any], stages: list[dict[str, Any]], figure: str) -> bool:
    """Whether no other file has less of a figure at no more errors, or as much of it at fewer."""
    mine = (stage[figure], stage["error"])
    others = [(other[figure], other["error"]) for other in stages if other is not stage]
    return not any(theirs != mine and theirs[0] <= mine[0] and theirs[1] <= mine[1] for theirs in others)
