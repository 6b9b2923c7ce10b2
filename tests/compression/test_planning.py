"""Plans: what a recipe would do, without training and without leaving anything behind."""

from __future__ import annotations

import dataclasses

import pytest

from netwright.compression.model import Model
from netwright.compression.planning import plan_passes
from netwright.compression.recipe import Recipe
from netwright.compression.store import model_identity
from netwright.evaluation.profile import profile

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


@pytest.mark.parametrize("name", ["lstm", "mlp"])
def test_coded_bytes_are_planned_where_the_network_is_small(name: str, context_of) -> None:
    plan, *_ = planned([], name, context_of)
    coded = plan[0].figures["coded_bytes"]
    assert 0 < coded <= plan[0].figures["size_bytes"] * 1.05
