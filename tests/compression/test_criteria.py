"""Importance criteria, found by their files: what each must hold to, and what sets each apart."""

from __future__ import annotations

import pytest
import torch
from compression_nets import Conv, Lin, Net, mean
from torch import nn

from netwright.compression.coupling import Coupling, Member
from netwright.compression.criterion import Criterion, Part
from netwright.compression.importance import gradients_for, importances
from netwright.compression.model import Model
from netwright.compression.passes.structured_prune import StructuredPrune, dependency_groups
from netwright.compression.pruning import find_couplings
from netwright.compression.store import model_identity
from netwright.core.errors import ConfigurationError, NetwrightError
from netwright.core.plugins import build, names, spec_of

CRITERIA = names("criterion")
SHAPES = ("plain_cnn", "residual", "mlp", "lstm")


def values_of(name: str, net: nn.Module, context, *, seed: int = 0) -> dict[str, torch.Tensor]:
    criterion = build("criterion", name)
    couplings = find_couplings(net, context.example_tensor(), dependency_groups).proven
    return importances(net, couplings, criterion=criterion, gradients=gradients_for(criterion, net, context), seed=seed)


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_prunes_and_repeats(name: str, context_of) -> None:
    net, context = context_of("residual")
    settings = StructuredPrune(ratio=0.4, criterion=name, epochs=0)
    first, second = (settings.apply(Model(net), context).module for _ in range(2))
    assert model_identity(Model(first)) == model_identity(Model(second))
    assert sum(p.numel() for p in first.parameters()) < sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("net_name", SHAPES)
def test_scores_are_finite_not_negative_and_one_per_channel(name: str, net_name: str, context_of) -> None:
    net, context = context_of(net_name)
    with torch.no_grad():  # as training would leave them
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
    couplings = {c.name: c for c in find_couplings(net, context.example_tensor(), dependency_groups).proven}
    found = values_of(name, net, context)
    assert found.keys() == couplings.keys()
    for key, values in found.items():
        assert values.shape == (couplings[key].slots, couplings[key].size)
        assert torch.isfinite(values).all()
        assert (values >= 0).all()
        assert values.unique().numel() > 1


@pytest.mark.parametrize("name", CRITERIA)
def test_settings_are_described_and_survive_a_round_trip(name: str) -> None:
    criterion = build("criterion", name)
    assert isinstance(criterion, Criterion)
    assert all(field.description for field in type(criterion).model_fields.values())
    assert build("criterion", spec_of(criterion)) == criterion
    prune = StructuredPrune(criterion=name)
    assert StructuredPrune.parse(prune.model_dump(mode="json")) == prune


@pytest.mark.parametrize("name", sorted(set(CRITERIA) - {"random"}))
def test_channels_that_do_nothing_go_first(name: str, context_of) -> None:
    net, context = context_of("plain_cnn")
    with torch.no_grad():
        net.one.weight[:8] = 0.0
        net.one.bias[:8] = 0.0
        net.norm.weight[:8] = 0.0
        net.norm.bias[:8] = 0.0
        net.two.weight[:, :8] = 0.0
    settings = StructuredPrune(ratio=0.5, scope="local", criterion=name, round_to=1, epochs=0, ignore=("two",))
    if name == "fpgm":  # dead filters are all alike, and their distances to one another nothing
        with torch.no_grad():
            net.one.weight[8:] *= 5
    assert torch.equal(settings.apply(Model(net), context).module.norm.weight, net.norm.weight[8:])


def one_layer(rows: list[list[float]]) -> tuple[nn.Module, tuple[Coupling, ...]]:
    """A layer whose channels own the given weights, before a layer that treats them all alike."""
    net = Net(lambda s, x: s.f(torch.relu(s.a(x))), a=Lin(len(rows[0]), len(rows)), f=Lin(len(rows), 3)).eval()
    with torch.no_grad():
        net.a.weight.copy_(torch.tensor(rows))
        net.f.weight.fill_(0.0)
    numbers = tuple(range(len(rows)))
    return net, (Coupling("a", 1, len(rows), (Member("a", "out", numbers, numbers),)),)


def scores(name: str, rows: list[list[float]], **settings: object) -> list[float]:
    net, couplings = one_layer(rows)
    criterion = build("criterion", {"kind": name, **settings})
    return importances(net, couplings, criterion=criterion)["a"][0].tolist()


