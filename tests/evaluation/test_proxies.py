"""Every proxy keeps the contract of its kind, and gives what its formula says on networks worked out by hand."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netwright.core.plugins import build, load, names, spec_of
from netwright.core.shapes import Shapes
from netwright.evaluation.block_features import block_features
from netwright.evaluation.mixture import mixture, rank_shares
from netwright.evaluation.profile import profile
from netwright.evaluation.proxy import NoScoreError

ALL = names("proxy")
CELL = "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
EMPTY = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def images(count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 8, 8, generator=generator), torch.arange(count) % 4


def cell(genotype: str = CELL, *, seed: int = 0) -> nn.Module:
    space = build("space", {"kind": "nasbench201", "channels": 4, "cells_per_stage": 1})
    return space.build(space.from_genotype(genotype), Shapes((3, 8, 8), 4), seed=seed)


def linear(rows: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight.data = torch.tensor(rows)
    return layer


@pytest.mark.parametrize("name", ALL)
def test_proxy_keeps_its_contract(name):
    proxy, model = build("proxy", name), cell()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.eval()
    generator = torch.get_rng_state()
    first, again = (proxy.score(model, *images(), F.cross_entropy) for _ in range(2))
    assert math.isfinite(first)
    assert first == again
    assert torch.equal(torch.get_rng_state(), generator)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert build("proxy", spec_of(proxy)) == proxy
    assert proxy.total(proxy.parts(model, *images(), F.cross_entropy)) == first


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("space", ["convnet", "mlp", "recurrent", "transformer"])
def test_networks_of_every_sort_get_a_finite_score_or_a_reason(name, space):
    searched = build("space", space)
    shapes = Shapes((1, 12, 12), 3) if space in ("convnet", "mlp") else Shapes((10, 4), 3)
    model = searched.build(searched.sample(random.Random(3)), shapes)
    inputs = torch.randn(8, *shapes.input, generator=torch.Generator().manual_seed(0))
    try:
        assert math.isfinite(build("proxy", name).score(model, inputs, torch.arange(8) % 3, F.cross_entropy))
    except NoScoreError as error:
        assert len(str(error)) > 20  # noqa: PT017 -- a score and a reason are both right


@pytest.mark.parametrize("name", ["jacob_cov", "zen", "az_nas"])
def test_a_cell_without_any_path_has_no_score_and_a_reason(name):
    """The result is the bias of the classifier, whatever comes in."""
    with pytest.raises(NoScoreError, match=r"depend|block"):
        build("proxy", name).score(cell(EMPTY), *images(), F.cross_entropy)


def test_baselines_are_the_cost_of_the_layer_graph():
    space = build("space", {"kind": "nasbench201", "channels": 4, "cells_per_stage": 1, "macs": "products"})
    cost = space.cost(space.from_genotype(CELL), Shapes((3, 8, 8), 4))
    for name in ("params", "macs"):
        proxy = build("proxy", name)
        assert proxy.of_cost(cost) == proxy.score(cell(), *images(), F.cross_entropy) > 0


@pytest.mark.parametrize("layer", [nn.LSTM(4, 8), nn.TransformerEncoderLayer(4, 2, 8)], ids=lambda v: type(v).__name__)
def test_macs_are_those_of_recurrent_layers_and_attention_too(layer):
    """The CPU runs either as one operation, in which nothing can be counted."""
    inputs = torch.zeros(2, 5, 4)
    found = build("proxy", "macs").score(nn.Sequential(layer), inputs, torch.zeros(2), F.mse_loss)
    assert found == profile(layer, inputs).macs > 0


def test_synflow_sums_the_products_along_all_paths_once_for_each_layer():
    model = nn.Sequential(linear([[1.0, -2.0], [0.0, 3.0]]), nn.ReLU(), linear([[-1.0, 0.5]]))
    # |W2| |W1| 1 = 1 x 3 + 0.5 x 3
    assert build("proxy", "synflow").score(model, torch.randn(4, 2), torch.zeros(4), F.mse_loss) == pytest.approx(9.0)


def squares(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return 0.5 * (outputs[:, 0] - targets).square().mean()


def test_proxies_of_gradients_follow_their_formulas():
    """One linear layer and a loss of squares: gradient and Hessian are known."""
    weight = torch.tensor([2.0, -1.0])
    inputs, targets = torch.tensor([[1.0, 2.0], [3.0, 0.5]]), torch.tensor([1.0, 4.0])
    residual = inputs @ weight - targets
    gradient, hessian = inputs.T @ residual / 2, inputs.T @ inputs / 2
    model = nn.Sequential(linear([[2.0, -1.0]]))
    expected = {
        "grad_norm": gradient.norm(),
        "snip": (weight * gradient).abs().sum(),
        "grasp": -(weight * (hessian @ gradient)).sum(),
        "fisher": 0.5 * (inputs @ weight * residual / 2).square().mean(),
    }
    for name, value in expected.items():
        proxy = build("proxy", {"kind": name, **({"redraw": False} if name == "snip" else {})})
        assert proxy.score(model, inputs, targets, squares) == pytest.approx(float(value), rel=1e-5), name


def test_zico_is_the_log_of_mean_over_deviation():
    model = nn.Sequential(linear([[2.0, -1.0]]))
    inputs, targets = torch.tensor([[1.0, 2.0], [3.0, 0.5], [0.5, 1.0], [2.0, 2.0]]), torch.tensor([1.0, 4.0, 0.0, 1.0])
    residual = inputs @ torch.tensor([2.0, -1.0]) - targets
    parts = torch.stack([inputs[:2].T @ residual[:2] / 2, inputs[2:].T @ residual[2:] / 2])
    expected = (parts.abs().mean(0) / parts.std(0, correction=0)).sum().log()
    assert build("proxy", "zico").score(model, inputs, targets, squares) == pytest.approx(float(expected), rel=1e-4)


def test_naswot_compares_which_units_are_on():
    model = nn.Sequential(linear([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), nn.ReLU())
    inputs = torch.tensor([[1.0, 1.0], [1.0, -2.0]])  # on: all three; the first alone
    expected = math.log(3 * 3 - 1 * 1)
    assert build("proxy", "naswot").score(model, inputs, torch.zeros(2), F.mse_loss) == pytest.approx(expected)


def test_naswot_and_jacob_cov_refuse_samples_that_are_told_apart_by_nothing():
    model = nn.Sequential(linear([[1.0, 0.0]]), nn.ReLU())
    inputs = torch.ones(3, 2)
    with pytest.raises(NoScoreError, match="determinant"):
        build("proxy", "naswot").score(model, inputs, torch.zeros(3), F.mse_loss)
    alike = build("proxy", "jacob_cov").score(model, inputs, torch.zeros(3), F.mse_loss)
    assert alike < -1e5, "all correlations are 1: two eigenvalues are 0"


def test_jacob_cov_is_best_when_samples_are_uncorrelated():
    """Inputs that switch different ReLUs see different rows of the weights."""
    rows = [[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]]
    model = nn.Sequential(linear(rows), nn.ReLU())
    inputs = torch.tensor([[1.0, -2.0, 1.0, -1.0], [1.0, 2.0, -1.0, -1.0]])
    found = build("proxy", "jacob_cov").score(model, inputs, torch.zeros(2), F.mse_loss)
    assert found == pytest.approx(-2.0, abs=1e-3)


def test_zen_grows_with_depth_and_undoes_normalisation():
    def chain(depth: int, norm: bool) -> nn.Module:
        layers = [nn.Sequential(nn.Linear(8, 8), *([nn.BatchNorm1d(8)] if norm else [])) for _ in range(depth)]
        return nn.Sequential(*layers, nn.Linear(8, 2))

    inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    scores = {
        (d, n): build("proxy", "zen").score(chain(d, n), inputs, torch.zeros(64), F.mse_loss)
        for d in (2, 5)
        for n in (False, True)
    }
    assert scores[5, False] > scores[2, False] + 2
    assert scores[5, True] == pytest.approx(scores[5, False], abs=0.5)


def test_blocks_are_where_everything_flows_through():
    features = block_features(cell(), images()[0])
    assert [tuple(tensor.shape[1:]) for tensor in features] == [
        (4, 8, 8), (4, 8, 8), (8, 4, 4), (8, 4, 4), (16, 2, 2), (16, 2, 2)
    ]  # fmt: skip


def test_az_nas_gives_its_four_parts():
    parts = build("proxy", "az_nas").parts(cell(), *images(), F.cross_entropy)
    assert list(parts) == ["expressivity", "progressivity", "trainability", "complexity"]
    # six blocks of 4, 4, 8, 8, 16, 16 channels: the entropy of each is at most the log of its channels
    assert 0 < parts["expressivity"] < 2 * (math.log(4) + math.log(8) + math.log(16))
    assert parts["trainability"] <= 1e-5
    assert parts["complexity"] == build("proxy", "macs").score(cell(), *images(), F.cross_entropy)


def test_a_cell_that_hands_on_its_input_is_the_least_trainable():
    """The convolutions see only zeros, and the skip adds them to the input."""
    skip = cell("|none~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|")
    trainable = [build("proxy", "az_nas").parts(m, *images(), F.cross_entropy)["trainability"] for m in (skip, cell())]
    assert trainable[0] < -100 < -5 < trainable[1]


def test_equal_values_share_their_rank():
    assert rank_shares([3.0, 1.0, 3.0, 0.0]) == [3.5 / 4, 2 / 4, 3.5 / 4, 1 / 4]


@pytest.mark.parametrize("rule", ["log_rank", "mean_rank"])
def test_a_mixture_ranks_whatever_the_scales_and_puts_the_unscored_last(rule):
    found = mixture([{"a": 1.0, "b": 1e9}, {"a": 2.0, "b": 2e9}, None, {"a": 3.0, "b": -5.0}, {"a": -1.0}], rule=rule)
    assert max(found) == found[1]
    assert min(found) == found[2]
    assert found[0] > found[4]


def test_a_bad_rank_weighs_more_than_a_good_one_by_logarithm():
    pool = [
        {"a": 1.0, "b": 5.0},
        {"a": 3.0, "b": 3.0},
        {"a": 2.0, "b": 1.0},
        {"a": 4.0, "b": 2.0},
        {"a": 5.0, "b": 4.0},
    ]
    assert mixture(pool)[1] > mixture(pool)[0]


def test_a_seed_changes_what_is_drawn():
    scores = {load("proxy", "zen")(seed=seed).score(cell(), *images(), F.cross_entropy) for seed in (0, 1)}
    assert len(scores) == 2


def test_fisher_says_what_it_misses_in_a_network_of_recurrent_layers_alone() -> None:
    recurrent = nn.GRU(4, 3)
    with pytest.raises(NoScoreError, match=r"^the network has no convolution or linear layer"):
        build("proxy", "fisher").score(recurrent, torch.zeros(2, 5, 4), torch.zeros(2), lambda out, _: out[0].sum())  # type: ignore[attr-defined]
