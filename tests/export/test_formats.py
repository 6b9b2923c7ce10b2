"""Every format plugin keeps the contract of its kind."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from export_networks import Recurrent, convnet, mlp, samples
from torch import nn

from netwright.core.errors import CheckpointError, MissingPackageError
from netwright.core.plugins import build, names, spec_of, summary
from netwright.export.format import Format
from netwright.export.weights import read_weights

EXAMPLE = samples(2, 1, 12, 12)


def recurrent() -> nn.Module:
    return Recurrent(nn.GRU)


@pytest.mark.parametrize("name", names("format"))
def test_format_keeps_its_contract(name: str, tmp_path: Path) -> None:
    form = build("format", name)
    assert isinstance(form, Format)
    assert form.suffix.startswith(".")
    model, example = (recurrent(), samples(2, 9, 5)) if form.any_length else (convnet(), EXAMPLE)
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    path = tmp_path / "new folder" / f"model{form.suffix}"
    for _ in range(2):  # writing again replaces
        try:
            assert form.write(model, path, example=example) == path
        except MissingPackageError as error:
            pytest.skip(str(error))
    assert path.stat().st_size > 0
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not [left for left in path.parent.iterdir() if left.name.startswith(".")]
    assert not any(_is_pickle(file) for file in path.parent.iterdir())
    assert build("format", spec_of(form)) == form
    assert summary("format", name).endswith(".")


PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _is_pickle(path: Path) -> bool:
    """Pickles start with their protocol's mark and end with a stop; archives are looked into, and those inside them."""
    return _holds_pickle(path.read_bytes())


def _holds_pickle(content: bytes) -> bool:
    if not content.startswith(b"PK"):
        return content.startswith(PICKLES) and content.endswith(b".")  # a weight may begin like one
    with ZipFile(BytesIO(content)) as archive:
        return any(_holds_pickle(archive.read(name)) for name in archive.namelist())


def test_a_pickle_in_an_archive_is_seen(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2)}, tmp_path / "w.pt")
    assert _is_pickle(tmp_path / "w.pt")


def test_weights_come_back_exactly(tmp_path: Path) -> None:
    model = convnet()
    path = build("format", "safetensors").write(model, tmp_path / "m.safetensors", example=EXAMPLE)
    other = convnet()
    with torch.no_grad():
        for value in other.state_dict().values():
            value.zero_()
    read_weights(other, path)
    assert all(torch.equal(other.state_dict()[key], value) for key, value in model.state_dict().items())


def test_the_architecture_lies_beside_the_weights(tmp_path: Path) -> None:
    form = build("format", "safetensors")
    form.write(mlp(), tmp_path / "m.safetensors", example=EXAMPLE)
    modes = {one.stat().st_mode for one in tmp_path.iterdir()}
    assert len(modes) == 1, "whoever may read the architecture may read the weights"
    listed = json.loads((tmp_path / "m.json").read_text())
    assert listed["input_shape"] == [1, 12, 12]
    assert {"path": "1", "type": "Linear"}.items() <= listed["layers"][1].items()
    assert listed["layers"][1]["params"] == {"weight": [32, 144], "bias": [32]}
    form.write(mlp(), tmp_path / "m.safetensors", example=EXAMPLE, architecture={"nodes": []})
    assert json.loads((tmp_path / "m.json").read_text()) == {"nodes": []}


def test_shared_weights_are_stored_once(tmp_path: Path) -> None:
    layer = nn.Linear(6, 6)
    path = build("format", "safetensors").write(
        nn.Sequential(layer, layer), tmp_path / "m.safetensors", example=samples(1, 6)
    )
    assert path.stat().st_size < 2 * 4 * 42 + 300


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = build("format", "safetensors").write(mlp(), tmp_path / "m.safetensors", example=EXAMPLE)
    with pytest.raises(CheckpointError, match=r"m\.safetensors does not fit Sequential"):
        read_weights(convnet(), path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        read_weights(mlp(), path)
