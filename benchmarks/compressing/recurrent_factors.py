"""A stacked GRU in both directions whose weights all become factors: bytes of the file and test error by energy.

SyntheticControl of the UCR archive, 6 classes of series of 60 steps, 300 to train on and 300 to test. Each row begins
with the same trained network; its factors are trained on for a few epochs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compressing.recurrent import SEED, _synthetic_control
from netwright.compression.context import Context, make_context
from netwright.compression.model import Model
from netwright.compression.passes.low_rank import LowRank
from netwright.export.onnx_file import graph_cost
from netwright.export.onnx_runtime import Session
from netwright.export.to_onnx import export_onnx
from netwright.runs.stages import score_file
from netwright.search_spaces.spaces.recurrent import Recurrent
from netwright.tasks.settings import Training
from netwright.tasks.training import fit

LAYERS, WIDTH, EPOCHS, TUNING = 2, 64, 15, 4
ENERGIES = (0.9, 0.8, 0.7, 0.6)


def measure(folder: Path) -> list[dict[str, Any]]:
    """A row for each energy; `stages` are the network itself and its factors."""
    task = _synthetic_control(folder).task
    training = Training(epochs=EPOCHS, batch_size=16, learning_rate=0.005, gradient_clip=1.0)
    choices = {"cells": ["gru"], "depth": [LAYERS, LAYERS], "widths": [WIDTH], "bidirectional": [True]}
    space = Recurrent.parse({**choices, "summaries": ["mean"], "dropouts": [0.0]})
    module = space.build(next(iter(space.enumerate())), task.shapes(), seed=SEED)
    fit(module, task, training=training, seed=SEED, checkpoint=folder / "trained.safetensors")
    tuning = training.model_copy(update={"epochs": TUNING, "learning_rate": 0.002})
    context = make_context(task, module.eval(), workspace=folder / "work", training=tuning, seed=SEED)
    whole = _stage("whole", Model(module), context)
    return [_row(energy, Model(module), whole, context) for energy in ENERGIES]


def _row(energy: float, model: Model, whole: dict[str, Any], context: Context) -> dict[str, Any]:
    last = _stage(f"energy {energy}", LowRank(energy=energy).apply(model, context), context)
    return {
        "name": f"recurrent factors, energy {energy}",
        "ratio": whole["size_bytes"] / last["size_bytes"],
        "size_bytes": last["size_bytes"],
        "reference_bytes": whole["size_bytes"],
        "error_reference": whole["error"],
        "error": last["error"],
        "stages": [whole, last],
    }


def _stage(name: str, model: Model, context: Context) -> dict[str, Any]:
    path = export_onnx(model.module, context.workspace / f"{name}.onnx", example=context.example).path
    cost, scores = graph_cost(path), score_file(Session(path), context.task, context.task.test_split())
    return {
        "stage": name,
        "error": 1 - scores["accuracy"],
        "size_bytes": path.stat().st_size,
        "params": cost.params,
        "macs": cost.macs,
    }
