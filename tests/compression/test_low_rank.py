"""Low-rank factors: exact at full rank, used only where they save work, honest about their error."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
import torch
from compression_nets import Conv, Lin, Net, thin, traced
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from netwright.compression.factors import plan_factors
from netwright.compression.factors_budget import Option, within_budget
from netwright.compression.factors_spectrum import Spectrum, round_rank
from netwright.compression.factors_vbmf import vbmf_rank
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
    "1×1": (lambda: Conv(6, 10, 1, stride=2, padding=1), (6,), (4, 6, 9, 8)),
    "steps of time": (lambda: nn.Conv1d(6, 10, 5, stride=2, padding="valid", dilation=2), (10, 6), (4, 6, 20)),
    "a volume": (lambda: nn.Conv3d(6, 10, (2, 3, 1), padding=1), (10, 6), (4, 6, 5, 4, 3)),
    "groups": (lambda: Conv(6, 10, 3, padding=1, groups=2), (5, 3), (4, 6, 8, 8)),
    "1×1 in groups": (lambda: Conv(6, 10, 1, stride=2, groups=2), (3,), (4, 6, 9, 8)),
    "every channel alone": (lambda: Conv(6, 12, 5, padding=2, groups=6), (2, 1), (4, 6, 8, 8)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 10, 3, (2, 1), 1, (1, 0)), (10, 6), (4, 6, 8, 8)),
    "transposed steps in groups": (lambda: nn.ConvTranspose1d(6, 10, 4, 3, 1, 2, 2), (5, 3), (4, 6, 8)),
    "transposed 1×1": (lambda: nn.ConvTranspose2d(6, 10, 1, 2, bias=False), (6,), (4, 6, 4, 4)),
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
    assert [Spectrum(matrix).rank(e) for e in (0.6, 0.65, 0.92, 0.93, 0.999)] == [1, 2, 2, 3, 3]


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
        thin(Conv(32, 64, 1, stride=2), 4),
        thin(Conv(64, 32, 1), 4),
        nn.Flatten(),
        thin(Lin(32 * 16, 64), 4),
        nn.ReLU(),
        Lin(64, 10),
    ).eval()


def test_layers_are_left_alone_with_a_reason(context_of) -> None:
    _, context = context_of("mlp")
    plans = {p.path: p for p in plan_factors(big(), context.example_tensor(), LowRank())}
    assert {path for path, p in plans.items() if p.applies} == {"0", "2", "6", "7", "9"}
    assert "at most 80%" in plans["11"].reason
    assert "would leave 122% of its parameters" in plans["4"].reason
    assert "at most 80%" in plans["5"].reason
    assert plans["6"].reason == "SVD, rank 8, 62% fewer parameters"


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
    assert said["11"].verdict == "left alone"


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


def test_what_was_measured_is_the_reason_not_a_layer_that_was_never_tried(context_of) -> None:
    net, context = context_of("mlp", epochs=8)
    trained = context.fine_tune(net, purpose="test", distill=False)
    careful = LowRank(ratio=0.02, measure_each=True, layer_drop=0.0, ignore=("1",), epochs=0)
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


CONVOLUTIONS = {name: case for name, case in LAYERS.items() if "linear" not in name}


@pytest.mark.parametrize("name", [name for name in CONVOLUTIONS if "1×1" not in name])
@pytest.mark.parametrize("border", ["zeros", "reflect"])
def test_spatial_factors_of_full_rank_compute_the_same(name: str, border: str) -> None:
    torch.manual_seed(0)
    build, _, shape = CONVOLUTIONS[name]
    layer = build()
    if layer.transposed and border != "zeros":
        pytest.skip("transposed convolutions know zeros alone")
    arguments = {one: getattr(layer, one) for one in ("kernel_size", "stride", "padding", "dilation", "groups")}
    more = {"output_padding": layer.output_padding} if layer.transposed else {}
    made = type(layer)(6, layer.out_channels, **arguments, **more, bias=layer.bias is not None, padding_mode=border)
    made.load_state_dict(layer.state_dict())
    first, *others = made.kernel_size
    full = min(6 // made.groups * first, made.out_channels // made.groups * math.prod(others))
    factors, error = factorized(made, (full,), method="spatial")
    x = torch.randn(shape)
    assert error < 1e-6
    assert relative_difference(factors(x), made(x)) < 1e-5


@pytest.mark.parametrize("name", [name for name, (build, *_) in CONVOLUTIONS.items() if build().groups == 1])
def test_cp_factors_find_weights_of_their_rank(name: str) -> None:
    torch.manual_seed(1)
    build, ranks, shape = CONVOLUTIONS[name]
    layer = build()
    if len(ranks) == 1:
        pytest.skip("a matrix needs SVD alone")
    letters = "oihwd"[: layer.weight.dim()]
    parts = [torch.rand(size, 2) for size in layer.weight.shape]
    with torch.no_grad():
        layer.weight.copy_(torch.einsum(",".join(f"{one}r" for one in letters) + f"->{letters}", *parts))
    factors, error = factorized(layer, (3,), method="cp")
    x = torch.randn(shape)
    assert error < 0.01
    assert relative_difference(factors(x), layer(x)) < 0.05
    assert factors(x).shape == layer(x).shape


@pytest.mark.parametrize("method", ["tucker", "spatial", "cp"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_planned_parameters_and_macs_are_those_of_the_factors(name: str, method: str) -> None:
    torch.manual_seed(0)
    build, ranks, shape = CONVOLUTIONS[name]
    net, x = nn.Sequential(build()).eval(), torch.randn(shape)
    (plan,) = plan_factors(net, x, LowRank(method=method, ratio=0.5, min_gain=0.999), cp_error=lambda *_: 0.0)
    *found, params, macs = map(int, re.findall(r"\d+", plan.reason)[:-1])
    method = method if net[0].groups == 1 or method == "spatial" else "tucker"
    assert len(found) == (1 if method != "tucker" else len(ranks))
    factors = factorized(net[0], tuple(found), method=method)[0].eval()

    def costs(one: nn.Module) -> tuple[int, int]:
        return sum(p.numel() for p in one.parameters() if p.dim() > 1), profile(one, x).macs

    shares = [round(100 * after / before) for after, before in zip(costs(factors), costs(net), strict=True)]
    assert [params, macs] == shares


def test_a_network_over_time_gets_smaller_and_faster_by_the_count(context_of) -> None:
    _, context = context_of("lstm")  # rows of the small digits, as steps of time
    layers = [thin(nn.Conv1d(8, 64, 5, padding=2), 4), thin(nn.Conv1d(64, 64, 3, padding=2, dilation=2), 4)]
    up = thin(nn.ConvTranspose1d(64, 32, 4, 2), 4)
    net = nn.Sequential(*layers, nn.ReLU(), up, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 10)).eval()
    done = LowRank(method="auto", epochs=0).apply(Model(net), context)
    assert [n.layer for n in done.notes if n.verdict == "factorized"] == ["", "0", "1", "3"]
    x = context.example_tensor()
    before, after = profile(net, x), profile(done.module, x)
    assert after.params < 0.5 * before.params
    assert after.macs < 0.5 * before.macs
    assert relative_difference(outputs(done.module, x), outputs(net, x)) < 0.5


@pytest.mark.parametrize("of", ["macs", "params"])
def test_a_budget_holds_with_convolutions_of_any_kind(of: str, context_of) -> None:
    _, context = context_of("plain_cnn")
    layers = [Conv(1, 32, 3), Conv(32, 64, 3, groups=4, padding=1), nn.ConvTranspose2d(64, 32, 3, 2), nn.Flatten(1, 2)]
    net = nn.Sequential(*layers, nn.Conv1d(32 * 13, 32, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten(), Lin(32, 10)).eval()
    x = context.example_tensor()
    done = LowRank(budget=0.5, budget_of=of, min_gain=0.0, epochs=0).apply(Model(net), context)
    assert getattr(profile(done.module, x), of) <= 0.51 * getattr(profile(net, x), of)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, True)])
def test_recurrent_factors_of_full_rank_compute_the_same(kind: type[nn.RNNBase], layers: int, both: bool) -> None:
    torch.manual_seed(0)
    layer = kind(6, 8, layers, batch_first=True, bidirectional=both)
    factors, error = factorized(layer, (6,))
    x = torch.randn(4, 5, 6)
    assert error < 1e-6
    (found, state), (wanted, wanted_state) = factors(x), layer(x)
    assert relative_difference(found, wanted) < 1e-5
    if kind is nn.LSTM:
        state, wanted_state = state[0], wanted_state[0]
    assert relative_difference(state, wanted_state) < 1e-5


class Reader(nn.Module):
    """Rows of the small digits, widened, into a recurrent layer; with or without a state of its own."""

    def __init__(self, *, with_state: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wide, self.recurrent, self.head = Lin(8, 96), nn.GRU(96, 24, batch_first=True), Lin(24, 10)
        thinned = thin(Lin(96, 72), 4).weight
        with torch.no_grad():
            self.recurrent.weight_ih_l0.copy_(thinned)
        self.with_state = with_state

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.wide(x))
        state = torch.zeros(1, len(x), 24)
        found = self.recurrent(x, state) if self.with_state else self.recurrent(x)
        return self.head(found[0][:, -1])


def test_the_input_weights_of_a_recurrent_layer_become_a_linear_layer_before_it(context_of) -> None:
    _, context = context_of("lstm")
    net = Reader().eval()
    done = LowRank(epochs=0).apply(Model(net), context)
    note = next(n for n in done.notes if n.layer == "recurrent")
    assert "SVD of the input weights" in note.reason
    assert isinstance(done.module.recurrent[0], nn.Linear)
    before, after = profile(net, context.example_tensor()), profile(done.module, context.example_tensor())
    assert after.params < before.params
    assert after.macs < before.macs
    x = context.example_tensor()
    assert relative_difference(outputs(done.module, x), outputs(net, x)) < 0.2


def test_no_layer_is_put_before_a_recurrent_one_that_is_given_a_state(context_of) -> None:
    _, context = context_of("lstm")
    plans = {p.path: p for p in plan_factors(Reader(with_state=True).eval(), context.example_tensor(), LowRank())}
    assert plans["recurrent"].ranks == ()
    assert dict(plans["recurrent"].inside) == {"weight_ih_l0": 8}


def test_a_layer_that_shares_its_weights_with_another_is_left_alone() -> None:
    a, b, words = thin(Lin(64, 64), 4), Lin(64, 64), nn.Embedding(64, 64)
    b.weight = a.weight
    net = nn.Sequential(nn.Flatten(), a, nn.ReLU(), b).eval()
    plans = {p.path: p for p in plan_factors(net, torch.randn(4, 64), LowRank())}
    assert not any(plan.applies for plan in plans.values())
    assert "together with 3" in plans["1"].reason
    head = thin(Lin(64, 64), 4)
    words.weight = head.weight
    tied = Net(lambda s, x: s.head(s.words(x.argmax(1))), words=words, head=head)
    told = {p.path: p.reason for p in plan_factors(tied, torch.randn(4, 64), LowRank())}
    assert "together with words" in told["head"]


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (64, 200)])
@pytest.mark.parametrize("rank", [0, 1, 5, 12])
def test_vbmf_finds_the_rank_below_the_noise(shape: tuple[int, int], rank: int) -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    assert vbmf_rank(signal + 0.3 * rng.normal(size=shape)) == rank


def test_vbmf_ranks_are_used(context_of) -> None:
    _, context = context_of("mlp")
    plans = {p.path: p for p in plan_factors(big(), context.example_tensor(), LowRank(vbmf=True))}
    assert plans["7"].ranks == (8,)


def test_auto_takes_the_cheapest_method_at_no_more_loss(context_of) -> None:
    _, context = context_of("mlp")
    torch.manual_seed(0)
    flat = Conv(32, 32, 3, padding=1)
    with torch.no_grad():  # a sum of products of columns and rows: what k×1 and 1×k convolutions are made for
        flat.weight.copy_(torch.einsum("iah,oaw->oihw", torch.randn(32, 4, 3), torch.randn(32, 4, 3)))
    net = nn.Sequential(Conv(1, 32, 3, padding=1), nn.ReLU(), flat, nn.Flatten(), Lin(32 * 64, 10)).eval()
    by = {m: plan_factors(net, context.example_tensor(), LowRank(method=m, min_gain=0.0)) for m in ("auto", "tucker")}
    auto, tucker = (next(p for p in by[m] if p.path == "2") for m in ("auto", "tucker"))
    assert (auto.method, tucker.method) == ("spatial", "tucker")
    x = context.example_tensor()
    macs = {
        m: profile(LowRank(method=m, epochs=0).apply(Model(net), context).module, x).macs for m in ("auto", "tucker")
    }
    assert macs["auto"] < macs["tucker"]
    errors = {p.method: factorized(flat, p.ranks, method=p.method)[1] for p in (auto, tucker)}
    assert errors["spatial"] <= errors["tucker"] + 0.05


@pytest.mark.parametrize("method", ["spatial", "cp"])
def test_methods_that_are_asked_for_are_used(method: str, context_of) -> None:
    _, context = context_of("mlp")
    done = LowRank(method=method, ratio=0.25, epochs=0).apply(Model(big()), context)
    note = next(n for n in done.notes if n.layer == "2")
    assert note.verdict == "factorized"
    assert ("spatial" if method == "spatial" else "CP") in note.reason


@pytest.mark.parametrize("of", ["macs", "params"])
@pytest.mark.parametrize("share", [0.4, 0.7])
def test_a_budget_for_the_whole_network_is_kept_and_spent(of: str, share: float, context_of) -> None:
    _, context = context_of("mlp")
    net, x = big(), context.example_tensor()
    done = LowRank(budget=share, budget_of=of, epochs=0).apply(Model(net), context).module
    before, after = getattr(profile(net, x), of), getattr(profile(done, x), of)
    assert after <= (share + 0.01) * before
    bolder = LowRank(budget=share - 0.15, budget_of=of, epochs=0).apply(Model(net), context).module
    assert relative_difference(outputs(done, x), outputs(net, x)) <= relative_difference(
        outputs(bolder, x), outputs(net, x)
    )


def test_a_budget_that_nothing_can_meet_is_an_error(context_of) -> None:
    _, context = context_of("mlp")
    with pytest.raises(CompressionError, match="even the smallest ranks leave"):
        LowRank(budget=0.01, epochs=0).apply(Model(big()), context)


def test_a_budget_takes_the_least_loss_there_is() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        layers = [
            [
                Option("", (), 100, 100, 0.0),
                *(Option("svd", (r,), 10 * r, 10 * r, float(loss)) for r, loss in enumerate(losses)),
            ]
            for losses in np.sort(rng.random((3, 6)))[:, ::-1]
        ]
        limit = int(rng.integers(60, 250))
        best = min(
            sum(o.loss for o in chosen) for chosen in itertools.product(*layers) if sum(o.macs for o in chosen) <= limit
        )
        found = within_budget(layers, limit=limit, of="macs")
        assert sum(o.macs for o in found) <= limit
        assert sum(o.loss for o in found) <= best + 0.35


def test_factors_that_are_not_faster_are_left_alone_when_latency_is_measured(context_of) -> None:
    _, context = context_of("mlp")
    torch.manual_seed(0)
    large, small = thin(Lin(2048, 1024), 4), thin(Lin(1024, 12), 3)
    net = nn.Sequential(nn.Flatten(), Lin(64, 2048), nn.ReLU(), large, nn.ReLU(), small, nn.ReLU(), Lin(12, 10)).eval()
    done = LowRank(energy=0.5, min_gain=0.05, measure_latency=True, epochs=0).apply(Model(net), context)
    said = {n.layer: n for n in done.notes}
    assert said["3"].verdict == "factorized"
    assert "times as fast as the layer alone" in said["3"].reason
    dry = LowRank(energy=0.5, min_gain=0.05, measure_latency=True).apply(Model(net), context.without_training())
    assert "measured" not in next(n for n in dry.notes if n.layer == "3").reason


@pytest.mark.parametrize(
    "settings", [{"ratio": 0.5, "budget": 0.5}, {"vbmf": True, "energy": 0.9}, {"method": "cp", "budget": 0.5}]
)
def test_rules_that_exclude_each_other_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigurationError, match=r"not both|cp takes"):
        LowRank.parse(settings)


def test_layers_that_have_no_factors_are_named(context_of) -> None:
    net = traced(
        Net(
            lambda s, x: s.head(s.pair(*[s.up(s.deep(x), [7, 7]).mean((2, 3))] * 2)),
            deep=Conv(1, 16, 3),
            up=nn.ConvTranspose2d(16, 8, 2),
            pair=nn.Bilinear(8, 8, 8),
            head=Lin(8, 10),
        )
    )
    verdicts = {one.layer: one for one in LowRank(energy=0.99).check(Model(net), context_of("plain_cnn")[1])}
    assert verdicts["pair"].reason.startswith("Bilinear is no Linear, convolution or recurrent layer")
    assert verdicts["up"].reason == "it is called with more than its input"
    assert verdicts["head"].reason.startswith("rank 8 would leave ")


class Standardised(nn.Conv2d):
    """A convolution that changes its weights before it uses them."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(inputs, self.weight / self.weight.std(), self.bias)


