"""What docs/own-model.md shows to load a compressed network does so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx, nn

from netwright.compression.binary_inputs import with_binary_inputs
from netwright.compression.patch import difference, save_weights
from tests.conftest import ROOT


def _net(width: int, head: nn.Module) -> nn.Module:
    first = [nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), _Own(width, width, 1, groups=width)]
    return nn.Sequential(*first, _Sized(width), nn.Flatten(), head).eval()


class _Sized(nn.Module):
    """A module that says a width itself, and asks with which of its versions a file of weights was made."""

    _version = 2

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        assert metadata.get("version") == 2
        super()._load_from_state_dict(state, prefix, metadata, *rest)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden_size = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.ones(self.hidden_size, 1, 1)


class _Own(nn.Conv2d):
    """A layer of a class that torch does not have."""


def _wired() -> nn.Module:
    """Layers, a tensor and functions by a graph, inside of which is another."""

    class Wired(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(64, 5, bias=False), nn.ReLU())
            self.head = with_binary_inputs(nn.Linear(5, 10), axes=2, normalised=False, scaled=True)
            self.scale = nn.Parameter(torch.randn(10))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.head(self.body[0](x))[:, :4], self.body(x)[:, :3], x[:, 1:4]], dim=1) * self.scale

    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, path: str) -> bool:
            return path in ("head", "body.0", "body.1")

    net = Wired().eval()
    return fx.GraphModule(net, Tracer().trace(net)).eval()


@pytest.mark.parametrize("head", [lambda: nn.Sequential(nn.Linear(64, 5, bias=False), nn.Linear(5, 10)), _wired])
def test_the_pages_loader_gives_the_compressed_network(head: Callable[[], nn.Module], tmp_path: Path) -> None:
    page = (ROOT / "docs" / "own-model.md").read_text(encoding="utf-8")
    code = page[page.index("**Back in PyTorch") :].split("```python\n")[1].split("```")[0]
    assert "netwright" not in code
    base = _net(8, nn.Linear(128, 10))
    smaller = _net(4, head())
    patch = difference(base, smaller)
    (tmp_path / "architecture.json").write_text(json.dumps({"base": "mine:build", "patch": patch}))
    save_weights(smaller, tmp_path / "weights.safetensors")
    defined: dict[str, Any] = {}
    exec(code, defined)
    inputs = torch.randn(3, 1, 4, 4)
    assert torch.equal(defined["compressed"](base, str(tmp_path))(inputs), smaller(inputs))
