"""Ranks that training learns, beside ranks by energy with as much training: a convolutional network for clothes.

Every row ends with the same number of epochs of training: what `learned` takes for its ranks, the other has for
fine-tuning its factors. Accuracy is that on all 2,000 test images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from compressing._clothes import accuracy, trained
from netwright.compression.context import Context
from netwright.compression.model import Model
from netwright.compression.passes.low_rank import LowRank
from netwright.evaluation.profile import profile
from netwright.tasks.settings import Training

LEARNING, TUNING = 4, 2
STRENGTHS = (0.5, 1.0, 1.5, 2.0)
ENERGIES = (0.8, 0.7, 0.6, 0.5)


def measure(folder: Path) -> list[dict[str, Any]]:
    """A row for each way to choose ranks; `stages` are the network itself and its factors, the mildest first."""
    net, context = trained(folder, fine_tune=Training(epochs=TUNING, learning_rate=1e-3))
    learned = [(f"learned {s}", LowRank(learned=s, learn_epochs=LEARNING, epochs=TUNING)) for s in STRENGTHS]
    ruled = [(f"energy {e}", LowRank(energy=e, epochs=LEARNING + TUNING)) for e in ENERGIES]
    return [_row(name, passes, Model(net), context) for name, passes in (("learned", learned), ("energy", ruled))]


def _row(name: str, passes: list[tuple[str, LowRank]], model: Model, context: Context) -> dict[str, Any]:
    whole = _stage("whole", model.module, context)
    stages = [whole, *(_stage(what, one.apply(model, context).module, context) for what, one in passes)]
    last = stages[-1]
    return {
        "name": f"ranks, {name}",
        "ratio": whole["params"] / last["params"],
        "size_bytes": 4 * last["params"],
        "reference_bytes": 4 * whole["params"],
        "error_reference": 1 - whole["accuracy"],
        "error": 1 - last["accuracy"],
        "stages": stages,
    }


def _stage(name: str, module: nn.Module, context: Context) -> dict[str, Any]:
    cost = profile(module, context.example_tensor())
    return {
        "stage": name,
        "accuracy": accuracy(module, context),
        "params": cost.params,
        "macs": cost.macs,
    }
