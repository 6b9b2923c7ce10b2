"""Deep Compression of LeNet-300-100 on MNIST: whole files, test errors, every stage's bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from compressing import _lenet, lenet_5
from compressing._mnist import Mnist
from netwright.tasks.settings import Training


def lenet_300_100() -> nn.Module:
    """Two hidden layers, 266,610 parameters (LeCun et al., 1998)."""
    layers = [nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)]
    return nn.Sequential(*layers)


HOW: dict[str, Any] = {
    "training": {"epochs": 16, "learning_rate": 2e-3, "weight_decay": 1e-2},
    "distillation": {"temperature": 4, "weight": 0.9},
}
PRUNE = {"kind": "unstructured_prune", "density": 0.08}
CASE = _lenet.Case(
    name="lenet-300-100",
    build=lenet_300_100,
    task=Mnist(),
    training=Training(epochs=15, learning_rate=2e-3, weight_decay=1e-2),
    teacher=lenet_5.CASE,
    recipes={
        "lenet-300-100": _lenet.recipe(
            PRUNE,
            {"kind": "share_weights", "bits": 4, "biases": True, "epochs": 3, "learning_rate": 5e-4},
            "entropy_code",
            **HOW,
        ),
        "lenet-300-100, further": _lenet.recipe(
            PRUNE,
            {"kind": "unstructured_prune", "density": 0.038, "epochs": 24},
            {
                "kind": "share_weights",
                "bits": 3,
                "layer_bits": {"1.weight": 2},
                "biases": True,
                "epochs": 6,
                "learning_rate": 1e-3,
            },
            "entropy_code",
            **HOW,
        ),
    },
)


def measure(folder: Path) -> list[dict[str, Any]]:
    return _lenet.rows(CASE, folder)
