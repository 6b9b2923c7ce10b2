"""Binary weights, and binary inputs as in XNOR-Net, on the small digits, stored in 2 bits and entropy-coded.

Each way is trained from the same float network for as many epochs as that one had. Accuracy is that of the files with
integer weights, on all test images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from compressing._stored import row
from netwright.compression.context import make_context
from netwright.compression.model import Model
from netwright.compression.passes.binarize import Binarize
from netwright.compression.passes.quantize_weights import QuantizeWeights
from netwright.core.plugins import build
from netwright.tasks.settings import Training
from netwright.tasks.task import Task
from netwright.tasks.training import fit

TRAINING = Training(epochs=20, learning_rate=3e-3)
EDGES = ("0", "12")


def measure(folder: Path) -> list[dict[str, Any]]:
    """One row; `stages` are the ways of storing the network."""
    task = build("task", "digits")
    assert isinstance(task, Task)
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10)),
    )
    fit(net, task, training=TRAINING, seed=0, checkpoint=folder / "trained.safetensors")
    context = make_context(task, net.eval(), workspace=folder, training=TRAINING)
    model = Model(net)
    ways = {
        "binary weights": Binarize(),
        "binary weights and inputs, with K": Binarize(inputs="binary"),
        "binary weights and inputs, without K": Binarize(inputs="binary", input_scale="none"),
    }
    stored = {
        name: QuantizeWeights(bits=2, exclude=EDGES).apply(one.apply(model, context), context)
        for name, one in ways.items()
    }
    return [row("digits", model, stored, context)]
