"""Folding changes no output, is refused where it would, and keeps what later passes need."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from compression_nets import Conv, Lin, Net, mean, residual, traced
from torch import nn

from netwright.compression.folding import folded, plan_folds
from netwright.compression.forms.shared import Shared
from netwright.compression.forms.sparse import Sparse
from netwright.compression.model import Model
from netwright.compression.passes.fold import Fold
from netwright.compression.passes.structured_prune import dependency_groups
from netwright.compression.passes.unstructured_prune import UnstructuredPrune
from netwright.compression.patch import difference, load_compressed, patch_text, save_weights
from netwright.compression.proof import in_double, outputs, randomised, relative_difference
from netwright.compression.recipe import Bounds, judge
from netwright.core.errors import CompressionError

IMAGE, ROWS = (4, 3, 7, 7), (4, 6)


def pooled(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


BEHIND = {
    "convolution": (lambda: pooled(Conv(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()), IMAGE),
    "without bias": (lambda: pooled(Conv(3, 8, 3, bias=False), nn.BatchNorm2d(8)), IMAGE),
    "depthwise": (lambda: pooled(Conv(3, 6, 3, groups=3), nn.BatchNorm2d(6)), IMAGE),
    "transposed": (lambda: pooled(nn.ConvTranspose2d(3, 8, 3, stride=2), nn.BatchNorm2d(8)), IMAGE),
    "transposed in groups": (lambda: pooled(nn.ConvTranspose2d(3, 6, 3, groups=3), nn.BatchNorm2d(6)), IMAGE),
    "sequence": (lambda: nn.Sequential(nn.Conv1d(6, 4, 3), nn.BatchNorm1d(4), nn.Flatten()), (4, 6, 9)),
    "linear": (lambda: nn.Sequential(Lin(6, 8), nn.BatchNorm1d(8), nn.ReLU(), Lin(8, 3)), ROWS),
    "without affine": (lambda: pooled(Conv(3, 8, 3), nn.BatchNorm2d(8, affine=False)), IMAGE),
}
BEFORE = {
    "linear": (lambda: nn.Sequential(nn.BatchNorm1d(6), Lin(6, 3)), ROWS),
    "unpadded convolution": (lambda: pooled(nn.BatchNorm2d(3), Conv(3, 8, 3)), IMAGE),
    "mirrored border": (lambda: pooled(nn.BatchNorm2d(3), Conv(3, 8, 3, padding=1, padding_mode="reflect")), IMAGE),
    "groups": (lambda: pooled(nn.BatchNorm2d(6), Conv(6, 8, 3, groups=2, bias=False)), (4, 6, 7, 7)),
}
REFUSED = {
    "zero padding": (lambda: pooled(nn.BatchNorm2d(3), Conv(3, 8, 3, padding=1)), IMAGE, "pads its input"),
    "transposed": (lambda: pooled(nn.BatchNorm2d(3), nn.ConvTranspose2d(3, 8, 3)), IMAGE, "transposed"),
    "batch's own": (
        lambda: pooled(Conv(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False)),
        IMAGE,
        "each batch's own statistics",
    ),
    "activation between": (
        lambda: pooled(Conv(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), nn.ReLU()),
        IMAGE,
        "right before",
    ),
    "steps taken for channels": (lambda: nn.Sequential(Lin(6, 5), nn.BatchNorm1d(5)), (4, 5, 6), "differ by"),
}


class NormAct(nn.BatchNorm2d):
    """A normalisation that ends with an activation of its own, as timm's do."""

    def __init__(self, width: int, act: nn.Module) -> None:
        super().__init__(width)
        self.drop, self.act = nn.Identity(), act

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.act(self.drop(super().forward(inputs)))


class OwnConv(Conv):
    """A convolution of a class of its own."""


