"""Deep Compression of LeNet-5 on MNIST: whole files, test errors, every stage's bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from compressing import _lenet
from compressing._mnist import Mnist
from netwright.tasks.settings import Training


def lenet_5() -> nn.Module:
    """The variant of Caffe, which Deep Compression starts from: 431,080 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.ReLU(),
        nn.Linear(500, 10),
    )


HOW: dict[str, Any] = {
    "training": {"epochs": 5, "learning_rate": 2e-3, "weight_decay": 1e-2},
    "distillation": {"temperature": 4, "weight": 0.9},
}
SHARE = {"kind": "share_weights", "bits": 4, "biases": True, "epochs": 2, "learning_rate": 5e-4}
CASE = _lenet.Case(
    name="lenet-5",
    build=lenet_5,
    task=Mnist(shift=1),
    training=Training(epochs=6, learning_rate=2e-3, weight_decay=1e-2),
    recipes={
        name: _lenet.recipe({"kind": "unstructured_prune", "density": density}, SHARE, "entropy_code", **HOW)
        for name, density in {"lenet-5": 0.06, "lenet-5, further": 0.03}.items()
    },
)


def measure(folder: Path) -> list[dict[str, Any]]:
    return _lenet.rows(CASE, folder)
