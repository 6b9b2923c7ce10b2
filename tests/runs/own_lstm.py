"""A user's own recurrent network, for tests of `netwright compress --model`."""

from __future__ import annotations

import torch
from torch import nn


class RowReader(nn.Module):
    """Reads rows of 8 features with two LSTM layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.recurrent = nn.LSTM(16, 32, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrent(torch.relu(self.embed(x)))[0][:, -1])


def build() -> nn.Module:
    return RowReader()
