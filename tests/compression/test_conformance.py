"""What every pass must hold to, whoever wrote it; passes are found by their files."""

from __future__ import annotations

import pytest
import torch
from compression_nets import NETS

from netwright.compression.model import Model
from netwright.compression.patch import difference, load_compressed, save_weights
from netwright.compression.proof import outputs
from netwright.compression.store import model_identity
from netwright.core.errors import CompressionError
from netwright.core.files import file_hash
from netwright.core.plugins import build, names, spec_of

PASSES = names("pass")
CASES = [(one, net) for one in PASSES for net in NETS]


@pytest.fixture(params=CASES, ids=[f"{one}-{net}" for one, net in CASES])
def case(request, context_of):
    name, net_name = request.param
    net, context = context_of(net_name)
    return build("pass", name), Model(net), context


def test_the_pass_does_what_it_must(case, tmp_path) -> None:
    one, model, context = case
    if not any(verdict.applies for verdict in one.check(model, context)):
        pytest.skip("the pass applies to no layer of this network, and says so")
    before = model_identity(model)
    rng = torch.get_rng_state()
    done = one.apply(model, context)
    example = context.example_tensor()
    assert model_identity(model) == before, "the input was changed"
    assert model.module.training is False
    assert torch.equal(torch.get_rng_state(), rng), "the caller's random state was changed"
    found = outputs(done.module, example)
    assert found.shape == (16, 10)
    assert torch.isfinite(found).all()
    assert sum(p.numel() for p in done.module.parameters()) <= sum(p.numel() for p in model.module.parameters())
    assert len(done.notes) > len(model.notes)
    if one.stage == "file" and not isinstance(model.module, torch.nn.Sequential):
        # exporting takes seconds, so one network tells whether files repeat
        assert done.file is not None
        assert done.file.stat().st_size > 0
        return
    again = one.apply(model, context)
    assert model_identity(Model(again.module)) == model_identity(Model(done.module)), "not the same for one seed"
    if one.stage == "file":
        assert done.file is not None
        assert file_hash(again.file) == file_hash(done.file)
        return
    patch = difference(model.module, done.module)
    save_weights(done.module, tmp_path / "w.safetensors")
    loaded = load_compressed(model.module, patch=patch, weights=tmp_path / "w.safetensors").eval()
    assert torch.equal(outputs(loaded, example), found)


def test_check_gives_a_reason_for_every_verdict(case) -> None:
    one, model, context = case
    before = model_identity(model)
    verdicts = one.check(model, context)
    assert verdicts
    assert all(verdict.reason for verdict in verdicts)
    if not any(verdict.applies for verdict in verdicts):
        with pytest.raises(CompressionError):
            one.apply(model, context)
    assert model_identity(model) == before


@pytest.mark.parametrize("name", PASSES)
def test_settings_are_described_and_survive_a_round_trip(name: str) -> None:
    one = build("pass", name)
    assert all(field.description for field in type(one).model_fields.values())
    assert build("pass", spec_of(one)) == one
    assert one.stage in ("module", "file")
    assert set(one.gains) <= {
        "score",
        "accuracy",
        "params",
        "macs",
        "size_bytes",
        "coded_bytes",
        "latency_ms",
        "peak_activation_bytes",
    }


def test_another_seed_trains_otherwise(context_of) -> None:
    results = []
    for seed in (0, 1):
        net, context = context_of("mlp", seed=seed)
        results.append(model_identity(build("pass", "fine_tune").apply(Model(net), context)))
    assert results[0] != results[1]


def test_a_network_for_another_task_is_refused(context_of) -> None:
    _, context = context_of("mlp")
    from netwright.compression.context import make_context

    with pytest.raises(CompressionError, match="does not run"):
        make_context(context.task, torch.nn.Linear(3, 10), workspace=context.workspace, training=context.training)
    wrong = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 7))
    with pytest.raises(CompressionError, match=r"expects \[batch, 10\]"):
        make_context(context.task, wrong, workspace=context.workspace, training=context.training)
