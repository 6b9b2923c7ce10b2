"""Structured pruning: what is removed is proven, what cannot be proven is refused by name."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from itertools import combinations
from typing import ClassVar

import pytest
import torch
from compression_nets import IMAGE, NETS, SEQUENCE, WIRINGS, Conv, Lin, Net, mean
from torch import nn
from torch.nn import functional as F

from netwright.compression.coupling import Coupling, Member
from netwright.compression.group_penalty import GroupPenalty
from netwright.compression.model import Model
from netwright.compression.passes.structured_prune import StructuredPrune, dependency_groups
from netwright.compression.patch import apply_patch, difference
from netwright.compression.probing import probe
from netwright.compression.proof import Prover, outputs, refutation, relative_difference
from netwright.compression.pruning import doomed_channels, find_couplings, prune_once, start_of
from netwright.compression.store import model_identity
from netwright.compression.surgery import Cut, remove, silence
from netwright.core.errors import CompressionError, ConfigurationError
from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.evaluation.profile import profile


def _padded(s: Net, x: torch.Tensor) -> torch.Tensor:
    """A shortcut that adds silent channels on both sides, as the first residual networks had."""
    narrow = torch.relu(s.a(x))
    wide = torch.relu(s.c(torch.relu(s.b(narrow))) + F.pad(narrow, (0, 0, 0, 0, 4, 4)))
    return s.f(mean(wide))


def _dense(s: Net, x: torch.Tensor) -> torch.Tensor:
    first = s.a(x)
    second = torch.cat([first, s.b(torch.relu(s.n(first)))], 1)
    return s.f(mean(torch.cat([second, s.c(torch.relu(second))], 1)))


def _gate(s: Net, x: torch.Tensor) -> torch.Tensor:
    values, gate = s.a(x).chunk(2, -1)
    return s.f(torch.relu(s.b(values * torch.sigmoid(gate))))


def _chunk_and_sum(s: Net, x: torch.Tensor) -> torch.Tensor:
    """As in YOLO's C2f."""
    parts = list(torch.relu(s.a(x)).chunk(2, 1))
    parts.append(parts[1] + torch.relu(s.b(parts[1])))
    return s.f(mean(torch.relu(s.c(torch.cat(parts, 1)))))


def _split(s: Net, x: torch.Tensor) -> torch.Tensor:
    left, right = s.a(x).split(s.width, 1)
    return s.f(mean(torch.cat([left, torch.relu(s.b(right))], 1)))


