"""Networks that ask stored weights for their version, as torchvision's MNASNet does, take files of plain tensors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from netwright.compression.patch import difference, load_compressed, save_weights
from netwright.core.plugins import build
from netwright.runs.artifacts import load_state
from netwright.runs.own_weights import read_state
from netwright.search_spaces.model_reading import made_by
from netwright.tasks.settings import Training
from netwright.tasks.training import fit


class Versioned(nn.Sequential):
    _version = 2

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))

    def _load_from_state_dict(self, state: Any, prefix: str, local_metadata: dict[str, Any], *rest: Any) -> None:
        if local_metadata.get("version") != 2:
            raise ValueError(f"version should be 2 instead of {local_metadata.get('version')}")
        super()._load_from_state_dict(state, prefix, local_metadata, *rest)


def _equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_weights_of_a_file_are_loaded(tmp_path: Path) -> None:
    net, other = Versioned(), Versioned()
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    assert _equal(load_state(other, read_state(tmp_path / "w.safetensors", own=net.state_dict()), source="w"), net)


def test_a_space_is_made_of_it_with_weights() -> None:
    net = Versioned()
    assert _equal(made_by(Versioned, "own:Versioned", dict(net.state_dict())), net)


def test_the_compressed_network_is_loaded(tmp_path: Path) -> None:
    net, small = Versioned(), Versioned()
    small[1], small[3] = nn.Linear(64, 8), nn.Linear(8, 10)
    save_weights(small, tmp_path / "w.safetensors")
    assert _equal(load_compressed(net, patch=difference(net, small), weights=tmp_path / "w.safetensors"), small)


def test_a_training_goes_on(tmp_path: Path) -> None:
    net, path, training = Versioned(), tmp_path / "training.safetensors", Training(epochs=2, samples=64)
    task, again = build("task", "digits"), copy.deepcopy(net)
    fit(net, task, training=training, seed=0, checkpoint=path, on_epoch=lambda row: False)
    rows = fit(again, task, training=training, seed=0, checkpoint=path).rows
    assert [row["epoch"] for row in rows] == [1, 2]
