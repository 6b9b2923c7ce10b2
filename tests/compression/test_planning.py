"""Plans: what a recipe would do, without training and without leaving anything behind."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from compression_nets import Net
from torch import nn

from netwright.compression.context import make_context
from netwright.compression.model import Model
from netwright.compression.planning import coded_size, plan_passes, skeleton_size
from netwright.compression.recipe import Recipe
from netwright.compression.store import model_identity
from netwright.core.errors import CompressionError
from netwright.evaluation.profile import profile
from netwright.export.coding.archive import encode
from netwright.export.to_onnx import export_onnx

PASSES = [{"kind": "structured_prune", "ratio": 0.5}, "fine_tune", {"kind": "low_rank", "ratio": 0.5}]


def planned(passes: list[object], name: str, context_of):
    net, context = context_of(name, epochs=3)
    heard = []
    context = dataclasses.replace(context, listener=heard.append)
    return plan_passes(Model(net), Recipe.parse({"passes": passes}).passes, context), net, context, heard


def test_a_plan_has_the_costs_after_every_pass_and_trains_nothing(context_of) -> None:
    plan, net, context, heard = planned(PASSES, "plain_cnn", context_of)
    assert [one.name for one in plan] == ["original", "structured_prune", "fine_tune", "low_rank"]
    original, pruned, tuned, _ = plan
    found = profile(net, context.example_tensor())
    assert (original.figures["params"], original.figures["macs"]) == (found.params, found.macs)
    assert pruned.figures["macs"] < original.figures["macs"]
    assert pruned.figures["size_bytes"] < original.figures["size_bytes"]
    assert tuned.figures == pruned.figures
    assert not [event for event in heard if event.name == "compress.epoch"]
    assert [event.name for event in heard].count("step") == 3


def test_the_planned_structure_is_the_one_that_the_pass_makes(context_of) -> None:
    plan, net, context, _ = planned(PASSES[:1], "plain_cnn", context_of)
    one = Recipe.parse({"passes": PASSES[:1]}).passes[0]
    made = one.apply(Model(net), context)
    assert plan[1].figures["macs"] == profile(made.module, context.example_tensor()).macs


def test_every_layer_group_has_a_verdict_with_its_reason(context_of) -> None:
    plan, *_ = planned(PASSES[:1], "plain_cnn", context_of)
    assert plan[1].verdicts
    assert all(verdict.reason for verdict in plan[1].verdicts)
    row = plan[1].row()
    assert row["touched"] == sum(verdict["applies"] for verdict in row["verdicts"]) < row["groups"]


def test_a_pass_that_cannot_be_done_says_why_and_changes_nothing(context_of) -> None:
    plan, *_ = planned([{"kind": "structured_prune", "ignore": ["nowhere"]}, "fine_tune"], "mlp", context_of)
    assert "nowhere" in plan[1].reason
    assert plan[1].figures == plan[0].figures
    assert not plan[2].reason


def test_a_plan_leaves_network_and_folder_as_they_were(context_of, tmp_path) -> None:
    before = sorted(tmp_path.rglob("*"))
    net, context = context_of("mlp")
    identity = model_identity(Model(net))
    plan = plan_passes(Model(net), Recipe.parse({"passes": ["quantize"]}).passes, context)
    assert plan[1].figures["size_bytes"] < plan[0].figures["size_bytes"]
    assert model_identity(Model(net)) == identity
    assert sorted(tmp_path.rglob("*")) == before


def test_coded_bytes_tell_zeros_and_few_values_from_weights_as_they_are() -> None:
    torch.manual_seed(0)
    net = nn.Linear(100, 100, bias=False)
    dense = coded_size(net)
    with torch.no_grad():
        net.weight[:, 10:] = 0
    sparse = coded_size(net)
    with torch.no_grad():
        net.weight.copy_((net.weight * 20).round() / 20)
    shared = coded_size(net)
    assert dense == 40_000
    assert 4_000 < sparse < 5_000, "1,000 floats, and where they are"
    assert shared < 1_000, "few values besides"


@pytest.mark.parametrize("name", ["mlp", "plain_cnn", "lstm"])
def test_the_bytes_beside_the_parameters_are_foretold(context_of, name: str) -> None:
    net, context = context_of(name)
    path = export_onnx(net, context.workspace / "net.onnx", example=context.example).path
    kinds = encode(path.read_bytes(), prove=False).bytes_by_kind
    assert skeleton_size(net) == pytest.approx(kinds["skeleton"] + kinds["rest"], rel=1 / 3)


def test_the_plan_counts_them(context_of) -> None:
    plan, net, *_ = planned(PASSES[:1], "plain_cnn", context_of)
    assert plan[0].figures["coded_bytes"] == coded_size(net) + skeleton_size(net)


@pytest.mark.parametrize(
    ("wrap", "named"),
    [(lambda x: (x, x), "tuple of 2"), (lambda x: {"logits": x}, "dict of 'logits'"), (list, "list of 16")],
)
def test_a_network_with_more_than_one_result_is_refused(wrap, named: str, context_of, tmp_path) -> None:
    net, context = context_of("mlp")
    several = Net(lambda s, x: wrap(s.inner(x)), inner=net)
    with pytest.raises(CompressionError, match=f"gives a {named}.*wrap it in a module"):
        make_context(context.task, several, workspace=tmp_path, training=context.training)