class Named(nn.Linear):
    """A Linear layer under another name."""


class Curious(nn.Module):
    """Reads a layer's weights beside calling it, and lays a recurrent layer's weights out anew."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = thin(Lin(64, 64), 4), thin(Lin(64, 64), 4)
        self.rnn = nn.GRU(64, 8, batch_first=True)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.rnn.flatten_parameters()
        inside = self.b(self.a(inputs.flatten(1))) @ self.a.weight
        return self.rnn(inside[:, None])[0][:, -1]


def test_a_layer_that_computes_in_its_own_way_is_left_alone() -> None:
    net = nn.Sequential(thin(Standardised(16, 32, 3), 4), nn.Flatten(), thin(Named(32 * 4, 64), 4))
    plans = {plan.path: plan for plan in plan_factors(net, torch.randn(16, 16, 4, 4), LowRank())}
    assert not plans["0"].applies
    assert "Standardised computes with its weights in a way of its own" in plans["0"].reason
    assert plans["2"].applies


class Odd(nn.Module):
    """Weights that are computed from others, and layers that have no factors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.normed = weight_norm(thin(Lin(64, 64), 4))
        self.rnn = weight_norm(nn.GRU(64, 32, batch_first=True), "weight_hh_l0")
        self.cell, self.pair = nn.GRUCell(32, 32), nn.Bilinear(32, 32, 8)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        steps = self.rnn(self.normed(inputs.flatten(1))[:, None])[0]
        found = self.cell(self.attention(steps, steps, steps)[0][:, 0])
        return self.pair(found, found)


