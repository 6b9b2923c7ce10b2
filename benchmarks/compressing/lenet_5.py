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


def with_norms() -> nn.Module:
    """A network of another kind that is wrong less often, to teach: 124,778 parameters, batch normalisation."""

    def convolved(before: int, after: int, *, kernel: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False)
        return [conv, nn.BatchNorm2d(after), nn.ReLU()]

    return nn.Sequential(
        *convolved(1, 32, kernel=5, stride=2),
        *convolved(32, 64, kernel=3, stride=2),
        *convolved(64, 64, kernel=3, stride=1),
        *convolved(64, 64, kernel=3, stride=1),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64 * 49, 10),
    )


TEACHER = _lenet.Case(
    name="with norms",
    build=with_norms,
    task=Mnist(shift=2),
    training=Training(epochs=6, learning_rate=3e-3, weight_decay=1e-2),
    recipes={},
)
HOW: dict[str, Any] = {
    "training": {"epochs": 5, "learning_rate": 2e-3, "weight_decay": 1e-2},
    "distillation": {"temperature": 4, "weight": 0.9},
}
PRUNE = {"kind": "unstructured_prune", "density": 0.06}
SHARE = {"kind": "share_weights", "bits": 4, "biases": True, "epochs": 2, "learning_rate": 5e-4}
CASE = _lenet.Case(
    name="lenet-5",
    build=lenet_5,
    task=Mnist(shift=1),
    training=Training(epochs=6, learning_rate=2e-3, weight_decay=1e-2),
    teacher=TEACHER,
    recipes={
        "lenet-5": _lenet.recipe(PRUNE, SHARE, "entropy_code", **HOW),
        "lenet-5, further": _lenet.recipe(
            PRUNE, {"kind": "unstructured_prune", "density": 0.03, "epochs": 4}, SHARE, "entropy_code", **HOW
        ),
    },
)


def measure(folder: Path) -> list[dict[str, Any]]:
    return _lenet.rows(CASE, folder)
