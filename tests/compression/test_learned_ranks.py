"""Ranks that a training learns: singular values shrink, those that carry something stay."""

from __future__ import annotations

import pytest
import torch
from compression_nets import Conv, Lin
from torch import nn

from netwright.compression.factors import factored_views
from netwright.compression.factors_matrices import Weights, as_matrix, as_weight, weights_of
from netwright.compression.factors_spectrum import LEFT, Spectrum
from netwright.compression.model import Model
from netwright.compression.passes.low_rank import LowRank
from netwright.compression.rank_penalty import RankPenalty
from netwright.core.errors import ConfigurationError
from netwright.evaluation.profile import profile


@pytest.mark.parametrize("view", ["rows", "columns", "spatial"])
@pytest.mark.parametrize("shape", [(6, 5), (1, 6, 5, 3, 4), (2, 6, 5, 3)])
def test_weights_come_back_from_their_matrices(view, shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape)
    assert torch.equal(as_weight(as_matrix(weight, view), view, weight.shape), weight)


def test_the_rows_and_columns_of_a_convolution_are_its_channels() -> None:
    weight = Weights().of(nn.Conv2d(5, 3, 2))
    assert [tuple(as_matrix(weight, view).shape) for view in ("rows", "columns", "spatial")] == [
        (1, 3, 20),
        (1, 5, 12),
        (1, 10, 6),
    ]


def _layer_of(values: torch.Tensor) -> nn.Linear:
    """A layer whose weights have these singular values."""
    left, _ = torch.linalg.qr(torch.randn(64, len(values)))
    right, _ = torch.linalg.qr(torch.randn(64, len(values)))
    layer = Lin(64, 64)
    with torch.no_grad():
        layer.weight.copy_((left * values) @ right.T)
    return layer


def test_small_singular_values_go_first_and_the_least_rank_is_never_touched() -> None:
    torch.manual_seed(0)
    values = torch.cat([torch.full((10,), 4.0), torch.full((10,), 1.0), torch.full((10,), 0.2)])
    net = nn.Sequential(_layer_of(values))
    penalty = RankPenalty([("0", Weights(), "rows")], strength=1.0)
    penalty.start(net, epochs=1, steps=1)
    penalty.shrink(0.25)
    left = torch.linalg.svdvals(net[0].weight.detach())
    taken = 0.25 * float(values.square().sum() / 64)
    assert left[:8] == pytest.approx(values[:8], rel=1e-4)
    assert left[8:10] == pytest.approx((values[8:10].square() - taken).sqrt(), rel=1e-4)
    assert left[10:20] == pytest.approx((values[10:20].square() - taken).sqrt(), rel=1e-3)
    assert Spectrum(net[0].weight).rank(LEFT) == 20, "those of a fifth of the next are gone"


def test_many_small_shares_are_one_large_share() -> None:
    torch.manual_seed(0)
    nets = [nn.Sequential(_layer_of(torch.linspace(0.1, 3, 40))) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    for net, shares in zip(nets, ([0.6], [0.06] * 10), strict=True):
        penalty = RankPenalty([("0", Weights(), "rows")], strength=1.0)
        penalty.start(net, epochs=1, steps=1)
        for share in shares:
            penalty.shrink(share)
    assert torch.allclose(nets[0][0].weight, nets[1][0].weight, atol=1e-5)


def test_both_directions_of_a_recurrent_layer_share_a_rank() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.GRU(32, 12, bidirectional=True, batch_first=True))
    first, state = weights_of(net[0])
    before = first.of(net[0]), state.of(net[0])
    penalty = RankPenalty([("0", first, "rows"), ("0", state, "rows")], strength=1.0)
    penalty.start(net, epochs=1, steps=1)
    penalty.shrink(1.0)
    after = first.of(net[0]), state.of(net[0])
    assert [one.shape for one in after] == [one.shape for one in before] == [(72, 32), (2, 36, 12)]
    assert torch.linalg.matrix_rank(after[0]) < torch.linalg.matrix_rank(before[0]) == 32
    assert all(torch.linalg.matrix_rank(one) < 12 for one in after[1])
    assert torch.equal(after[0][36:], net[0].weight_ih_l0_reverse)
    assert torch.equal(after[1][1], net[0].weight_hh_l0_reverse)


def _trained(context_of):
    _, context = context_of("mlp", epochs=4)
    torch.manual_seed(0)
    net = nn.Sequential(
        Conv(1, 32, 3, padding=1), nn.ReLU(), Conv(32, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(),
        Lin(192, 64), nn.ReLU(), Lin(64, 10),
    )  # fmt: skip
    return context.fine_tune(net, purpose="teach", epochs=6, learning_rate=3e-3, distill=False), context


@pytest.mark.parametrize("method", ["tucker", "spatial"])
def test_a_network_learns_ranks_that_it_would_not_bear_at_once(method: str, context_of) -> None:
    trained, context = _trained(context_of)
    taught = LowRank(method=method, learned=1.0, learn_epochs=12, epochs=0, distill=False)
    done = taught.apply(Model(trained), context)
    before, after = (profile(one, context.example_tensor()).params for one in (trained, done.module))
    assert after < 0.6 * before
    at_once = taught.apply(Model(trained), context.without_training())
    scores = [context.evaluate(one)["accuracy"] for one in (trained, done.module, at_once.module)]
    assert scores[1] > scores[2] + 0.03
    factorized = [note.layer for note in done.notes if note.verdict == "factorized"]
    assert "2" in factorized
    errors = [note.reason.split("weights ")[1] for note in done.notes if note.layer in factorized and note.layer]
    assert all(float(error) < 0.01 for error in errors), "the ranks that were learned hold all that is left"


def test_the_dry_run_plans_without_training_and_changes_nothing(context_of) -> None:
    trained, context = _trained(context_of)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    verdicts = {one.layer: one for one in LowRank(learned=1.0).check(Model(trained), context)}
    assert verdicts["2"].applies
    assert all(torch.equal(before[name], value) for name, value in trained.state_dict().items())


def test_layers_that_cannot_be_factorized_keep_their_values(context_of) -> None:
    trained, context = _trained(context_of)
    views = factored_views(trained, context.example_tensor(), LowRank(learned=1.0, ignore=("6",)))
    assert [(path, view) for path, _, view in views] == [
        ("0", "rows"), ("0", "columns"), ("2", "rows"), ("2", "columns"), ("8", "rows"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"learned": 1.0, "energy": 0.9}, "not both"),
        ({"learned": 1.0, "method": "auto"}, "tucker or spatial"),
        ({"learned": 1.0, "method": "cp"}, "tucker or spatial"),
        ({"learn_epochs": 3}, "needs 'learned'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        LowRank.parse(settings)
