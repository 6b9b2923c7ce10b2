"""What docs/own-model.md shows to load a compressed network does so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netwright.compression.patch import difference, save_weights
from tests.conftest import ROOT


def _net(width: int, head: nn.Module) -> nn.Module:
    first = [nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), _Own(width, width, 1, groups=width)]
    return nn.Sequential(*first, _Sized(width), nn.Flatten(), head).eval()


class _Sized(nn.Module):
    """A module that says a width itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden_size = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.ones(self.hidden_size, 1, 1)


class _Own(nn.Conv2d):
    """A layer of a class that torch does not have."""


def test_the_pages_loader_gives_the_compressed_network(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "own-model.md").read_text(encoding="utf-8")
    code = page[page.index("**Back in PyTorch") :].split("```python\n")[1].split("```")[0]
    assert "netwright" not in code
    base = _net(8, nn.Linear(128, 10))
    smaller = _net(4, nn.Sequential(nn.Linear(64, 5, bias=False), nn.Linear(5, 10)))
    patch = difference(base, smaller)
    (tmp_path / "architecture.json").write_text(json.dumps({"base": "mine:build", "patch": patch}))
    save_weights(smaller, tmp_path / "weights.safetensors")
    defined: dict[str, Any] = {}
    exec(code, defined)
    inputs = torch.randn(3, 1, 4, 4)
    assert torch.equal(defined["compressed"](base, str(tmp_path))(inputs), smaller(inputs))