class Swish(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * inputs.sigmoid()


class Sized(nn.Module):
    """A network that cannot be traced: it looks at the size of its input."""

    def __init__(self, *, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.shared = Conv(3, 8, 3, bias=False), norm, Conv(3, 8, 3)
        self.shared_norm = nn.BatchNorm2d(8)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.shape[-1] < 3:
            return inputs.mean((2, 3))
        other = self.shared(inputs)
        return (self.norm(self.conv(inputs)) + self.shared_norm(other) + other).mean((2, 3))


@pytest.mark.parametrize("act", [nn.SiLU(), nn.Identity()])
def test_a_normalisation_leaves_its_activation_behind(act: nn.Module, tmp_path) -> None:
    net = randomised(Sized(norm=NormAct(8, act)), seed=1).eval()
    example = torch.randn(IMAGE)
    plan = plan_folds(net, example)
    refused = {fold.layer: fold.refused for fold in plan}
    assert refused["norm"] == ""
    assert "differ by" in refused["shared_norm"]
    small = folded(net, plan)
    assert isinstance(small.norm, type(act))
    save_weights(small, tmp_path / "w.safetensors")
    loaded = load_compressed(net, patch=difference(net, small), weights=tmp_path / "w.safetensors").eval()
    assert torch.equal(loaded(example), small(example))


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ((Conv(3, 8, 3), NormAct(8, Swish())), "its own Swish, which would stay, is no layer of torch"),
        ((OwnConv(3, 8, 3, bias=False), nn.BatchNorm2d(8)), "0 is a OwnConv without a bias"),
    ],
)
def test_what_a_patch_cannot_say_is_not_folded(layers: tuple[nn.Module, ...], reason: str) -> None:
    plan = plan_folds(pooled(*layers).eval(), torch.randn(IMAGE))
    assert [fold.layer for fold in plan] == ["1"]
    assert reason in plan[0].refused


@pytest.mark.parametrize("name", [*BEHIND, *(f"before {name}" for name in BEFORE)])
def test_a_fold_is_exact(name: str) -> None:
    make, shape = BEFORE[name.removeprefix("before ")] if name.startswith("before ") else BEHIND[name]
    torch.manual_seed(0)
    net = randomised(make(), seed=1).eval()
    x = torch.randn(shape)
    plan = plan_folds(net, x)
    assert [fold.refused for fold in plan] == [""]
    wide, inputs = in_double(net, x)
    assert relative_difference(outputs(folded(wide, plan), inputs), outputs(wide, inputs)) < 1e-12
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in folded(net, plan).modules())