class Halved(nn.Linear):
    """A Linear layer that scales its weights before it uses them."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return F.linear(inputs, 0.5 * self.weight, self.bias)


MORE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], set[str], set[str]]] = {
    "largest over channels": (
        lambda: Net(
            lambda s, x: s.f((s.b(x) * s.a(x).amax(1, keepdim=True)).mean((2, 3))),
            a=Conv(3, 16, 1),
            b=Conv(3, 8, 1),
            f=Lin(8, 10),
        ),
        IMAGE,
        {"b"},
        {"a", "f"},
    ),
    "sum over channels": (
        lambda: Net(
            lambda s, x: s.f((s.b(x) * s.a(x).sum(1, keepdim=True)).mean((2, 3))),
            a=Conv(3, 16, 1),
            b=Conv(3, 8, 1),
            f=Lin(8, 10),
        ),
        IMAGE,
        {"b"},
        {"f"},
    ),
    "mean over channels": (
        lambda: Net(
            lambda s, x: s.f((s.b(x) * s.a(x).mean(1, keepdim=True)).mean((2, 3))),
            a=Conv(3, 16, 1),
            b=Conv(3, 8, 1),
            f=Lin(8, 10),
        ),
        IMAGE,
        {"b"},
        {"a", "f"},
    ),
    "dense block": (
        lambda: Net(_dense, a=Conv(3, 8, 1), n=nn.BatchNorm2d(8), b=Conv(8, 4, 1), c=Conv(12, 4, 1), f=Lin(16, 10)),
        IMAGE,
        {"a", "b", "c"},
        {"f"},
    ),
    "padded shortcut": (
        lambda: Net(_padded, a=Conv(3, 8, 1), b=Conv(8, 12, 3, padding=1), c=Conv(12, 16, 1), f=Lin(16, 10)),
        IMAGE,
        {"a", "b", "c"},
        {"f"},
    ),
    "channel shuffle layer": (
        lambda: Net(
            lambda s, x: s.f(mean(s.b(s.s(s.a(x))))),
            a=Conv(3, 16, 1),
            s=nn.ChannelShuffle(4),
            b=Conv(16, 8, 1),
            f=Lin(8, 10),
        ),
        IMAGE,
        {"a", "b"},
        {"f"},
    ),
    "gated linear unit": (
        lambda: Net(lambda s, x: s.f(mean(s.g(s.a(x)))), a=Conv(3, 16, 3), g=nn.GLU(1), f=Lin(8, 10)),
        IMAGE,
        {"a"},
        {"f"},
    ),
    "gate of half the units": (
        lambda: Net(_gate, a=Lin(6, 24), b=Lin(12, 8), f=Lin(8, 5)),
        (6,),
        {"a", "b"},
        {"f"},
    ),
    "chunk and a residual sum": (
        lambda: Net(_chunk_and_sum, a=Conv(3, 16, 1), b=Conv(8, 8, 3, padding=1), c=Conv(24, 8, 1), f=Lin(8, 10)),
        IMAGE,
        {"a", "b", "c"},
        {"f"},
    ),
    "split by a number of the network": (
        lambda: Net(_split, a=Conv(3, 16, 1), b=Conv(8, 8, 3, padding=1), f=Lin(16, 10), width=8),
        IMAGE,
        {"a", "b"},
        {"f"},
    ),
    "maximum over pairs of channels": (
        lambda: Net(
            lambda s, x: s.f(mean(s.a(x).unflatten(1, (-1, 2)).amax(2))),
            a=Conv(3, 16, 3),
            f=Lin(8, 10),
        ),
        IMAGE,
        {"a"},
        {"f"},
    ),
    "pixel shuffle layer": (
        lambda: Net(
            lambda s, x: s.f(mean(s.b(s.s(s.a(x))))),
            a=Conv(3, 16, 1),
            s=nn.PixelShuffle(2),
            b=Conv(4, 8, 1),
            f=Lin(8, 10),
        ),
        IMAGE,
        {"a", "b"},
        {"f"},
    ),
    "linear layer on every pixel": (
        lambda: Net(
            lambda s, x: s.f(torch.relu(s.b(s.a(x).permute(0, 2, 3, 1))).mean((1, 2))),
            a=Conv(3, 16, 1),
            b=Lin(16, 8),
            f=Lin(8, 10),
        ),
        IMAGE,
        {"a", "b"},
        {"f"},
    ),
    "weights scaled before use": (
        lambda: Net(
            lambda s, x: s.f(torch.relu(s.b(torch.relu(s.a(x))))), a=Halved(6, 16), b=Lin(16, 8), f=Halved(8, 5)
        ),
        (6,),
        {"a", "b"},
        {"f"},
    ),
    "one slope for all channels": (
        lambda: Net(
            lambda s, x: s.f(mean(s.p(s.b(s.p(s.a(x)))))),
            a=Conv(3, 16, 1),
            b=Conv(16, 8, 3),
            p=nn.PReLU(),
            f=Lin(8, 10),
        ),
        IMAGE,
        {"a", "b"},
        {"f"},
    ),
    "normalisation by tensors of the network": (
        lambda: Net(
            lambda s, x: s.f(mean(torch.relu(s.b(torch.relu(F.batch_norm(s.a(x), s.m, s.v)))))),
            a=Conv(3, 16, 1),
            b=Conv(16, 8, 1),
            m=nn.Buffer(torch.zeros(16)),
            v=nn.Buffer(torch.ones(16)),
            f=Lin(8, 10),
        ),
        IMAGE,
        {"b"},
        {"a", "f"},
    ),
    "LSTM into GRU": (
        lambda: Net(
            lambda s, x: s.f(s.q(s.r(x)[0])[0][:, -1]),
            r=nn.LSTM(6, 12, batch_first=True, bidirectional=True),
            q=nn.GRU(24, 8, batch_first=True),
            f=Lin(8, 10),
        ),
        SEQUENCE,
        {"r", "q"},
        {"f"},
    ),
    "convolution into LSTM into linear": (
        lambda: Net(
            lambda s, x: s.f(torch.relu(s.g(s.r(torch.relu(s.n(s.a(x.transpose(1, 2)))).transpose(1, 2))[0].mean(1)))),
            a=nn.Conv1d(6, 16, 3, padding=1),
            n=nn.BatchNorm1d(16),
            r=nn.LSTM(16, 12, 2, batch_first=True),
            g=Lin(12, 8),
            f=Lin(8, 10),
        ),
        SEQUENCE,
        {"a", "r", "g"},
        {"f"},
    ),
}
ALL = {**WIRINGS, **MORE}


def wiring(name: str) -> tuple[nn.Module, torch.Tensor, set[str], set[str]]:
    torch.manual_seed(7)
    build, shape, exact, refused = ALL[name]
    return build().eval(), torch.randn(16, *shape), exact, refused


@pytest.mark.parametrize("name", ALL)
def test_each_wiring_is_exact_or_refused(name: str) -> None:
    net, example, exact, refused = wiring(name)
    found = find_couplings(net, example, dependency_groups)
    producers = {m.path for c in found.proven for m in c.members if m.role != "in"}
    assert exact <= producers
    assert refused <= found.refused.keys()
    assert not producers & refused
    assert all(found.refused.values())


@pytest.mark.parametrize("name", ALL)
def test_what_is_proven_holds_on_other_inputs_and_other_channels(name: str) -> None:
    net, example, _, _ = wiring(name)
    fresh = torch.randn(33, *example.shape[1:]) * 3
    for coupling in find_couplings(net, example, dependency_groups).proven:
        cuts = coupling.cuts(coupling.trial(991))
        assert relative_difference(outputs(remove(net, cuts), fresh), outputs(silence(net, cuts), fresh)) < 1e-4


def test_a_wrong_grouping_is_refused() -> None:
    net, example, _, _ = wiring("squeeze and excite")
    right = next(c for c in dependency_groups(net, example) if c.name == "a")
    twisted = tuple(
        dataclasses.replace(m, indices=m.indices[1:] + m.indices[:1]) if m.path == "f" else m for m in right.members
    )
    wrong = dataclasses.replace(right, members=twisted)
    assert refutation(net, right.cuts([0, 3, 4]), example=example) == ""
    assert "outputs differ" in refutation(net, wrong.cuts([0, 3, 4]), example=example)


def test_a_forgotten_layer_is_refused() -> None:
    net, example, _, _ = wiring("squeeze and excite")
    right = next(c for c in dependency_groups(net, example) if c.name == "a")
    for left_out in right.members:
        members = tuple(m for m in right.members if m is not left_out)
        assert refutation(net, dataclasses.replace(right, members=members).cuts([1, 2]), example=example)


def test_channels_without_effect_prove_nothing() -> None:
    net = Net(lambda s, x: s.f(s.a(x) * 0) + s.g(x), a=Lin(6, 16), f=Lin(16, 10), g=Lin(6, 10)).eval()
    cuts = [Cut("a", "out", (1,)), Cut("f", "in", (1,))]
    assert "no visible effect" in refutation(net, cuts, example=torch.randn(4, 6))


def test_tracing_failure_falls_back_to_probing() -> None:
    net, example, _, _ = wiring("NHWC flatten")

    def broken(module: nn.Module, inputs: torch.Tensor) -> list[Coupling]:
        raise IndexError("no such edge")

    found = find_couplings(net, example, broken)
    assert [c.name for c in found.proven] == ["a"]
    assert "cannot follow this network" in found.refused[""]


def test_probing_joins_layers_whose_channels_meet() -> None:
    net = Net(lambda s, x: s.f(mean(s.a(x) + s.b(x))), a=Conv(3, 8, 1), b=Conv(3, 8, 3, padding=1), f=Lin(8, 10)).eval()
    found = find_couplings(net, torch.randn(8, 3, 4, 4), lambda module, inputs: [])
    assert len(found.proven) == 1
    assert {m.path for m in found.proven[0].members} == {"a", "b", "f"}


def test_only_the_channels_that_a_padded_shortcut_carries_go() -> None:
    net, example, _, _ = wiring("padded shortcut")
    (shared,) = (c for c in find_couplings(net, example, dependency_groups).proven if c.name == "a")
    assert shared.width == 8
    wide = next(m for m in shared.members if m.path == "c" and m.role == "out")
    assert wide.indices == tuple(range(4, 12))
    small = remove(net, shared.cuts([0, 1, 2, 3]))
    assert (small.a.out_channels, small.c.out_channels, small.f.in_features) == (4, 12, 12)


class Residual(nn.Module):
    """A convolution and one after it around which the input goes, without normalisation; wider with silent channels."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.stride = outside // inside
        self.first = Conv(inside, outside, 3, stride=self.stride, padding=1)
        self.second = Conv(outside, outside, 3, padding=1)
        self.side = (outside - inside) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.side, self.side))
        return torch.relu(self.second(torch.relu(self.first(x))) + wide)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_channel_of_a_deep_network_is_lost_where_large_signals_hide_small_ones(seed: int) -> None:
    blocks = [nn.ReLU(), *(Residual(8, 8) for _ in range(12)), Residual(8, 16)]
    net = nn.Sequential(Conv(3, 8, 3, padding=1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), Lin(16, 4)).eval()
    found = find_couplings(net, torch.randn(2, 3, 8, 8), dependency_groups, seed=seed).proven
    (stream,) = (one for one in found if one.name == "0")
    assert {len(member.channels) for member in stream.members} == {8}


