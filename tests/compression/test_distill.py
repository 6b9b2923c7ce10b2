"""Distillation: teachers of every kind, layers matched by shape, losses that mean what they say."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from compression_nets import NETS, Lin, mlp, plain_cnn
from torch import nn

from netwright.compression.distillation import FeatureHook, attention_distance, hint_distance, matched
from netwright.compression.model import Model
from netwright.compression.passes.distill import Distill
from netwright.compression.passes.low_rank import LowRank
from netwright.compression.passes.structured_prune import StructuredPrune
from netwright.compression.store import model_identity
from netwright.core.errors import CompressionError, ConfigurationError
from netwright.tasks.settings import Training


def pruned(context, net: nn.Module) -> Model:
    return StructuredPrune(ratio=0.4, epochs=0).apply(Model(net), context)


def distances(module: nn.Module, context, kind: str) -> float:
    """How far the student's layers are from the original's on the example."""
    student = module
    hook = FeatureHook(
        context.original, matched(student, context.original, context.example_tensor()), kind=kind, weight=1
    )
    hook.start(student, epochs=1, steps=1)
    with torch.no_grad():
        student(context.example_tensor())
        found = float(hook.penalty(context.example_tensor()))
    hook.close()
    return found


@pytest.mark.parametrize("kind", ["hints", "attention"])
def test_the_layers_come_nearer_to_the_teachers(kind: str, context_of) -> None:
    net, context = context_of("plain_cnn")
    context = dataclasses.replace(context, training=Training(epochs=5, batch_size=32, samples=256, learning_rate=3e-3))
    start = pruned(context, net)
    taught = Distill(features=kind, feature_weight=20.0).apply(start, context)
    plain = Distill().apply(start, context)
    assert distances(taught.module, context, kind) < 0.9 * distances(plain.module, context, kind)
    assert not any(layer._forward_hooks for layer in taught.module.modules()), "hooks were left behind"
    assert any(note.verdict == "taught" for note in taught.notes)


def test_hints_need_no_equal_channels_and_are_zero_for_the_same_information() -> None:
    torch.manual_seed(0)
    theirs = torch.randn(8, 5, 5, 6)
    mixed = theirs @ torch.randn(6, 9) + 3
    assert hint_distance(mixed, theirs) < 0.02
    assert 0.9 < hint_distance(torch.randn(8, 5, 5, 2), theirs) <= 1.01
    with_gradient = torch.randn(8, 5, 5, 4, requires_grad=True)
    hint_distance(with_gradient, theirs).backward()
    assert with_gradient.grad.abs().sum() > 0


def test_attention_looks_at_places_alone() -> None:
    torch.manual_seed(0)
    theirs = torch.randn(4, 3, 3, 6)
    assert attention_distance(-2 * theirs[..., torch.randperm(6)], theirs) < 1e-10
    assert attention_distance(theirs.flip(1), theirs) > 0.05


@pytest.mark.parametrize("name", ["plain_cnn", "residual", "lstm"])
def test_layers_are_matched_by_the_shape_of_their_results(name: str, context_of) -> None:
    net, context = context_of(name)
    small = LowRank(ratio=0.3, min_gain=0, epochs=0).apply(Model(net), context).module
    pairs = matched(small, context.original, context.example_tensor())
    assert pairs
    assert len({pair.positions for pair in pairs}) == len(pairs)
    assert not any(pair.teacher == "head" for pair in pairs)


def test_layers_by_name(context_of) -> None:
    net, context = context_of("plain_cnn")
    done = Distill(features="attention", layers={"one": "two"}).check(Model(net), context)
    assert [verdict.layer for verdict in done] == ["", "one"]
    with pytest.raises(CompressionError, match="no layer 'three'"):
        Distill(features="attention", layers={"three": "two"}).apply(Model(net), context)
    with pytest.raises(CompressionError, match="positions"):
        Distill(features="hints", layers={"one": "head"}).apply(Model(net), context)


class Wide(nn.Module):
    """Another architecture that answers the same question."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.Flatten(), Lin(24 * 64, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def wide() -> nn.Module:
    torch.manual_seed(5)
    return Wide()


def test_a_teacher_of_the_users_own(context_of) -> None:
    net, context = context_of("plain_cnn")
    own = Distill(teacher=f"{__name__}:wide", features="attention").apply(Model(net), context)
    original = Distill(features="attention").apply(Model(net), context)
    assert model_identity(own) != model_identity(original)
    assert any(note.reason.startswith("by body.0") for note in own.notes)
    with pytest.raises(ConfigurationError, match="teacher"):
        Distill(teacher="nothing.of:that").apply(Model(net), context)
    with pytest.raises(CompressionError, match=r"gives outputs \(4,\)"):
        Distill(teacher=f"{__name__}:wrong").apply(Model(net), context)


def wrong() -> nn.Module:
    return nn.Sequential(nn.Flatten(), Lin(64, 4))


def test_a_trial_of_the_run_as_teacher(context_of) -> None:
    net, context = context_of("plain_cnn")
    with pytest.raises(CompressionError, match="only a run of a search has trials"):
        Distill(teacher=3).apply(Model(net), context)
    asked = []

    def trial(number: int) -> nn.Module:
        asked.append(number)
        torch.manual_seed(number)
        return mlp()

    inside = dataclasses.replace(context, trial=trial)
    done = Distill(teacher=3).apply(Model(net), inside)
    assert asked == [3]
    assert "taught by trial 3" in done.notes[-1].reason


def test_temperature_and_weight_may_be_its_own(context_of) -> None:
    net, context = context_of("mlp")
    plain = Distill().apply(Model(net), context)
    other = Distill(temperature=1.0, weight=0.1).apply(Model(net), context)
    assert model_identity(plain) != model_identity(other)
    assert model_identity(plain) == model_identity(Distill().apply(Model(net), context))


def test_without_training_the_network_is_as_it_was(context_of) -> None:
    torch.manual_seed(0)
    net = plain_cnn()
    _, context = context_of("plain_cnn")
    done = Distill(features="hints").apply(Model(net), context.without_training())
    assert all(
        torch.equal(a, b) for a, b in zip(net.state_dict().values(), done.module.state_dict().values(), strict=True)
    )
    assert set(NETS) >= {"plain_cnn", "residual", "lstm"}
