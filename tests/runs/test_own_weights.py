"""Weights are found in whatever form a training left them, and nothing in a stranger's file is run."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from netwright.core.errors import CheckpointError, ConfigurationError
from netwright.runs.own_models import built_model
from netwright.runs.own_weights import read_state

State = dict[str, Tensor]


class Net(nn.Module):
    """Layers, a buffer that is stored and one that is not."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 2)
        self.register_buffer("kept", torch.ones(2))
        self.register_buffer("passing", torch.ones(2), persistent=False)


NET = Net()
OWN: State = {name: tensor.clone() for name, tensor in Net().state_dict().items()}


def put_before(prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in OWN.items()}


def optimizer() -> dict:
    net = Net()
    made = torch.optim.Adam(net.parameters())
    net.head(net.body(torch.ones(2, 4))).sum().backward()
    made.step()
    return made.state_dict()


def check(path: Path) -> None:
    found = read_state(path, own=OWN)
    assert found.keys() == OWN.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in OWN.items())


FORMS = {
    "plain": OWN,
    "net": {"net": OWN, "acc": 88.1, "epoch": 3},
    "state_dict": {"epoch": 1, "state_dict": OWN, "optimizer": optimizer()},
    "model_state_dict": {"model_state_dict": OWN, "optimizer_state_dict": optimizer(), "loss": torch.tensor(1.0)},
    "ema": {"ema": OWN},
    "deeper": {"state": {"model": OWN}},
    "DataParallel": put_before("module."),
    "compiled": put_before("_orig_mod.module."),
    "Lightning": {
        "state_dict": {**put_before("model."), "criterion.weight": torch.ones(3)},
        "hyper_parameters": {"lr": 0.1},
        "callbacks": {},
        "optimizer_states": [optimizer()],
    },
    "arguments": {"model": OWN, "args": argparse.Namespace(lr=0.1, out=Path("x"))},
    "numpy": {"model": OWN, "best": np.float64(0.8), "curve": np.ones(3)},
    "whole": Net(),
    "whole in a checkpoint": {"model": Net(), "epoch": 1},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_checkpoint_of_any_form_gives_the_weights(form: str, tmp_path: Path) -> None:
    torch.save(FORMS[form], tmp_path / "w.pth")
    check(tmp_path / "w.pth")


def test_safetensors_may_have_a_prefix_or_lie_in_parts(tmp_path: Path) -> None:
    save_file(put_before("model."), tmp_path / "w.safetensors")
    check(tmp_path / "w.safetensors")
    parts = {f"model-0000{i + 1}-of-00002.safetensors": dict(list(OWN.items())[i::2]) for i in range(2)}
    for name, part in parts.items():
        save_file(part, tmp_path / name)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {key: f"elsewhere/{name}" for name, p in parts.items() for key in p}}))
    check(index)
    (tmp_path / next(iter(parts))).unlink()
    with pytest.raises(CheckpointError, match=r"model-00001-of-00002\.safetensors cannot be read: No such file"):
        read_state(index, own=OWN)
    index.write_text("[]")
    with pytest.raises(CheckpointError, match="has no `weight_map`"):
        read_state(index, own=OWN)


def test_of_two_sets_that_fit_the_first_is_taken_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = Net(seed=1).state_dict()
    torch.save({"model": OWN, "ema": other}, tmp_path / "w.pt")
    check(tmp_path / "w.pt")
    assert "w.pt holds model and ema, which fit alike: model is taken" in caplog.text
    torch.save({**put_before("student."), **{f"teacher.{name}": one for name, one in other.items()}}, tmp_path / "t.pt")
    check(tmp_path / "t.pt")
    assert "holds student.* and teacher.*" in caplog.text


def wrapped() -> nn.Module:
    outer = nn.Module()
    outer.module = nn.Linear(3, 2)
    return outer


def test_a_prefix_that_is_the_networks_own_stays(tmp_path: Path) -> None:
    torch.save(wrapped().state_dict(), tmp_path / "w.pt")
    found = built_model(f"{__name__}:wrapped", weights=tmp_path / "w.pt")
    assert list(found.state_dict()) == ["module.weight", "module.bias"]


class Program:
    """Would write a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return np.savetxt, (self.path, [1.0])


class Command:
    """Would run a command when unpickled."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch ran",)


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": OWN, "x": Program(tmp_path / "ran")}, tmp_path / "w.pt")
    check(tmp_path / "w.pt")
    for new in (True, False):
        torch.save({"model": OWN, "x": Command()}, tmp_path / "w.pt", _use_new_zipfile_serialization=new)
        with pytest.raises(CheckpointError, match=r"holds objects of posix\.system, not tensors alone"):
            read_state(tmp_path / "w.pt", own=OWN)
    assert not (tmp_path / "ran").exists()


def test_other_files_are_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.save({"optimizer": [1, 2]}, tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"holds no tensors by name; save model\.state_dict"):
        read_state(tmp_path / "list.pt", own=OWN)
    torch.jit.script(nn.Linear(3, 2)).save(tmp_path / "script.pt")
    with pytest.raises(CheckpointError, match=r"save model\.state_dict"):
        read_state(tmp_path / "script.pt", own=OWN)
    (tmp_path / "text.safetensors").write_text("hello, this is no tensor")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_state(tmp_path / "text.safetensors", own=OWN)
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    with pytest.raises(CheckpointError, match=r"neither a file of torch\.save nor one of safetensors"):
        read_state(tmp_path / "page.pth", own=OWN)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_state(tmp_path / "absent.pt", own=OWN)


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (torch.ones(2, 3, dtype=torch.int8), "int8"),
        (torch.ones(2, 3, dtype=torch.complex64), "complex64"),
        (torch.ones(2, 3).to_sparse(), "sparse_coo"),
        (torch.ones(2, 3, device="meta"), "on meta"),
    ],
)
def test_tensors_that_would_be_taken_for_something_else_are_refused(tensor: Tensor, told: str, tmp_path: Path) -> None:
    torch.save({**OWN, "head.weight": tensor}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=rf"'head\.weight' is .*{told}.*, plain floats are expected"):
        built_model(f"{__name__}:Net", weights=tmp_path / "w.pt")


def test_a_network_that_is_there_already_is_copied(tmp_path: Path) -> None:
    torch.save(Net(seed=1).state_dict(), tmp_path / "w.pt")
    found = built_model(f"{__name__}:NET", weights=tmp_path / "w.pt")
    assert not torch.equal(found.head.weight, OWN["head.weight"])
    assert torch.equal(NET.head.weight, OWN["head.weight"])


def test_a_name_that_is_not_there_and_a_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has no attribute 'wraped'; did you mean 'wrapped'\?"):
        built_model(f"{__name__}:wraped")
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=r"net\.onnx is a file; name what builds the network"):
        built_model(str(tmp_path / "net.onnx"))


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    net = nn.Linear(4, 3).half()
    torch.save(net.state_dict(), tmp_path / "w.pt")
    found = built_model(f"{__name__}:half_linear", weights=tmp_path / "w.pt")
    assert found.weight.dtype == torch.float32
    assert torch.equal(found.weight, net.weight.float())


def half_linear() -> nn.Module:
    return nn.Linear(4, 3).half()