def test_a_grouping_of_channels_that_are_not_there_gives_no_reason() -> None:
    net, example, _, _ = wiring("largest over channels")
    lost = Coupling("a", 1, 16, (Member("a", "out", tuple(range(16)), tuple(range(900, 916))),))
    found = find_couplings(net, example, lambda module, inputs: [lost])
    assert "b" in {coupling.name for coupling in found.proven}
    assert "no channel" not in found.refused["a"]


def test_a_split_into_fixed_sizes_is_said() -> None:
    net, example, _, _ = wiring("split in unequal parts")
    assert "split into parts of fixed sizes" in find_couplings(net, example, dependency_groups).refused["a"]


def test_channels_that_others_leave_no_proof_for_stay_and_are_named(context_of) -> None:
    net, context = context_of("plain_cnn")
    settings = StructuredPrune(ratio=0.5, epochs=0)
    found = find_couplings(net, context.example_tensor(), dependency_groups)
    (one,) = (coupling for coupling in found.proven if coupling.name == "one")
    forgetful = dataclasses.replace(one, members=tuple(m for m in one.members if m.path != "two"))
    couplings = [forgetful, *(coupling for coupling in found.proven if coupling.name != "one")]
    start = start_of(net, couplings, settings, context)
    pruned = prune_once(net, couplings, settings, context, step=1, start=start)
    assert pruned.left == ("one",)
    assert pruned.module.one.out_channels == net.one.out_channels
    assert pruned.module.two.out_channels < net.two.out_channels


