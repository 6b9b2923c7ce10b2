"""Networks from a user's module, from torchvision and from timm: loaded safely, compressed the whole way."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn
from torch.nn.utils import prune

import netwright as nw
from netwright.core.errors import CheckpointError, CompressionError, ConfigurationError, MissingPackageError, RunError
from netwright.runs.compressing import load_own_model
from netwright.runs.own_models import built_model
from netwright.runs.search import create_run
from netwright.runs.specification import RunSpecification
from tests.runs import own_lstm

LATENCY = "latency: {pairs: 20, seconds: 0.2, warmup_seconds: 0.05}"


def coloured(folder: Path, *, count: int = 240) -> Path:
    """Images [N, 3, 32, 32] of 10 classes, told by the place of a bright square."""
    rng = np.random.default_rng(0)
    targets = np.arange(count) % 10
    images = rng.integers(0, 90, (count, 3, 32, 32))
    for image, target in zip(images, targets, strict=True):
        row, column = divmod(int(target), 4)
        image[target % 3, 10 * row : 10 * row + 8, 8 * column : 8 * column + 8] += 150
    path = folder / "images.npz"
    np.savez(path, inputs=images.astype(np.uint8), targets=targets.astype(np.int64))
    return path


def rows(folder: Path) -> Path:
    """The small digits as sequences of 8 rows, 8 features each."""
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    path = folder / "rows.npz"
    np.savez(path, inputs=images[:600].reshape(-1, 8, 8).astype(np.float32), targets=targets[:600].astype(np.int64))
    return path


def recipe(folder: Path, *, kind: str, data: Path, passes: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(
        f"name: own\ntask: {{kind: {kind}, path: {data}}}\n{LATENCY}\n"
        f"compress:\n  fine_tune: {{epochs: 1, batch_size: 32, samples: 96}}\n  passes: {passes}\n"
    )
    return path


def check_run(result: dict, *, kept: str) -> None:
    stages = {row["stage"]: row for row in result["stages"]}
    assert stages[kept]["kept"], stages[kept]["reason"]
    assert stages[kept]["params"] < stages["original"]["params"]
    bundle = Path(result["bundle"])
    card = json.loads((bundle / "card.json").read_text())
    assert card["parity"]["model.onnx"]["max_difference"] < 1e-3
    done = subprocess.run([sys.executable, "-I", "load.py"], cwd=bundle, capture_output=True, text=True, check=True)
    assert "tells 10 classes" in done.stdout


def test_a_users_lstm_goes_the_whole_way(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(own_lstm.build().state_dict(), tmp_path / "w.pt")
    passes = "[{kind: structured_prune, ratio: 0.3}]"
    path = recipe(tmp_path, kind="sequence_classification", data=rows(tmp_path), passes=passes)
    result = nw.compress_model(
        "tests.runs.own_lstm:build", weights=tmp_path / "w.pt", recipe=path, out=tmp_path / "run"
    )
    check_run(result, kept="structured_prune")


def test_a_run_that_was_cut_short_before_its_network_was_recorded_says_how_to_go_on(tmp_path: Path) -> None:
    description = {"name": "cut", "task": "digits", "compress": {"passes": ["quantize"]}}
    run = create_run(RunSpecification.parse(description), tmp_path / "run").path
    with pytest.raises(RunError, match=r"before its network was recorded; give `netwright compress --model`.*--out"):
        nw.compress(run)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["torchvision:resnet18", "timm:resnet10t"])
def test_a_network_of_a_collection_goes_the_whole_way(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("torchvision")
    pytest.importorskip(model.partition(":")[0])
    passes = "[{kind: structured_prune, ratio: 0.5}, quantize]"
    path = recipe(tmp_path, kind="image_classification", data=coloured(tmp_path), passes=passes)
    result = nw.compress_model(model, recipe=path, out=tmp_path / "run")
    check_run(result, kept="structured_prune")
    assert f"{model} has random weights" in caplog.text
    again = nw.export_trial(tmp_path / "run", trial="best", format_name="safetensors", out=tmp_path / "again")
    assert "model.safetensors" in again["files"]


@pytest.mark.parametrize("model", ["torchvision:resnet18", "timm:resnet18"])
def test_a_collections_network_has_as_many_classes_as_the_task(model: str, tmp_path: Path) -> None:
    pytest.importorskip(model.partition(":")[0])
    net = built_model(model, outputs=7)
    assert net.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    again = load_own_model(model, tmp_path / "w.safetensors", outputs=7)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    with pytest.raises(CheckpointError, match="do not fit"):
        load_own_model(model, tmp_path / "w.safetensors", outputs=8)
    with pytest.raises(ConfigurationError, match=r"has no network 'resnet19'; did you mean resnet1"):
        built_model(f"{model.partition(':')[0]}:resnet19")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("googlenet", 64), ("inception_v3", 96)])
def test_auxiliary_heads_are_left_out_once_their_weights_are_read(name: str, size: int, tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision").models
    torch.save(models.get_model(name, weights=None, num_classes=3, init_weights=False).state_dict(), tmp_path / "w.pt")
    net = built_model(f"torchvision:{name}", outputs=3, weights=tmp_path / "w.pt").train()
    assert net(torch.zeros(2, 3, size, size)).shape == (2, 3)
    assert not any("aux" in path.lower() for path in net.state_dict())


def test_no_part_of_a_network_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision")

    def refuse(url: str, *_: object, **__: object) -> None:
        raise AssertionError(f"{url} was asked for")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", "/nowhere")
    net = built_model("torchvision:lraspp_mobilenet_v3_large", outputs=2)
    assert net(torch.zeros(1, 3, 32, 32))["out"].shape == (1, 2, 32, 32)


def test_weights_that_no_file_has_are_the_same_again_and_leave_the_callers_chances_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    nets = [built_model("tests.runs.own_lstm:build").state_dict() for _ in range(2)]
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("collection", ["torchvision", "timm"])
def test_a_missing_collection_is_named_with_its_pip_line(collection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, collection, None)  # python's own way to make an import fail
    monkeypatch.setitem(sys.modules, f"{collection}.models", None)
    with pytest.raises(MissingPackageError, match=f"pip install {collection}"):
        built_model(f"{collection}:resnet18")


def _needs(width: int, *, depth: int) -> nn.Module:
    return nn.Linear(width, depth)


def _fails() -> nn.Module:
    raise KeyError("no configuration")


def _scripted() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.Linear(3, 2)))


def _quantized() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)), {nn.Linear})


class _Digits(nn.Module):
    """A network for 8x8 digits that gives something else than their logits."""

    def __init__(self, give: str) -> None:
        super().__init__()
        self.give, self.layer = give, nn.Linear(64, 10)
        self.register_buffer("cache", torch.zeros(0, 64))

    def forward(self, x: torch.Tensor) -> object:
        logits = self.layer(x.flatten(1))
        gives = {"pair": (logits, x), "named": {"logits": logits}, "few": logits[:, :5], "class": logits.argmax(1)}
        gives["rows"] = logits.unflatten(1, (5, 2))
        if self.give == "grows":
            self.cache = torch.zeros(1, 64)
            gives["grows"] = logits
        return gives.get(self.give, logits * float("nan"))


def _pair() -> nn.Module:
    return _Digits("pair")


def _named() -> nn.Module:
    return _Digits("named")


def _few() -> nn.Module:
    return _Digits("few")


def _class() -> nn.Module:
    return _Digits("class")


def _rows() -> nn.Module:
    return _Digits("rows")


def _grows() -> nn.Module:
    return _Digits("grows")


def _nan() -> nn.Module:
    return _Digits("nan")


@pytest.mark.parametrize(
    ("build", "told"),
    [
        ("_pair", "gives a tuple of 2, and one tensor is expected; wrap it"),
        ("_named", "gives a dict of '[a-z]+', and one tensor is expected; wrap it"),
        ("_few", r"gives outputs \[batch, 5\]; the task expects \[batch, 10\]"),
        ("_class", r"gives outputs \[batch\]; the task expects \[batch, 10\]"),
        ("_rows", r"outputs \[batch, 5, 2\]; the task expects \[batch, 10\], .* end the network with torch.nn.Flatten"),
        (
            "_grows",
            r"'cache' another shape when it runs: \(0, 64\) became \(1, 64\); make it so in the constructor, or",
        ),
        ("_nan", "outputs that are no finite numbers"),
    ],
)
def test_a_network_that_gives_something_else_is_told_before_a_folder_is_made(
    build: str, told: str, tmp_path: Path
) -> None:
    given = {"name": "own", "task": "digits", "compress": {"passes": ["quantize"]}}
    with pytest.raises(CompressionError, match=told):
        nw.compress_model(f"{__name__}:{build}", recipe=given, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_are_told_by_their_names(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "w.safetensors")
    told = r"lacks '0\.bias', '0\.weight', '1\.bias' and 1 more; the file has 'a', 'b', which the model has not"
    with pytest.raises(CheckpointError, match=told):
        load_own_model(f"{__name__}:_two_layers", tmp_path / "w.safetensors")


def _two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))


@pytest.mark.filterwarnings("ignore")  # torch's own, that these ways are old
@pytest.mark.parametrize(
    ("build", "told"),
    [
        (
            "_needs",
            r"needs width, depth, and is called without arguments; .*`def build\(\): return _needs\(width=\.\.\.\)`",
        ),
        ("_fails", r"failed with KeyError: 'no configuration' \(test_own_models\.py, line \d+\)"),
        ("_scripted", r"is a TorchScript program; passes work on the float network"),
        ("_quantized", r"is quantized already, with Linear at '0'; passes work on the float network"),
    ],
)
def test_what_cannot_be_built_or_compressed_is_told(build: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        built_model(f"tests.runs.test_own_models:{build}")


def _compiled() -> nn.Module:
    return torch.compile(nn.Linear(3, 2))


def test_a_compiled_network_is_the_one_below(tmp_path: Path) -> None:
    save_file(_compiled().state_dict(), tmp_path / "w.safetensors")
    net = built_model("tests.runs.test_own_models:_compiled", weights=tmp_path / "w.safetensors")
    assert type(net) is nn.Linear


class Normed(nn.Module):
    """Layers whose weights are computed from other parameters, or are shared."""

    def __init__(self) -> None:
        super().__init__()
        self.new = nn.utils.parametrizations.weight_norm(nn.Linear(64, 12))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.old = nn.utils.weight_norm(nn.Linear(12, 12))
        self.spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(12, 12))
        self.masked = prune.l1_unstructured(nn.Linear(12, 12), "weight", amount=0.5)
        self.tied = nn.Linear(12, 12)
        self.tied.bias = self.spectral.bias
        self.out = nn.Linear(12, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.tied(self.masked(self.spectral(torch.relu(self.old(self.new(x.flatten(1))))))))


def test_weights_become_plain_and_compute_the_same(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = Normed().eval()
    save_model(net, str(tmp_path / "w.safetensors"))
    torch.manual_seed(2)
    found = load_own_model(f"{__name__}:Normed", tmp_path / "w.safetensors")
    inputs = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(found(inputs), net(inputs), atol=1e-6)
    names = {"new", "old", "spectral", "masked", "tied", "out"}
    assert {name for name, _ in found.named_parameters(remove_duplicate=False)} == {
        f"{name}.{kind}" for name in names for kind in ("weight", "bias")
    }
    copy.deepcopy(found)
