"""LSTM and GRU on real sequences: hidden units removed, matrices factorized, weights in 8 bits, and both together.

Two tasks: SyntheticControl of the UCR archive, 6 classes of series of 60 steps, by test error; and the next keys of
Bach's chorales (JSB), by the negative log-likelihood per step on the test chorales, for which Bai et al.
(arXiv:1803.01271) report 8.45 with an LSTM. Each network is trained here, then goes through each recipe; all files of a
network are measured in one session, and those whose latency was too noisy again, each beside the original alone, up to
three times. A row whose pass could do nothing says why under `refused`. `NETWRIGHT_TASKS=synthetic-control` leaves the
chorales out.
"""

from __future__ import annotations

import os
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from netwright.compression.context import make_context
from netwright.compression.model import Model
from netwright.compression.recipe import Recipe, RecipeResult, run_recipe
from netwright.compression.store import FolderStore
from netwright.core.errors import DataError
from netwright.evaluation.latency import LatencyProtocol
from netwright.export.onnx_runtime import Session
from netwright.export.scoring import score_file
from netwright.runs.stages import StageMeter
from netwright.search_spaces.spaces.recurrent import Recurrent
from netwright.tasks.kinds.sequence_classification import SequenceClassification
from netwright.tasks.kinds.sequence_labelling import SequenceLabelling
from netwright.tasks.settings import Training
from netwright.tasks.task import Task
from netwright.tasks.training import fit

DATA_SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_recipe_data.py"
UNITS = {"kind": "structured_prune", "ratio": 0.5, "max_ratio": 0.75}
SVD = {"kind": "low_rank", "ratio": 0.25, "min_gain": 0.0}
INT8 = {"kind": "quantize", "mode": "dynamic"}
STORED8 = {"kind": "quantize_weights", "bits": 8}
RECIPES: dict[str, list[dict[str, Any]]] = {
    "half the units": [UNITS],
    "SVD": [SVD],
    "dynamic int8": [INT8],
    "weights in 8 bits": [STORED8],
    "half the units, dynamic int8": [UNITS, INT8],
}
TASKS = tuple(os.environ.get("NETWRIGHT_TASKS", "synthetic-control,jsb-chorales").split(","))
SEED = 0
REPEATS = 3