def test_a_lying_grouping_cannot_touch_the_head() -> None:
    net, example, _, _ = wiring("depthwise")
    everything = tuple(range(10))
    lie = Coupling("f", 1, 10, (Member("f", "out", everything, everything),))
    found = find_couplings(net, example, lambda module, inputs: [lie])
    assert found.refused["f"] == "it produces the outputs"


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("scope", ["local", "global", "isomorphic"])
def test_half_the_channels_go_and_the_head_stays(name: str, scope: str, context_of) -> None:
    net, context = context_of(name)
    pruned = StructuredPrune(ratio=0.5, scope=scope, epochs=0).apply(Model(net), context).module
    before, after = profile(net, context.example_tensor()), profile(pruned, context.example_tensor())
    assert after.params < 0.75 * before.params
    assert after.macs < 0.75 * before.macs
    assert outputs(pruned, context.example_tensor()).shape == (16, 10)


@pytest.mark.parametrize("name", NETS)
def test_a_target_of_macs_is_met(name: str, context_of) -> None:
    net, context = context_of(name)
    pruned = StructuredPrune(macs=0.5, round_to=1, min_channels=2, epochs=0).apply(Model(net), context).module
    left = profile(pruned, context.example_tensor()).macs / profile(net, context.example_tensor()).macs
    assert left == pytest.approx(0.5, abs=0.06)