@pytest.mark.parametrize("rule", [{"ratio": 0.1}, {"budget": 0.9}, {"vbmf": True}])
def test_weights_computed_from_others_and_layers_without_factors_are_told(rule: dict) -> None:
    plans = {plan.path: plan for plan in plan_factors(Odd().eval(), torch.randn(16, 8, 8), LowRank(**rule))}
    assert {path for path, plan in plans.items() if plan.applies} == {"normed"}
    assert plans["rnn"].reason == "its weights are computed from others"
    assert {"cell", "pair", "attention"} <= plans.keys()


def test_a_layer_that_the_network_looks_into_is_left_alone() -> None:
    plans = {plan.path: plan for plan in plan_factors(Curious(), torch.randn(16, 8, 8), LowRank(ratio=0.1))}
    assert {path for path, plan in plans.items() if plan.applies} == {"b", "rnn"}
    assert "beside calling it" in plans["a"].reason
    assert plans["rnn"].ranks == ()


def test_the_layers_of_a_transformer_of_torch_are_left_alone() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 64, batch_first=True)
    net = nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Flatten(), thin(Lin(128, 64), 4)).eval()
    plans = {plan.path: plan for plan in plan_factors(net, torch.randn(16, 8, 16), LowRank(ratio=0.1))}
    assert [path for path, plan in plans.items() if plan.applies] == ["2"]


def test_a_network_of_one_layer_is_left_alone_with_what_to_do() -> None:
    (plan,) = plan_factors(thin(Lin(64, 64), 3), torch.randn(4, 64), LowRank())
    assert (plan.path, plan.applies) == ("", False)
    assert "Sequential" in plan.reason
