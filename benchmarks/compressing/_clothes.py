"""A convolutional network trained on the bundled clothes, for cases that compare passes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from netwright.compression.context import Context, make_context
from netwright.core.plugins import build
from netwright.tasks.settings import Training
from netwright.tasks.task import Task
from netwright.tasks.training import evaluate, fit

WIDTHS = (1, 32, 64, 96)


def trained(folder: Path, *, fine_tune: Training) -> tuple[nn.Module, Context]:
    """The network after six epochs, and the context to compress it in; goes on from what is in the folder."""
    task = build("task", "fashion_mnist")
    assert isinstance(task, Task)
    torch.manual_seed(0)
    blocks: list[nn.Module] = []
    for before, after in pairwise(WIDTHS):
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(864, 128), nn.ReLU(), nn.Linear(128, 10))
    fit(net, task, training=Training(epochs=6), seed=0, checkpoint=folder / "trained.safetensors")
    return net.eval(), make_context(task, net, workspace=folder / "work", training=fine_tune, seed=0)


def accuracy(module: nn.Module, context: Context) -> float:
    """On all 2,000 test images."""
    return evaluate(module, context.task, "test")["accuracy"]