def test_an_unreachable_target_is_said(context_of) -> None:
    net, context = context_of("plain_cnn")
    done = StructuredPrune(macs=0.01, max_ratio=0.3, epochs=0).apply(Model(net), context)
    assert "out of reach" in done.notes[0].reason


def test_steps_end_where_one_step_would(context_of) -> None:
    net, context = context_of("residual")
    rows = []
    for steps in (1, 3):
        settings = StructuredPrune(ratio=0.5, scope="local", steps=steps, round_to=4, epochs=0)
        rows.append(profile(settings.apply(Model(net), context).module, context.example_tensor()).params)
    assert rows[1] == pytest.approx(rows[0], rel=0.15)


def test_the_least_important_channels_go(context_of) -> None:
    net, context = context_of("mlp")
    with torch.no_grad():
        net[1].weight[::2] *= 1e-3
        net[4].weight[:, ::2] *= 1e-3
    pruned = (
        StructuredPrune(ratio=0.5, scope="local", round_to=1, epochs=0, ignore=("4",)).apply(Model(net), context).module
    )
    assert torch.equal(pruned[1].weight, net[1].weight[1::2])


def test_ignored_layers_keep_their_width(context_of) -> None:
    net, context = context_of("plain_cnn")
    pruned = StructuredPrune(ratio=0.5, epochs=0, ignore=("one",)).apply(Model(net), context).module
    assert pruned.one.out_channels == 16
    assert pruned.two.out_channels < 32
    with pytest.raises(CompressionError, match="'nine'"):
        StructuredPrune(ignore=("nine",), epochs=0).apply(Model(net), context)


def test_weight_norm_is_refused_with_advice(context_of) -> None:
    net, context = context_of("mlp")
    torch.nn.utils.parametrizations.weight_norm(net[1])
    with pytest.raises(CompressionError, match="remove it first"):
        StructuredPrune(epochs=0).apply(Model(net), context)
    assert not any(v.applies for v in StructuredPrune().check(Model(net), context))


def test_what_goes_to_a_tied_layer_stays() -> None:
    net = Net(
        lambda s, x: s.f(torch.relu(s.b(torch.relu(s.a(s.e(x)))))),
        e=Lin(6, 16),
        a=Lin(16, 16),
        b=Lin(16, 16),
        f=Lin(16, 5),
    )
    net.b.weight = net.a.weight
    found = find_couplings(net.eval(), torch.randn(16, 6), dependency_groups)
    assert not found.proven
    assert found.refused["e"] == "its channels go to a, which shares its weights with another layer"


