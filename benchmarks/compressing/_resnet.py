"""ResNet-20 and ResNet-56 trained on CIFAR-10, and the task they were trained for.

The networks are those of He et al. (CVPR 2016, section 4.2) with shortcuts of kind A, the weights those of
akamaster/pytorch_resnet_cifar10 (BSD-2) in $NETWRIGHT_DATA/pretrained.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cifar10
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, Preprocessing
from netwright.tasks.task import Task

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BLOCKS = {20: 3, 56: 9}
TEST = 10000
ACCURACY = {20: 0.9173, 56: 0.9339}
"""Of the trained weights on the 10,000 test images."""


class Shortcut(nn.Module):
    """Every second pixel of every second row, with as many silent channels on both sides as are missing."""

    def __init__(self, missing: int) -> None:
        super().__init__()
        self.missing = missing

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        side = self.missing // 2
        return functional.pad(inputs[:, :, ::2, ::2], (0, 0, 0, 0, side, side))


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut around them."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.shortcut: nn.Module = nn.Identity() if stride == 1 else Shortcut(outside - inside)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        middle = functional.relu(self.bn1(self.conv1(inputs)))
        return functional.relu(self.bn2(self.conv2(middle)) + self.shortcut(inputs))


class ResNet(nn.Module):
    """Three groups of blocks with 16, 32 and 64 channels, then their mean and a linear layer."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._group(16, 16, BLOCKS[depth])
        self.layer2 = self._group(16, 32, BLOCKS[depth])
        self.layer3 = self._group(32, 64, BLOCKS[depth])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, 10)

    def _group(self, inside: int, outside: int, blocks: int) -> nn.Sequential:
        first = Block(inside, outside, 1 if inside == outside else 2)
        return nn.Sequential(first, *(Block(outside, outside, 1) for _ in range(blocks - 1)))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values = functional.relu(self.bn1(self.conv1(inputs)))
        values = self.layer3(self.layer2(self.layer1(values)))
        logits: torch.Tensor = self.linear(torch.flatten(self.pool(values), 1))
        return logits


def pretrained(depth: int) -> ResNet:
    """The trained network of depth 20 or 56, in evaluation mode; its inputs are preprocessed by `Cifar10`.

    Raises DataError when the weights are not there.
    """
    path = data_folder() / "pretrained" / f"resnet{depth}_cifar10.npz"
    if not path.is_file():
        raise DataError(f"no weights at {path}: set NETWRIGHT_DATA to the folder that holds pretrained/{path.name}")
    net = ResNet(depth)
    with np.load(path) as stored:
        state = {name: torch.from_numpy(stored[name]) for name in stored.files}
    missing, unexpected = net.load_state_dict(state, strict=False)
    lost = [name for name in missing if not name.endswith("num_batches_tracked")]
    if lost or unexpected:
        raise DataError(f"{path.name} does not hold this network: missing {lost}, unexpected {list(unexpected)}")
    return net.eval()


def data_folder() -> Path:
    """Where the data lies."""
    return Path(os.environ.get("NETWRIGHT_DATA", Path(__file__).parents[2] / "../shared/data"))


class Cifar10(Task):
    """CIFAR-10 as the trained networks take it; the test part is the original 10,000 images, or the first of them.

    Fine-tuning mirrors images and moves them by up to 4 pixels with `shift=4, flip=True`.
    """

    samples: int = 50000
    test_samples: int = TEST

    def load(self) -> Arrays:
        try:
            return Arrays(train=cifar10.images(self.samples), test=cifar10.images(self.test_samples, part="test"))
        except cifar10.NoDataError as error:
            raise DataError(str(error)) from error

    def preprocess(self, inputs: AnyArray) -> Preprocessing:
        del inputs
        return Preprocessing(1 / 255, MEAN, STD)


def correct(run: Any, task: Task) -> int:
    """How many of the test images `run`, a callable on preprocessed batches, puts into the right class."""
    test, ready = task.test_split(), task.data().preprocessing
    hits = 0
    for start in range(0, len(test), 500):
        logits = np.asarray(run(ready(test.inputs[start : start + 500])))
        hits += int((logits.argmax(1) == test.targets[start : start + 500]).sum())
    return hits


def in_torch(net: nn.Module) -> Any:
    """A network as a callable on arrays."""

    def run(batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with torch.no_grad():
            return np.asarray(net(torch.from_numpy(batch)))

    return run
