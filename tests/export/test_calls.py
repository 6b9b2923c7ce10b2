"""Networks said as calls of torch's operators: the weights' file and JSON give what the network gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from export_networks import NETWORKS, Deciding, samples
from torch import nn

from netwright.core.plugins import build
from netwright.export.calls import read_calls


class Shared(nn.Module):
    """Weights under two names, a buffer and a constant that no file of weights has, and keywords."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.arange(6.0), persistent=False)
        self.second = nn.Linear(6, 6)
        self.first = self.second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.gelu(self.second(self.first(x + self.places)), approximate="tanh")
        return torch.cat([x.view(x.shape[0], -1, 2).flatten(1), torch.tensor([1.0, 2.0]).expand(x.shape[0], 2)], dim=1)


@pytest.mark.parametrize("name", [*NETWORKS, "shared"])
def test_the_file_computes_what_the_network_does_at_any_batch_size(name: str, tmp_path: Path) -> None:
    make, shape = {**NETWORKS, "shared": (Shared, (6,))}[name]
    torch.manual_seed(0)
    model, form = make().eval(), build("format", "safetensors")
    run = form.opened(form.write(model, tmp_path / "m.safetensors", example=samples(3, *shape)))
    for count in (1, 7):
        inputs = samples(count, *shape)
        with torch.no_grad():
            wanted = model(torch.from_numpy(inputs)).numpy()
        np.testing.assert_allclose(run(inputs), wanted, atol=1e-6)


def test_a_network_that_cannot_be_followed_leaves_its_weights_alone(tmp_path: Path) -> None:
    form = build("format", "safetensors")
    model = nn.Sequential(nn.Linear(3, 2), Deciding())
    path = form.write(model, tmp_path / "m.safetensors", example=samples(2, 3))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["m.json", "m.safetensors"]
    assert form.opened(path) is None
    assert form.scripts(path) == {}


@pytest.mark.parametrize("called", ["operator.methodcaller", "aten.from_file.default", "load", "hub.load.default"])
def test_what_no_network_needs_is_refused(called: str, tmp_path: Path) -> None:
    path = tmp_path / "calls.json"
    path.write_text(json.dumps({"constants": {}, "calls": [["output", called, ["x"], {}]]}))
    with pytest.raises(ValueError, match="is no operator of a network"):
        read_calls(path)
    path.write_text(json.dumps({"constants": {"a": {"dtype": "load", "data": "x"}}, "calls": []}))
    with pytest.raises(ValueError, match=r"torch\.load is no type"):
        read_calls(path)
