"""Folding changes no output, is refused where it would, and keeps what later passes need."""

from __future__ import annotations

import pytest
import torch
from compression_nets import Conv, Lin, Net, mean, residual, traced
from torch import nn

from netwright.compression.folding import folded, plan_folds
from netwright.compression.forms.shared import Shared
from netwright.compression.forms.sparse import Sparse
from netwright.compression.model import Model
from netwright.compression.passes.fold import Fold
from netwright.compression.patch import difference, load_compressed, save_weights
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