def test_layers_in_a_sequence_inside_a_network_are_folded_too() -> None:
    branch = nn.Sequential(Conv(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(True))
    net = randomised(Net(lambda s, x: s.f((x + s.b(x)).mean((2, 3))), b=branch, f=Lin(3, 2)), seed=1).eval()
    example = torch.randn(IMAGE)
    (fold,) = plan_folds(net, example)
    assert (fold.layer, fold.into, fold.refused) == ("b.1", "b.0", "")
    assert torch.allclose(outputs(folded(net, [fold]), example), outputs(net, example), atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_the_outputs_is_refused(name: str) -> None:
    make, shape, reason = REFUSED[name]
    torch.manual_seed(0)
    plan = plan_folds(make().eval(), torch.randn(shape))
    assert len(plan) == 1
    assert reason in plan[0].refused


def test_results_that_are_used_twice_are_left_alone() -> None:
    net = Net(lambda s, x: mean(s.n(s.a(x)) + s.a(x)), a=Conv(3, 8, 3), n=nn.BatchNorm2d(8))
    assert plan_folds(net.eval(), torch.randn(IMAGE))[0].refused
    net = Net(lambda s, x: (lambda y: mean(s.n(y) + y))(s.a(x)), a=Conv(3, 8, 3), n=nn.BatchNorm2d(8))
    assert plan_folds(net.eval(), torch.randn(IMAGE))[0].refused


class Branching(nn.Module):
    """Cannot be traced: it looks at its values."""

    def __init__(self) -> None:
        super().__init__()
        self.body = pooled(Conv(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5))
        self.spare = Lin(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) if x.sum() > 1e9 else 2 * self.body(x)


def test_a_network_that_cannot_be_traced_is_folded_within_its_sequences() -> None:
    net = randomised(Branching(), seed=1).eval()
    x = torch.randn(IMAGE)
    plan = plan_folds(net, x)
    assert {fold.layer for fold in plan if not fold.refused} == {"body.1", "body.2"}
    assert relative_difference(outputs(folded(net, plan), x), outputs(net, x)) < 1e-5


def test_linear_layers_in_a_row_become_one_only_if_that_is_smaller() -> None:
    wide, narrow = nn.Sequential(Lin(6, 32), Lin(32, 3)).eval(), nn.Sequential(Lin(64, 4), Lin(4, 64)).eval()
    x = torch.randn(ROWS)
    plan = plan_folds(wide, x)
    assert [fold.layer for fold in plan] == ["0"]
    assert relative_difference(outputs(folded(wide, plan), x), outputs(wide, x)) < 1e-5
    assert sum(p.numel() for p in folded(wide, plan).parameters()) == 6 * 3 + 3
    assert plan_folds(narrow, torch.randn(4, 64)) == []


class WithHead(nn.Module):
    """Has a layer that only training calls and one that nothing calls."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.helper, self.spare = Lin(6, 3), Lin(6, 3), nn.Sequential(Lin(5, 5), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) + self.helper(x) if self.training else self.a(x)


def test_only_layers_that_nothing_calls_are_taken_out() -> None:
    plan = plan_folds(WithHead().eval(), torch.randn(ROWS))
    assert [fold.layer for fold in plan] == ["spare"]
    assert plan_folds(WithHead().eval(), torch.randn(ROWS), unused=False) == []


def test_a_form_that_a_fold_would_break_is_kept() -> None:
    net = randomised(nn.Sequential(Lin(6, 8), nn.BatchNorm1d(8), Lin(8, 3)), seed=1).eval()
    with torch.no_grad():
        net[0].weight.copy_(net[0].weight.sign())
        net[0].weight[:, 0] = 0
    x = torch.randn(ROWS)
    assert "would lose its form" in plan_folds(net, x, forms={"0.weight": Shared(values=3)})[0].refused
    model = Model(net, forms={"0.weight": Sparse()})
    plan = plan_folds(net, x, forms=model.forms)
    assert [fold.refused for fold in plan] == [""]
    assert "0.weight" in model.with_module(folded(net, plan)).forms


def test_the_result_is_a_patch_and_the_pass_is_always_kept(context_of, tmp_path) -> None:
    _, context = context_of("residual")
    net = randomised(residual(), seed=2).eval()
    done = Fold().apply(Model(net), context)
    assert {note.verdict for note in done.notes} <= {"folded", "left alone"}
    assert done.notes[0].reason.endswith(" layers folded into others or taken out")
    assert not any(isinstance(m, nn.BatchNorm2d) for m in done.module.modules())
    assert sum(p.numel() for p in done.module.parameters()) <= sum(p.numel() for p in net.parameters())
    save_weights(done.module, tmp_path / "w.safetensors")
    again = load_compressed(net, patch=difference(net, done.module), weights=tmp_path / "w.safetensors").eval()
    x = context.example_tensor()
    assert torch.equal(outputs(again, x), outputs(done.module, x))
    assert relative_difference(outputs(done.module, x), outputs(net, x)) < 1e-4
    row = {"accuracy": 0.9, "params": 10, "size_bytes": 100}
    assert judge(row, before=row, first=row, bounds=Bounds(), gains=Fold.gains) == ""


def test_nothing_to_fold_is_an_error_with_a_reason(context_of) -> None:
    _, context = context_of("mlp")
    net = traced(Net(lambda s, x: s.a(torch.flatten(x, 1)), a=Lin(64, 10)))
    with pytest.raises(CompressionError, match="nothing can be folded"):
        Fold().apply(Model(net), context)
    assert not Fold().check(Model(net), context)[0].applies


def test_layers_on_the_list_are_left_alone() -> None:
    net = randomised(pooled(Conv(3, 8, 3), nn.BatchNorm2d(8)), seed=0).eval()
    assert "ignore" in plan_folds(net, torch.randn(IMAGE), ignore=("1",))[0].refused


class Block(nn.Module):
    """A residual block as torchvision writes it, with activations in place."""

    def __init__(self, width: int = 8, *, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1, self.bn1 = Conv(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width)
        self.conv2, self.bn2 = Conv(2 * width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.relu, self.inner = nn.ReLU(inplace=True), inner or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x
        out = self.inner(self.relu(self.bn1(self.conv1(x))))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class Own(nn.Module):
    """A layer that no patch can say."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sin()


def residual_net(*blocks: nn.Module) -> nn.Module:
    """The block's input is used behind it too, so nothing may change it in place."""
    net = Net(
        lambda s, x: (lambda y: s.head(mean(s.blocks(y) + y)))(s.stem(x)),
        stem=Conv(3, 8, 3),
        blocks=nn.Sequential(*blocks),
        head=Lin(8, 4),
    )
    return randomised(net, seed=1).eval()


def after(net: nn.Module, small: nn.Module, folder: Path) -> nn.Module:
    """The smaller network from its patch and weights."""
    save_weights(small, folder / "w.safetensors")
    patch = json.loads(patch_text(difference(net, small)))
    return load_compressed(net, patch=patch, weights=folder / "w.safetensors").eval()


def zeroed(*tensors: torch.Tensor) -> None:
    with torch.no_grad():
        for tensor in tensors:
            tensor.zero_()


def test_a_branch_that_ends_in_zeros_goes_with_its_layers(tmp_path: Path) -> None:
    net = residual_net(Block(), Block())
    zeroed(net.blocks[0].bn2.weight, net.blocks[0].bn2.bias)
    x = torch.randn(IMAGE)
    plan = plan_folds(net, x)
    assert [(fold.layer, fold.why, fold.refused) for fold in plan if fold.edits] == [
        ("blocks.0", "bn2 is zero whatever the input", "")
    ]
    small = folded(net, plan)
    assert [name for name, _ in small.blocks[0].named_children()] == ["relu"]
    assert isinstance(small.blocks[1], Block)
    assert relative_difference(outputs(small, x), outputs(net, x)) < 1e-5
    assert torch.equal(outputs(after(net, small, tmp_path), x), outputs(small, x))
    assert not any(fold.edits for fold in plan_folds(net, x, constants=False))


def test_a_branch_that_is_constant_becomes_a_tensor(tmp_path: Path) -> None:
    net = residual_net(Block())
    zeroed(net.blocks[0].bn2.weight)
    x = torch.randn(IMAGE)
    small = folded(net, plan_folds(net, x))
    assert [(name, tuple(one.shape)) for name, one in small.blocks[0].named_parameters()] == [("constant_0", (8, 1, 1))]
    assert relative_difference(outputs(small, x), outputs(net, x)) < 1e-5
    larger = torch.randn(2, 3, 12, 9)
    assert torch.allclose(outputs(after(net, small, tmp_path), larger), outputs(net, larger), atol=1e-5)


GONE = {
    "a gate of zeros": (
        lambda: Net(lambda s, x: mean(s.a(x) + s.gate * s.b(x).relu()), gate=nn.Parameter(torch.zeros(8, 1, 1))),
        {"b", "gate"},
    ),
    "a factor of zero": (lambda: Net(lambda s, x: mean(s.a(x) + 0.0 * s.b(x))), {"b"}),
    "a convolution of zeros in a branch of its own": (
        lambda: Net(lambda s, x: mean(s.c(x) + s.a(x)), c=nn.Sequential(Conv(3, 5, 3), nn.ReLU(), zero_conv(5, 8))),
        {"b", "c"},
    ),
    "zeros from zeros": (
        lambda: Net(
            lambda s, x: mean(s.a(x) + s.p(torch.relu(s.z(x) * s.b(x)))), z=zero_conv(3, 8, 3), p=nn.AvgPool2d(1)
        ),
        {"b", "z"},
    ),
    "zero added, one multiplied": (lambda: Net(lambda s, x: mean(1 * (s.a(x) + s.b(x) + 0) * s.one)), {"one"}),
}


def zero_conv(before: int, width: int, kernel: int = 1) -> nn.Module:
    layer = Conv(before, width, kernel)
    zeroed(layer.weight, layer.bias)
    return layer


@pytest.mark.parametrize("name", GONE)
@pytest.mark.parametrize("graph", [False, True])
def test_what_is_zero_or_one_is_found_through_functions(name: str, graph: bool, tmp_path: Path) -> None:
    make, gone = GONE[name]
    net = make()
    net.a, net.b, net.one = Conv(3, 8, 3), Conv(3, 8, 3), nn.Parameter(torch.ones(8, 1, 1))
    net = (traced(net) if graph else net).eval()
    x = torch.randn(IMAGE)
    small = folded(net, plan_folds(net, x))
    left = {path.split(".")[0] for path, _ in small.named_parameters()}
    assert left == {"a", "b"} - gone
    assert torch.allclose(outputs(small, x), outputs(net, x), atol=1e-6)
    assert torch.allclose(outputs(after(net, small, tmp_path), x), outputs(net, x), atol=1e-6)


STAYS = {
    "a normalisation that is zero but for one channel": lambda: Net(
        lambda s, x: mean(s.a(x) + s.n(s.b(x))), n=one_left()
    ),
    "nearly zero": lambda: Net(lambda s, x: mean(s.a(x) + 1e-12 * s.b(x))),
    "zeros that widen": lambda: Net(lambda s, x: mean(s.a(x).mean((2, 3), keepdim=True) + 0.0 * s.b(x))),
    "zeros side by side": lambda: Net(lambda s, x: mean(torch.cat([s.a(x), 0.0 * s.b(x)], 1))),
    "other in training": lambda: Training(),
}


def one_left() -> nn.Module:
    norm = nn.BatchNorm2d(8)
    zeroed(norm.weight[1:], norm.bias)
    return norm


class Training(Net):
    """A branch that training alone uses."""

    def __init__(self) -> None:
        super().__init__(lambda s, x: mean(s.a(x) + (s.b(x) if s.training else 0.0 * s.b(x))))


@pytest.mark.parametrize("name", STAYS)
def test_what_is_not_zero_for_every_input_in_use_and_training_stays(name: str) -> None:
    net = STAYS[name]()
    net.a, net.b = Conv(3, 8, 3), Conv(3, 8, 3)
    assert not any(fold.edits for fold in plan_folds(net.eval(), torch.randn(IMAGE)))


def test_a_block_that_a_patch_cannot_say_is_left_with_the_reason() -> None:
    net = residual_net(Block(), Block(inner=Own()))
    for block in net.blocks:
        zeroed(block.bn1.weight, block.bn1.bias, block.bn2.weight, block.bn2.bias)
    x = torch.randn(IMAGE)
    ignored = plan_folds(net, x, ignore=("blocks.0.bn2",))
    assert {fold.refused for fold in ignored if fold.layer == "blocks.0"} == {"it is on the list of layers to ignore"}
    net = Net(lambda s, x: s.own(s.a(x)) + 0.0 * s.b(x), own=Own(), a=Lin(6, 3), b=Lin(6, 3)).eval()
    (fold,) = plan_folds(net, torch.randn(ROWS))
    assert "but own is a Own, which a patch cannot describe" in fold.refused


def test_channels_that_are_zero_or_read_by_zeros_go_from_all_layers(tmp_path: Path) -> None:
    net = randomised(
        pooled(Conv(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Conv(8, 6, 3), nn.ReLU(), Conv(6, 4, 1)), seed=1
    ).eval()
    zeroed(net[1].weight[2:4], net[1].bias[2:4], net[5].weight[:, 0])
    # read by the channel alone that nothing reads
    zeroed(net[3].weight[1:, 6])
    x = torch.randn(IMAGE)
    plan = plan_folds(net, x, grouping=dependency_groups)
    assert sorted((fold.layer, fold.why.split(" are")[0]) for fold in plan if fold.cuts) == [
        ("0", "1 of 6 channels"),
        ("0", "2 of 8 channels"),
        ("3", "1 of 6 channels"),
    ]
    small = folded(net, plan)
    assert [small[place].weight.shape[:2] for place in (0, 3, 5)] == [(5, 3), (5, 5), (4, 5)]
    assert torch.allclose(outputs(small, x), outputs(net, x), atol=1e-5)
    assert torch.equal(outputs(after(net, small, tmp_path), x), outputs(small, x))
    kept = plan_folds(net, x, grouping=dependency_groups, ignore=("3",))
    assert {fold.refused for fold in kept if fold.cuts} == {"it is on the list of layers to ignore"}


def _rows() -> nn.Module:
    net = randomised(nn.Sequential(Lin(6, 8), nn.Tanh(), Lin(8, 5), nn.ELU(), Lin(5, 3, bias=False)), seed=1)
    zeroed(net[0].weight[1:3], net[2].weight[4])
    return net


def _image(padding: int) -> nn.Module:
    layers = [Conv(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.SiLU(), nn.MaxPool2d(2), Conv(8, 4, 2, padding=padding)]
    net = randomised(nn.Sequential(*layers, nn.Flatten(), Lin(4 if not padding else 36, 3)), seed=1)
    zeroed(net[0].weight[:2], net[4].weight[3])
    return net


CONSTANT = {
    "rows": (_rows, ROWS, {"0.weight": (6, 6), "2.weight": (4, 6), "4.weight": (3, 4), "4.bias": (3,)}),
    "images": (lambda: _image(0), IMAGE, {"0.weight": (6, 3, 3, 3), "4.weight": (3, 6, 2, 2), "6.weight": (3, 3)}),
    "a border of zeros": (
        lambda: _image(1),
        IMAGE,
        {"0.weight": (8, 3, 3, 3), "4.weight": (3, 8, 2, 2), "6.weight": (3, 27)},
    ),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_a_constant_channel_goes_into_the_bias_of_what_reads_it(name: str, tmp_path: Path) -> None:
    make, shape, wanted = CONSTANT[name]
    net, x = make().eval(), torch.randn(shape)
    plan = plan_folds(net, x, grouping=dependency_groups)
    assert not any(fold.refused for fold in plan if fold.cuts)
    small = folded(net, plan)
    shapes = {path: tuple(one.shape) for path, one in small.named_parameters()}
    assert {path: shapes[path] for path in wanted} == wanted
    assert torch.allclose(outputs(small, x), outputs(net, x), atol=1e-5)
    assert torch.equal(outputs(after(net, small, tmp_path), x), outputs(small, x))


def test_a_channel_that_one_of_two_branches_gives_stays() -> None:
    net = randomised(
        Net(lambda s, x: s.head(mean(s.a(x) + s.b(x))), a=Conv(3, 8, 3), b=Conv(3, 8, 3), head=Lin(8, 4)), seed=1
    ).eval()
    zeroed(net.a.weight[:3], net.a.bias[:3], net.b.weight[2:4], net.b.bias[2:4])
    x = torch.randn(IMAGE)
    plan = plan_folds(net, x, grouping=dependency_groups)
    small = folded(net, plan)
    assert small.head.in_features == 7
    assert torch.allclose(outputs(small, x), outputs(net, x), atol=1e-5)


def test_folding_makes_a_sparse_network_smaller(context_of) -> None:
    net, context = context_of("mlp")
    sparse = UnstructuredPrune(density=0.02, epochs=0).apply(Model(net), context)
    done = Fold().apply(sparse, context)
    before, now = (sum(p.numel() for p in one.module.parameters()) for one in (sparse, done))
    assert now < 0.9 * before
    assert "1.weight" in done.forms
    x = context.example_tensor()
    assert torch.allclose(outputs(done.module, x), outputs(sparse.module, x), atol=1e-5)


class Versioned(nn.Sequential):
    """A network that asks with which of its versions a file of weights was made."""

    _version = 2

    def _load_from_state_dict(self, state, prefix, metadata, *rest) -> None:
        assert metadata.get("version") == 2
        super()._load_from_state_dict(state, prefix, metadata, *rest)


def test_a_network_that_asks_for_its_version_is_folded() -> None:
    net = Versioned(Conv(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    (fold,) = plan_folds(net, torch.randn(IMAGE))
    assert fold.refused == ""
    assert isinstance(folded(net, [fold])[1], nn.Identity)
