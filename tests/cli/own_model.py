"""A trained network of a user's own, for tests of `netwright compress --model`."""

from __future__ import annotations

import signal

import torch
from torch import nn


def build() -> nn.Module:
    """A small convolutional network for 8x8 digits."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


class Stopping(nn.Module):
    """A network in whose second call somebody presses Ctrl-C."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == 2:
            signal.raise_signal(signal.SIGINT)
        outputs: torch.Tensor = self.layer(x.flatten(1))
        return outputs