def test_a_tied_layer_is_refused() -> None:
    net = Net(lambda s, x: s.f(torch.relu(s.b(torch.relu(s.a(x))))), a=Lin(8, 8), b=Lin(8, 8), f=Lin(8, 10)).eval()
    net.b.weight = net.a.weight
    found = find_couplings(net, torch.randn(4, 8), dependency_groups)
    assert "shares its weights" in found.refused["a"]
    assert not found.proven


@pytest.mark.parametrize("pair", list(combinations(("ratio", "macs", "latency"), 2)))
def test_targets_exclude_each_other(pair: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        StructuredPrune.parse(dict.fromkeys(pair, 0.5))


def test_milder_takes_half_as_much_away() -> None:
    assert StructuredPrune().milder().ratio == pytest.approx(0.15)
    assert StructuredPrune(ratio=0.5, criterion="lamp").milder() == StructuredPrune(ratio=0.25, criterion="lamp")
    assert StructuredPrune(macs=0.4).milder().macs == pytest.approx(0.7)
    assert StructuredPrune(latency=0.6).milder().latency == pytest.approx(0.8)


def test_a_target_of_latency_is_measured_on_the_file(context_of) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), Lin(64, 2048), nn.ReLU(), Lin(2048, 2048), nn.ReLU(), Lin(2048, 10)).eval()
    _, context = context_of("mlp")
    done = StructuredPrune(latency=0.5, epochs=0).apply(Model(net), context)
    assert "of the latency of the exported file" in done.notes[0].reason
    # of what a half takes off, a noisy machine may leave a half
    assert profile(done.module, context.example_tensor()).macs < 0.9 * profile(net, context.example_tensor()).macs


def test_an_unreachable_latency_is_said(context_of) -> None:
    net, context = context_of("plain_cnn")
    done = StructuredPrune(latency=0.05, max_ratio=0.2, epochs=0).apply(Model(net), context)
    assert "the target of 5% is out of reach" in done.notes[0].reason


@pytest.mark.parametrize("kind", ["group_lasso", "growing"])
@pytest.mark.parametrize("name", ["residual", "lstm"])
def test_regularised_training_makes_the_removal_cheaper(kind: str, name: str, context_of) -> None:
    net, context = context_of(name, epochs=3)
    couplings = find_couplings(net, context.example_tensor(), dependency_groups).proven
    settings = StructuredPrune(ratio=0.4, scope="local")
    gone = doomed_channels(net, couplings, settings, context, step=1, start=start_of(net, couplings, settings, context))
    cuts = [cut for c in couplings for cut in c.cuts(gone.get(c.name, ()))]
    plain = context.fine_tune(net, purpose="plain")
    penalty = GroupPenalty(kind, couplings=couplings, doomed=gone, strength=1.0)
    shrunk = context.fine_tune(net, purpose=kind, hooks=[penalty])
    changes = []
    for module in (plain, shrunk):
        whole = outputs(module, context.example_tensor())
        changes.append(float((whole - outputs(remove(module, cuts), context.example_tensor())).norm() / whole.norm()))
    assert changes[1] < (0.2 if kind == "growing" else 0.9) * changes[0]


def test_a_regularised_recipe_prunes_and_shows_its_structure_when_dry(context_of) -> None:
    net, context = context_of("plain_cnn")
    settings = StructuredPrune(ratio=0.5, scope="local", regularise="growing", regularise_epochs=2)
    trained, planned = (settings.apply(Model(net), one).module for one in (context, context.without_training()))
    assert [p.shape for p in trained.parameters()] == [p.shape for p in planned.parameters()]
    assert not torch.equal(next(trained.parameters()), next(planned.parameters()))


