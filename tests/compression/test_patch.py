"""A patch gives the compressed network back exactly, and refuses everything it was not made for."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from compression_nets import Net, residual, traced
from torch import fx, nn
from torch.nn import functional as F

from netwright.compression.patch import (
    LAYERS,
    apply_patch,
    describe,
    difference,
    load_compressed,
    patch_text,
    save_weights,
)
from netwright.compression.surgery import Cut, remove
from netwright.core.errors import CheckpointError, CompressionError

SAMPLES: list[nn.Module] = [
    nn.Linear(4, 3, bias=False),
    nn.Conv2d(4, 8, (3, 5), stride=2, padding="valid", dilation=2, groups=2, bias=False),
    nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"),
    nn.ConvTranspose2d(4, 6, 2, stride=2, output_padding=1),
    nn.Conv1d(3, 4, 3, padding="same"),
    nn.BatchNorm2d(5, eps=1e-3, momentum=None, affine=False),
    nn.BatchNorm1d(5, track_running_stats=False),
    nn.GroupNorm(2, 6, affine=False),
    nn.LayerNorm((4, 5), bias=False),
    nn.InstanceNorm2d(3, affine=True),
    nn.LSTM(4, 6, 2, batch_first=True, bidirectional=True, dropout=0.1, bias=False),
    nn.LSTM(4, 6, proj_size=3),
    nn.GRU(4, 6, bias=False),
    nn.RNN(4, 6, nonlinearity="relu"),
    nn.Embedding(7, 3, padding_idx=0),
    nn.PReLU(4),
    nn.GELU(approximate="tanh"),
    nn.LeakyReLU(0.3),
    nn.Hardtanh(-2.0, 2.0),
    nn.Softmax(dim=1),
    nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
    nn.AvgPool2d(2, count_include_pad=False),
    nn.AdaptiveAvgPool2d((1, None)),
    nn.Upsample(scale_factor=2, mode="nearest"),
    nn.Unflatten(1, (2, 3)),
    nn.Flatten(2),
    nn.Dropout(0.4),
    nn.ZeroPad2d(1),
]


def wired() -> nn.Module:
    """A graph of layers, a tensor of its own and functions."""
    net = Net(
        lambda s, x: torch.cat([F.relu(s.a(x))[:, 1:3], s.block(x).abs() * s.scale], dim=1).flatten(1),
        a=nn.Linear(4, 3),
        block=nn.Sequential(nn.Linear(4, 2), nn.ReLU()),
        scale=nn.Parameter(torch.ones(2)),
    )
    return traced(net)


def holder(layer: nn.Module) -> nn.Module:
    return nn.ModuleDict({"layer": layer})


@pytest.mark.parametrize("layer", SAMPLES, ids=lambda one: type(one).__name__)
def test_every_kind_of_layer_is_built_again(layer: nn.Module) -> None:
    base = holder(nn.Linear(999, 99))
    patch = json.loads(patch_text(difference(base, holder(layer))))
    built = apply_patch(base, patch)
    assert repr(built.layer) == repr(layer)
    shapes = {name: tensor.shape for name, tensor in layer.state_dict().items()}
    assert {name: tensor.shape for name, tensor in built.layer.state_dict().items()} == shapes
    assert difference(built, holder(layer))["changes"] == {}


def test_a_graph_of_layers_and_functions_is_built_again(tmp_path) -> None:
    base, small = holder(nn.Linear(999, 99)), holder(wired())
    patch = json.loads(patch_text(difference(base, small)))
    save_weights(small, tmp_path / "w.safetensors")
    loaded = load_compressed(base, patch=patch, weights=tmp_path / "w.safetensors")
    x = torch.randn(3, 4)
    assert torch.equal(loaded.layer(x), small.layer(x))
    assert difference(loaded, small)["changes"] == {}
    other = copy.deepcopy(small)
    next(node for node in other.layer.graph.nodes if node.target is F.relu).target = F.silu
    other.layer.recompile()
    rebuilt = apply_patch(small, json.loads(patch_text(difference(small, other))))
    assert "silu" in rebuilt.layer.code


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "call_anything"),
        (1, "not a name"),
        (1, "input_1"),
        (2, "os.system"),
        (2, "__class__"),
        (3, [{"of": "later"}]),
        (3, [{"eval": "1"}]),
        (4, {"a b": 1}),
        (4, []),
    ],
)
def test_a_step_that_a_graph_may_not_take_is_refused(place: int, value: object) -> None:
    base = holder(nn.Linear(999, 99))
    patch = json.loads(patch_text(difference(base, holder(wired()))))
    steps = patch["changes"]["layer"]["steps"]
    for step in steps[1:-1]:
        spoilt = copy.deepcopy(patch)
        one = next(other for other in spoilt["changes"]["layer"]["steps"] if other[1] == step[1])
        one[place] = value if value != "input_1" else steps[0][1]
        with pytest.raises(CheckpointError):
            apply_patch(base, spoilt)


@pytest.mark.parametrize("name", ["a\nb", "a\\", 'x"); import os', "a..b", "", "training", "a.b"])
def test_a_layer_of_a_graph_has_a_plain_name_of_its_own(name: str) -> None:
    base = holder(nn.Linear(999, 99))
    patch = json.loads(patch_text(difference(base, holder(wired()))))
    patch["changes"]["layer"]["layers"][name] = {"type": "ReLU", "args": {}}
    with pytest.raises(CheckpointError):
        apply_patch(base, patch)


@pytest.mark.parametrize("name", ["0-2.conv_1x1", "a b", "3x3/é"])
def test_layers_of_a_graph_may_be_called_as_one_likes(tmp_path, name: str) -> None:
    root = nn.Module()
    for place, part in enumerate(reversed(name.split("."))):
        inner, root = root, nn.Module()
        root.add_module(part, inner if place else nn.Linear(4, 5))
    graph = fx.Graph()
    graph.output(graph.call_function(F.relu, (graph.call_module(name, (graph.placeholder("x"),)),)))
    base, small = holder(nn.Linear(999, 99)), holder(fx.GraphModule(root, graph))
    save_weights(small, tmp_path / "w.safetensors")
    patch = json.loads(patch_text(difference(base, small)))
    loaded = load_compressed(base, patch=patch, weights=tmp_path / "w.safetensors")
    x = torch.randn(3, 4)
    assert torch.equal(loaded.layer(x), small.layer(x))


def test_a_function_that_a_patch_does_not_know_is_refused() -> None:
    with pytest.raises(CompressionError, match="which a patch cannot say"):
        difference(holder(nn.Linear(4, 4)), holder(traced(Net(lambda s, x: torch.fft.rfft(s.a(x)), a=nn.Linear(4, 4)))))


def test_all_listed_layers_are_torch_layers() -> None:
    assert all(issubclass(kind, nn.Module) and kind.__module__.startswith("torch.nn") for kind in LAYERS.values())


def test_nothing_changed_is_an_empty_patch() -> None:
    net = residual()
    assert difference(net, copy.deepcopy(net))["changes"] == {}


def test_a_layer_used_twice_stays_one_layer(tmp_path) -> None:
    layer = nn.Linear(8, 8)
    base = nn.Sequential(layer, nn.ReLU(), layer)
    factors = nn.Sequential(nn.Linear(8, 2, bias=False), nn.Linear(2, 8))
    small = nn.Sequential(factors, nn.ReLU(), factors)
    save_weights(small, tmp_path / "w.safetensors")
    loaded = load_compressed(base, patch=difference(base, small), weights=tmp_path / "w.safetensors")
    assert loaded[0] is loaded[2]
    x = torch.randn(3, 8)
    assert torch.equal(loaded(x), small(x))


def test_the_base_and_the_random_state_are_not_changed() -> None:
    base, small = holder(nn.Linear(8, 8)), holder(nn.Linear(8, 4))
    before, rng = copy.deepcopy(base.state_dict()), torch.get_rng_state()
    apply_patch(base, difference(base, small))
    assert all(torch.equal(a, b) for a, b in zip(before.values(), base.state_dict().values(), strict=True))
    assert torch.equal(rng, torch.get_rng_state())


class Odd(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(size))


def test_a_change_that_cannot_be_said_is_refused() -> None:
    with pytest.raises(CompressionError, match="cannot say"):
        difference(holder(Odd(4)), holder(Odd(3)))
    with pytest.raises(CompressionError, match="cannot describe"):
        difference(holder(nn.Linear(4, 4)), holder(Odd(3)))
    assert describe(holder(Odd(4)))["layer"]["tensors"] == {"scale": [4]}


class Scaled(nn.Linear):
    """A Linear layer that does with its weights what it likes."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(inputs, 0.5 * self.weight, self.bias)