@dataclass(frozen=True)
class Case:
    """A task with the width and dropout of its networks and how they are trained and fine-tuned."""

    name: str
    task: Task
    width: int
    dropout: float
    training: Training
    fine_tune: Training


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row per task, cell and recipe."""
    cases = {"synthetic-control": _synthetic_control, "jsb-chorales": _chorales}
    if unknown := [name for name in TASKS if name not in cases]:
        raise DataError(f"NETWRIGHT_TASKS has {unknown[0]!r}; expected names among {', '.join(cases)}")
    return [
        row
        for case in (cases[name](folder) for name in TASKS)
        for cell in ("lstm", "gru")
        for row in _rows(case, cell, folder / f"{case.name}-{cell}")
    ]


def _source(name: str) -> Path:
    path = Path(os.environ.get("NETWRIGHT_DATA", Path(__file__).parents[2] / "../shared/data")) / name
    if not path.is_file():
        raise DataError(f"no data at {path}: set NETWRIGHT_DATA to the folder that holds {name}")
    return path


def _synthetic_control(folder: Path) -> Case:
    with np.load(_source("ucr/ucr.npz")) as stored:
        arrays = {key: stored[f"SyntheticControl/{key}"] for key in ("x_train", "y_train", "x_test", "y_test")}
    path = folder / "synthetic-control.npz"
    np.savez(path, allow_pickle=False, **arrays)
    training = Training(epochs=100, batch_size=16, learning_rate=0.005, gradient_clip=1.0)
    return Case(
        "synthetic-control",
        SequenceClassification.parse({"path": path}),
        128,
        0.2,
        training,
        training.model_copy(update={"epochs": 30, "learning_rate": 0.002}),
    )


def _chorales(folder: Path) -> Case:
    runpy.run_path(str(DATA_SCRIPT))["jsb"](folder)
    path = folder / "jsb.npz"
    training = Training(epochs=100, batch_size=8, learning_rate=0.005, gradient_clip=1.0)
    return Case(
        "jsb-chorales",
        SequenceLabelling.parse({"path": path, "several": True, "standardise": False}),
        192,
        0.5,
        training,
        training.model_copy(update={"epochs": 20, "learning_rate": 0.001}),
    )


def _rows(case: Case, cell: str, folder: Path) -> list[dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    module = _trained(case, cell, folder)
    files: dict[str, Path] = {}
    results: dict[str, RecipeResult] = {}
    for name, passes in RECIPES.items():
        recipe = Recipe.parse({"passes": passes, "fine_tune": case.fine_tune.model_dump()})
        context = make_context(case.task, module, workspace=folder / "work", training=case.fine_tune, seed=SEED)
        meter = StageMeter(case.task, folder / "models", LatencyProtocol(pairs=30, seconds=0.5, warmup_seconds=0.2))
        meter.begin(Model(module))
        results[name] = run_recipe(
            Model(module), recipe, context, meter.measure, store=FolderStore(folder / "stages"), salt=name
        )
        for stage in results[name].stages:
            if stage.name in meter.files:
                files[_key(name, stage.name)] = meter.files[stage.name]
    meter.protocol = LatencyProtocol(pairs=100, seconds=1.5)
    latencies = _measured(meter, files)
    test = case.task.test_split()
    metric = case.task.primary().metric
    scores = {key: score_file(Session(path), case.task, test)[metric] for key, path in files.items()}
    errors = {key: value if metric == "nll" else 1 - value for key, value in scores.items()}
    prefix = f"{case.name}-{cell}"
    return [
        {"name": f"{prefix}: {name}", "judged_by": "nll" if metric == "nll" else "error"}
        | _figures(name, result, errors, latencies)
        | {"n_test": len(test)}
        for name, result in results.items()
    ]


def _measured(meter: StageMeter, files: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Latency columns of all files; a noisy one is measured again beside the first file alone."""
    found = meter.measure_together(files)
    first = next(iter(files))
    for key in (key for key in files if key != first):
        for _ in range(REPEATS):
            if not found[key]["latency"]["noisy"]:
                break
            found[key] = meter.measure_together({first: files[first], key: files[key]})[key]
    return found


def _key(recipe: str, stage: str) -> str:
    return "original" if stage == "original" else f"{recipe} / {stage}"


def _trained(case: Case, cell: str, folder: Path) -> nn.Module:
    """One recurrent layer and a linear one; goes on from what is in the folder."""
    space = Recurrent.parse(
        {
            "cells": [cell],
            "depth": [1, 1],
            "widths": [case.width],
            "bidirectional": [False],
            "summaries": ["mean"],
            "dropouts": [case.dropout],
        }
    )
    decisions = next(iter(space.enumerate()))
    module: nn.Module = space.build(decisions, case.task.shapes(), seed=SEED)
    fit(module, case.task, training=case.training, seed=SEED, checkpoint=folder / "trained.safetensors")
    return module.eval()


def _figures(
    name: str, result: RecipeResult, errors: dict[str, float], latencies: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    first, last = result.stages[0], result.stages[-1]
    stages = []
    for stage in result.stages:
        key = _key(name, stage.name)
        measured = {"error": errors[key], "speedup": latencies[key]["speedup"]} if key in errors else {}
        facts = {key: stage.row.get(key) for key in ("params", "macs", "size_bytes")}
        stages.append({"stage": stage.name, **measured, **facts, "kept": stage.kept, "reason": stage.reason})
    key = _key(name, last.name)
    if key not in errors:
        return {"error_reference": errors["original"], "refused": last.reason, "stages": stages}
    macs = last.row.get("macs")
    return {
        "ratio": first.row["size_bytes"] / last.row["size_bytes"],
        "size_bytes": last.row["size_bytes"],
        "reference_bytes": first.row["size_bytes"],
        "error_reference": errors["original"],
        "error": errors[key],
        "macs_ratio": first.row["macs"] / macs if macs else None,
        "latency_ratio": latencies[key]["speedup"],
        "latency_text": latencies[key]["speedup_text"],
        "stages": stages,
    }
