"""Every pass on a network of every search space: the result is exact, or refused with a reason; never wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from compression_nets import Lin, Net
from torch import nn

from benchmarks.compressing.every_pass import audit, networks, of_low_rank, silenced
from netwright.compression.model import Model
from netwright.compression.passes.structured_prune import StructuredPrune
from netwright.compression.proof import outputs, relative_difference
from netwright.core.plugins import names

QUICK = {
    *(("mlp", one) for one in names("pass")),
    *((space, "fold") for space in names("space")),
    ("recurrent", "structured_prune"),
}
CASES = [
    pytest.param(space, one, id=f"{space}-{one}", marks=[] if (space, one) in QUICK else pytest.mark.slow)
    for space in names("space")
    for one in names("pass")
]


@pytest.mark.parametrize(("space", "one"), CASES)
def test_the_result_is_exact_or_refused(space: str, one: str, tmp_path: Path) -> None:
    ((net, shapes),) = networks(space, 1)
    before = [value.clone() for value in net.state_dict().values()]
    found = audit(one, net, shapes, tmp_path, graphs=space == "graph")
    assert found.outcome in ("exact", "refused"), found.reason
    assert found.reason or found.outcome == "exact"
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), before, strict=True))


def test_the_audit_sees_a_wrong_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((net, shapes),) = networks("mlp", 1)
    right = StructuredPrune.apply

    def spoilt(self: StructuredPrune, model: Model, context: object) -> Model:
        done = right(self, model, context)
        with torch.no_grad():
            next(done.module.parameters()).neg_()
        return done

    monkeypatch.setattr(StructuredPrune, "apply", spoilt)
    pruned = audit("structured_prune", net, shapes, tmp_path / "a")
    assert pruned.outcome == "wrong"
    assert "silenced" in pruned.reason


def test_a_network_of_low_rank_is_one() -> None:
    ((net, shapes),) = networks("recurrent", 1)
    thin = of_low_rank(net)
    for name, weight in thin.named_parameters():
        if name.endswith("weight") and weight.ndim == 2:
            assert int(torch.linalg.matrix_rank(weight.double(), rtol=1e-5)) <= 2
    assert not torch.equal(outputs(thin, torch.ones(2, *shapes.input)), outputs(net, torch.ones(2, *shapes.input)))


def test_the_audit_silences_no_channels_that_stay_because_others_go(context_of) -> None:
    def forward(s: Net, x: torch.Tensor) -> torch.Tensor:
        wide = torch.cat([s.a(x), s.b(x)], 1)
        if wide.shape[1] < 24:
            raise ValueError("too narrow")
        return s.f(torch.relu(wide))

    _, context = context_of("mlp")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), Net(forward, a=Lin(64, 16), b=Lin(64, 16), f=Lin(32, 10))).eval()
    one = StructuredPrune(ratio=0.4, round_to=1, epochs=0)
    pruned = one.apply(Model(net), context)
    fresh = torch.randn(6, 1, 8, 8)
    assert {note.layer for note in pruned.notes if note.verdict == "left alone"} == {"1.b"}
    assert relative_difference(outputs(pruned.module, fresh), outputs(silenced(one, net, context), fresh)) < 1e-5