def test_layers_of_a_class_of_their_own_may_get_smaller(tmp_path) -> None:
    base = nn.Sequential(Scaled(6, 8), nn.ReLU(), Scaled(8, 3)).eval()
    small = remove(base, [Cut("0", "out", (1, 5)), Cut("2", "in", (1, 5))])
    patch = json.loads(patch_text(difference(base, small)))
    assert patch["changes"]["0"] == {
        "type": "smaller",
        "tensors": {"weight": [6, 6], "bias": [6]},
        "args": {"in_features": 6, "out_features": 6},
    }
    save_weights(small, tmp_path / "w.safetensors")
    loaded = load_compressed(base, patch=patch, weights=tmp_path / "w.safetensors")
    x = torch.randn(4, 6)
    assert torch.equal(loaded(x), small(x))
    assert (type(loaded[0]), loaded[0].out_features) == (Scaled, 6)
    assert base[0].weight.shape == (8, 6)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("tensors", {"weight": [9, 6], "bias": [6]}, r"\[8, 6\] is the most"),
        ("tensors", {"weight": [6, 6]}, "do not belong"),
        ("tensors", {"weight": "all", "bias": [6]}, "is the most"),
        ("args", {"in_features": 6, "forward": 1}, "do not belong"),
        ("args", None, "may not"),
    ],
)
def test_a_layer_gets_no_other_sizes_than_smaller_ones(part: str, value: object, words: str) -> None:
    base = nn.Sequential(Scaled(6, 8), Scaled(8, 3))
    patch = json.loads(patch_text(difference(base, remove(base, [Cut("0", "out", (1,)), Cut("1", "in", (1,))]))))
    patch["changes"]["0"][part] = value
    with pytest.raises(CheckpointError, match=words):
        apply_patch(base, patch)


