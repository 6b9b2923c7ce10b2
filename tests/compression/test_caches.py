"""Buffers that a network makes for itself when it runs are no part of its architecture."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from netwright.compression.patch import describe, difference, load_compressed, save_weights


class Caching(nn.Module):
    """A network that makes a table for itself when it first runs, as those for places in a sequence are."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("table", torch.zeros(0, 4), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.table = torch.ones(1, 4) if len(self.table) == 0 else self.table
        return self.layer(x + self.table)


def test_what_a_network_makes_for_itself_is_no_part_of_its_patch(tmp_path: Path) -> None:
    fresh, used = Caching(), Caching()
    inputs = torch.randn(5, 4)
    wanted = used(inputs)
    assert describe(fresh) == describe(used)
    save_weights(used, tmp_path / "w.safetensors")
    patch = difference(fresh, used)
    again = load_compressed(fresh, patch=patch, weights=tmp_path / "w.safetensors")
    torch.testing.assert_close(again(inputs), wanted, rtol=0, atol=0)