def test_magnitude_by_either_norm() -> None:
    rows = [[3.0, 0.0], [2.0, 2.0]]
    assert scores("magnitude", rows, norm=1) == pytest.approx([6 / 7, 8 / 7])
    assert scores("magnitude", rows, norm=2) == pytest.approx([18 / 17, 16 / 17])


def test_lamp_divides_by_all_that_are_not_smaller() -> None:
    assert scores("lamp", [[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]) == pytest.approx([4 / 13, 1 / 14, 1.0])


def test_fpgm_removes_what_is_near_the_middle_and_not_what_is_small() -> None:
    found = scores("fpgm", [[0.0, 0.1], [5.0, 5.0], [5.1, 5.0], [4.9, 5.0], [9.0, 9.0]])
    assert min(range(5), key=found.__getitem__) in (1, 2, 3)


def test_random_depends_on_the_seed_alone(context_of) -> None:
    net, context = context_of("residual")
    first, same, other = (values_of("random", net, context, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)


def part(weight: list[list[float]], gradient: list[list[float]]) -> Part:
    as_tensors = [torch.tensor(values, dtype=torch.float64) for values in (weight, gradient)]
    return Part(nn.Linear(1, 1), "out", (as_tensors[0],), (as_tensors[1],), torch.Generator())


def test_second_order_scores_of_a_sample() -> None:
    one = part([[1.0, 2.0], [1.0, -2.0]], [[3.0, 1.0], [2.0, 1.0]])
    assert build("criterion", "taylor").scores(one).tolist() == [5.0, 4.0]
    assert build("criterion", "hessian").scores(one).tolist() == [6.5, 4.0]
    assert build("criterion", "obd_c").scores(one).tolist() == [12.5, 0.0]


class Own(Criterion):
    """Answers what it is given."""

    answer: object = None

    def scores(self, part: Part) -> torch.Tensor:
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (None, "None"),
        (torch.ones(3), r"a tensor of shape \(3,\)"),
        (torch.tensor([1.0, torch.nan]), r"a tensor of shape \(2,\)"),
    ],
)
def test_an_answer_that_is_no_score_of_each_channel_is_told(answer: object, came: str) -> None:
    one = part([[1.0, 2.0], [1.0, -2.0]], [[3.0, 1.0], [2.0, 1.0]])
    with pytest.raises(NetwrightError, match=f"`scores` of the criterion .*Own' answered {came}; expected a tensor of"):
        Own(answer=answer).asked(one)
    assert Own(answer=torch.ones(2)).asked(one).dtype == torch.float64


def test_gradients_of_samples_average_to_that_of_the_batch(context_of) -> None:
    net, context = context_of("plain_cnn")
    count = len(context.calibration)
    whole = context.gradients(net)
    singles = list(gradients_for(build("criterion", {"kind": "hessian", "samples": count}), net, context))
    assert len(singles) == count
    for name, gradient in whole.items():
        torch.testing.assert_close(sum(one[name] for one in singles) / count, gradient, rtol=1e-3, atol=1e-6)


def test_grouped_and_recurrent_weights_are_laid_out_by_channel(context_of) -> None:
    net = Net(
        lambda s, x: s.f(mean(s.c(s.b(s.a(x))))),
        a=Conv(3, 16, 1),
        b=Conv(16, 16, 3, groups=4),
        c=Conv(16, 12, 1),
        f=Lin(12, 10),
    ).eval()
    with torch.no_grad():
        net.b.weight.fill_(0.0)
        net.a.weight.fill_(0.0)
        net.b.weight[4:8, 2] = 1.0  # the third input of the second group
    couplings = find_couplings(net, torch.randn(8, 3, 4, 4), dependency_groups).proven
    values = importances(net, couplings, criterion=build("criterion", "magnitude"))
    name = next(c.name for c in couplings if {m.path for m in c.members} >= {"a", "b"} and values[c.name].numel() == 16)
    assert int(values[name].argmax()) == 6

    rnn = Net(lambda s, x: s.f(s.r(x)[0][:, -1]), r=nn.LSTM(6, 5, 2, batch_first=True), f=Lin(5, 3)).eval()
    with torch.no_grad():
        rnn.r.weight_hh_l0[5 + 3] = 9.0  # unit 3's forget gate in the first layer
    (coupling,) = find_couplings(rnn, torch.randn(8, 4, 6), dependency_groups).proven
    found = importances(rnn, [coupling], criterion=build("criterion", "magnitude"))["r"]
    assert found.shape == (2, 5)
    assert int(found.argmax()) == 3


def test_an_unknown_criterion_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'taylor'"):
        StructuredPrune.parse({"criterion": "tayler"})