def spoiled(change: Any) -> Any:
    base, small = holder(nn.Linear(8, 8)), holder(nn.Linear(8, 4))
    patch = json.loads(patch_text(difference(base, small)))
    return base, change(patch)


def with_layer(spec: Any) -> Any:
    return lambda patch: {**patch, "changes": {"layer": spec}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda patch: {**patch, "base": "0" * 64}, "another network"),
        (lambda patch: {**patch, "format": "other/1"}, "not an architecture patch"),
        (lambda patch: {**patch, "more": 1}, "damaged"),
        (lambda patch: {**patch, "changes": []}, "damaged"),
        (lambda patch: "text", "not an architecture patch"),
        (lambda patch: {**patch, "changes": {"nine": {"type": "ReLU", "args": {}}}}, "does not have"),
        (with_layer({"type": "os.system", "args": {}}), "not a layer it may"),
        (with_layer({"type": "Module", "args": {}}), "not a layer it may"),
        (with_layer({"type": "Linear", "args": {"in_features": 8}}), "makes no layer"),
        (with_layer({"type": "Linear", "args": {"in_features": -8, "out_features": 4}}), "makes no layer"),
        (with_layer({"type": "Linear", "args": {"in_features": 10**9, "out_features": 4}}), "do not belong"),
        (with_layer({"type": "Linear", "args": {"in_features": 1, "out_features": 1, "device": "x"}}), "do not belong"),
        (with_layer({"type": "Linear", "args": {"in_features": {}, "out_features": 1}}), "do not belong"),
        (with_layer({"type": "Linear", "args": {"in_features": 8, "out_features": 9}}), "not a compression"),
        (with_layer({"type": "Linear", "args": {"in_features": 2**24, "out_features": 2**24}}), "not a compression"),
        (with_layer({"type": "Sequential", "layers": ["x"]}), "damaged"),
        (with_layer(7), "damaged"),
    ],
)
def test_a_foreign_or_damaged_patch_is_refused(change: Any, words: str) -> None:
    base, patch = spoiled(change)
    with pytest.raises(CheckpointError, match=words):
        apply_patch(base, patch)


def test_weights_that_do_not_fit_are_refused(tmp_path) -> None:
    base, small = holder(nn.Linear(8, 8)), holder(nn.Linear(8, 4))
    patch, path = difference(base, small), tmp_path / "w.safetensors"
    save_weights(base, path)
    with pytest.raises(CheckpointError, match="do not fit"):
        load_compressed(base, patch=patch, weights=path)
    path.write_bytes(b"not a safetensors file")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_compressed(base, patch=patch, weights=path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_compressed(base, patch=patch, weights=tmp_path / "absent")
