"""Low-rank factors: exact at full rank, used only where they save work, honest about their error."""

from __future__ import annotations

import pytest
import torch
from compression_nets import Conv, Lin, Net, thin
from torch import nn

from netwright.compression.factors import energy_rank, plan_factors, round_rank
from netwright.compression.model import Model
from netwright.compression.passes.low_rank import LowRank, factorized
from netwright.compression.proof import outputs, relative_difference
from netwright.core.errors import CompressionError, ConfigurationError
from netwright.evaluation.profile import profile

LAYERS = {
    "linear": (lambda: Lin(12, 20), (12,), (4, 12)),
    "linear without bias": (lambda: Lin(12, 20, bias=False), (12,), (4, 12)),
    "convolution": (lambda: Conv(6, 10, 3, padding=1), (10, 6), (4, 6, 8, 8)),
    "strided": (lambda: Conv(6, 10, (3, 5), stride=(2, 1), padding=2, bias=False), (10, 6), (4, 6, 9, 8)),
    "dilated": (lambda: Conv(6, 10, 3, dilation=2, padding=2), (10, 6), (4, 6, 9, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_full_rank_factors_compute_the_same(name: str) -> None:
    torch.manual_seed(0)
    build, ranks, shape = LAYERS[name]
    layer = build()
    factors, error = factorized(layer, ranks)
    x = torch.randn(shape)
    assert error < 1e-6
    assert relative_difference(factors(x), layer(x)) < 1e-5


@pytest.mark.parametrize("layer", [thin(Lin(48, 64), 4), thin(Conv(32, 48, 3), 4)], ids=["linear", "convolution"])
def test_the_error_is_that_of_the_weights(layer: nn.Module) -> None:
    factors, error = factorized(layer, (4,) if isinstance(layer, Lin) else (4, 4))
    assert 0 < error < 0.2
    shape = (8, 48) if isinstance(layer, Lin) else (8, 32, 6, 6)
    x = torch.randn(shape)
    assert relative_difference(factors(x), layer(x)) < 0.5
    if isinstance(layer, Lin):
        rebuilt = factors[1].weight @ factors[0].weight
        wanted = ((rebuilt - layer.weight).norm() / layer.weight.norm()).item()
        assert error == pytest.approx(wanted, rel=1e-3)


def test_energy_rank_is_the_least_that_keeps_it() -> None:
    matrix = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    assert [energy_rank(matrix, e) for e in (0.6, 0.65, 0.92, 0.93, 0.999)] == [1, 2, 2, 3, 3]


def test_ranks_suit_the_hardware() -> None:
    assert [round_rank(r, full=64) for r in (1, 8, 9, 60, 64)] == [8, 8, 16, 64, 64]
    assert [round_rank(r, full=20) for r in (1, 5, 19)] == [4, 8, 20]
    assert round_rank(2, full=3) == 3


def big() -> nn.Module:
    return nn.Sequential(
        thin(Conv(1, 32, 3, padding=1), 1),
        nn.ReLU(),
        thin(Conv(32, 32, 3, padding=1), 4),
        nn.ReLU(),
        Conv(32, 32, 3, padding=1, groups=32),
        Conv(32, 32, 1),
        nn.Flatten(),
        thin(Lin(32 * 64, 64), 4),
        nn.ReLU(),
        Lin(64, 10),
    ).eval()


def test_layers_are_left_alone_with_a_reason(context_of) -> None:
    _, context = context_of("mlp")
    plans = {p.path: p for p in plan_factors(big(), context.example_tensor(), LowRank())}
    assert {path for path, p in plans.items() if p.applies} == {"0", "2", "7"}
    assert "at least 20%" in plans["9"].reason
    assert "groups" in plans["4"].reason
    assert "1×1" in plans["5"].reason


def test_parameters_and_macs_fall_and_plain_layers_remain(context_of) -> None:
    _, context = context_of("mlp")
    net = big()
    done = LowRank(epochs=0).apply(Model(net), context)
    before, after = profile(net, context.example_tensor()), profile(done.module, context.example_tensor())
    assert after.params < 0.2 * before.params
    assert after.macs < 0.5 * before.macs
    assert {type(m) for m in done.module.modules()} <= {type(m) for m in net.modules()}
    said = {n.layer: n for n in done.notes}
    assert said["2"].verdict == "factorized"
    assert "relative error" in said["2"].reason
    assert said["9"].verdict == "left alone"


def test_a_layer_used_twice_is_replaced_at_both_places(context_of) -> None:
    _, context = context_of("mlp")
    shared = thin(Lin(64, 64), 4)
    net = nn.Sequential(nn.Flatten(), shared, nn.ReLU(), shared, nn.ReLU(), Lin(64, 10)).eval()
    done = LowRank(epochs=0).apply(Model(net), context).module
    assert done[1] is done[3]
    assert isinstance(done[1], nn.Sequential)


def test_measuring_each_layer_leaves_the_harmful_alone(context_of) -> None:
    net, context = context_of("mlp", epochs=8)
    trained = context.fine_tune(net, purpose="test", distill=False)
    careful = LowRank(ratio=0.02, measure_each=True, layer_drop=0.0, epochs=0)
    bold = LowRank(ratio=0.02, epochs=0).apply(Model(trained), context)
    assert context.evaluate(bold.module)["accuracy"] < context.evaluate(trained)["accuracy"]
    with pytest.raises(CompressionError, match="alone cost"):
        careful.apply(Model(trained), context)


def test_nothing_to_gain_is_an_error(context_of) -> None:
    _, context = context_of("mlp")
    net = nn.Sequential(nn.Flatten(), Lin(64, 10)).eval()
    with pytest.raises(CompressionError, match="no layer gets smaller"):
        LowRank(epochs=0).apply(Model(net), context)


def test_an_uncalled_layer_is_said_to_be_uncalled() -> None:
    net = Net(lambda s, x: s.a(x), a=Lin(4, 4), b=Lin(4, 4))
    plans = {p.path: p.reason for p in plan_factors(net, torch.randn(2, 4), LowRank())}
    assert plans["b"] == "it is not called"
    assert outputs(net, torch.randn(2, 4)).shape == (2, 4)


def test_ratio_and_energy_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        LowRank.parse({"ratio": 0.5, "energy": 0.9})
