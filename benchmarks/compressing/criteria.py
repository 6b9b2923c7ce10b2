"""What each importance criterion keeps: a small CNN on scikit-learn's digits, pruned with and without fine-tuning.

Errors are those of the test split; `random` is the control. No file is written and nothing is timed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from netwright.compression.context import make_context
from netwright.compression.model import Model
from netwright.compression.passes.structured_prune import StructuredPrune
from netwright.core.plugins import build, names
from netwright.evaluation.profile import profile
from netwright.tasks.settings import Training
from netwright.tasks.task import Task
from netwright.tasks.training import evaluate_split, fit

SHARES = (0.5, 0.25)
"""Of the multiply-accumulates, to keep."""
TRAINING = Training(epochs=15, batch_size=128)
FINE_TUNE = Training(epochs=3, batch_size=128, learning_rate=1e-3)


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row per criterion and share."""
    task = build("task", "digits")
    assert isinstance(task, Task)
    net = _trained(task, folder)
    context = make_context(task, net, workspace=folder / "work", training=FINE_TUNE, seed=0)
    reference, before = _error(net, task), profile(net, context.example_tensor())
    rows = []
    for name in names("criterion"):
        for share in SHARES:
            prune = StructuredPrune.parse({"criterion": name, "macs": share, "round_to": 2, "min_channels": 2})
            bare = prune.apply(Model(net), context.without_training()).module
            tuned = prune.apply(Model(net), context).module
            rows.append(
                {
                    "name": f"{name}, {share:.0%} of the MACs",
                    "criterion": name,
                    "macs_ratio": before.macs / profile(bare, context.example_tensor()).macs,
                    "params_ratio": before.params / profile(bare, context.example_tensor()).params,
                    "error_reference": reference,
                    "error_untrained": _error(bare, task),
                    "error": _error(tuned, task),
                    "n_test": len(task.test_split()),
                }
            )
    return rows


def _trained(task: Task, folder: Path) -> nn.Module:
    """Three convolutions with normalisation; goes on from what is in the folder."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inside, outside, pool in ((1, 32, False), (32, 64, True), (64, 64, True)):
        layers += [nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if pool else []
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))
    fit(net, task, training=TRAINING, seed=0, checkpoint=folder / "trained.safetensors")
    return net.eval()


def _error(net: nn.Module, task: Task) -> float:
    return 1 - evaluate_split(net, task, task.test_split())["accuracy"]