@pytest.mark.parametrize(
    ("space", "shape"), [("convnet", (3, 8, 8)), ("cells", (3, 8, 8)), ("recurrent", (12, 8)), ("recurrent", (1, 8, 8))]
)
def test_all_hidden_channels_of_our_own_networks_can_go(space: str, shape: tuple[int, ...]) -> None:
    found = build("space", space)
    net = found.build(found.sample(random.Random(2)), Shapes(shape, 10), seed=2).eval()
    example = torch.randn(16, *shape)
    couplings = find_couplings(net, example, dependency_groups)
    assert set(couplings.refused.values()) == {"it produces the outputs"}
    cuts = [cut for coupling in couplings.proven for cut in coupling.cuts(coupling.trial(3))]
    assert refutation(net, cuts, example=example, seed=99) == ""
    small = remove(net, cuts)
    assert profile(small, example).macs < 0.5 * profile(net, example).macs
    rebuilt = apply_patch(net, difference(net, small))
    rebuilt.load_state_dict(small.state_dict())
    assert torch.equal(outputs(rebuilt, example), outputs(small, example))


def test_a_prover_leaves_its_network_and_itself_as_they_were() -> None:
    net, example, _, _ = wiring("stacked bidirectional LSTM between Linear")
    before = model_identity(Model(net))
    prover = Prover(net, example)
    couplings = find_couplings(net, example, dependency_groups).proven
    wrong = [Cut("r", "units", tuple(range(6)))]
    answers = [
        [prover.refutation(c.cuts(c.trial(1))) for c in couplings] + [prover.refutation(wrong)] for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert answers[0][:-1] == [""] * len(couplings)
    assert answers[0][-1]
    assert model_identity(Model(net)) == before


class Counted(nn.Sequential):
    """A network that counts how often it runs, in all its copies together."""

    runs: ClassVar[list[int]] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.runs.append(len(inputs))
        return super().forward(inputs)


def test_one_wrong_removal_among_many_is_found_and_the_others_cost_two_runs_each() -> None:
    torch.manual_seed(0)
    layers = [nn.Sequential(Conv(3 if number == 0 else 8, 8, 1), nn.Tanh()) for number in range(12)]
    net = Counted(*layers, nn.Flatten(), Lin(8 * 16, 10)).eval()
    prover = Prover(net, torch.randn(8, 3, 4, 4))
    removals = [[Cut(f"{at}.0", "out", (1, 4)), Cut(f"{at + 1}.0", "in", (1, 4))] for at in range(11)]
    removals[7] = [Cut("7.0", "out", (1, 4)), Cut("8.0", "in", (1, 5))]
    Counted.runs.clear()
    reasons = prover.refutations(removals)
    assert len(Counted.runs) <= 2 * len(removals) + 4
    assert "outputs differ" in reasons[7]
    assert [number for number, reason in enumerate(reasons) if reason] == [7]


def test_removals_that_hold_only_alone_are_each_proven() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Sequential(Conv(3 if at == 0 else 8, 8, 1), nn.Tanh()) for at in range(6))).eval()
    net.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Lin(8, 10)))
    prover = Prover(net, torch.randn(8, 3, 4, 4))
    halves = [[Cut("2.0", "out", part), Cut("3.0", "in", part)] for part in ((0, 1, 2, 3), (4, 5, 6, 7))]
    assert "cannot take 8 of 8 channels" in prover.refutation(halves[0] + halves[1])
    others = [[Cut(f"{at}.0", "out", (1, 4)), Cut(f"{at + 1}.0", "in", (1, 4))] for at in (0, 1, 3, 4)]
    assert prover.refutations([*halves, *others]) == [""] * 6


def test_probing_runs_the_unchanged_network_once() -> None:
    net = Counted(Lin(6, 8), nn.Tanh(), Lin(8, 8), nn.Tanh(), Lin(8, 8), nn.Tanh(), Lin(8, 5)).eval()
    example = torch.randn(8, 6)
    Counted.runs.clear()
    assert probe(net, [], example=example).couplings == ()
    assert not Counted.runs
    found = probe(net, ["0", "2", "4"], example=example)
    assert {coupling.name for coupling in found.couplings} == {"0", "2", "4"}
    # in double, with random inputs, unchanged; then two for each of three binary digits of each layer's channels
    assert len(Counted.runs) == 3 + 3 * 2 * 3
