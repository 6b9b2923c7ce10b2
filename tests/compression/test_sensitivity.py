"""Sensitivities: what each layer group bears alone, and what is hopeless."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pytest
import torch
from torch import nn

from netwright.compression.compression_pass import Pass, Verdict
from netwright.compression.context import Context
from netwright.compression.model import Model
from netwright.compression.recipe import Recipe
from netwright.compression.sensitivity import (
    Bearing,
    bearable_until,
    fragile_groups,
    hopeless_from,
    measure_sensitivity,
)


class Fade(Pass):
    """Takes a share of the weights of every linear layer away, the last ones first."""

    strength: ClassVar[str | None] = "share"
    trains: ClassVar[bool] = True
    share: float = 0.5
    ignore: tuple[str, ...] = ()

    def check(self, model: Model, context: Context) -> list[Verdict]:
        return [Verdict(p, True, "linear") for p, m in model.module.named_modules() if isinstance(m, nn.Linear)]

    def apply(self, model: Model, context: Context) -> Model:
        import copy

        module = copy.deepcopy(model.module)
        for path, layer in module.named_modules():
            if isinstance(layer, nn.Linear) and path not in self.ignore:
                with torch.no_grad():
                    layer.weight.flatten()[int((1 - self.share) * layer.weight.numel()) :] = 0
        return model.with_module(context.fine_tune(module, purpose="fade"))


FADE = {"kind": f"{__name__}:Fade"}


@pytest.fixture
def trained(context_of):
    net, context = context_of("mlp", epochs=6)
    module = context.fine_tune(net, purpose="train", distill=False)
    return module, dataclasses.replace(context, original=module)


def test_every_group_is_measured_alone_at_every_strength(trained) -> None:
    module, context = trained
    recipe = Recipe.parse({"passes": [{**FADE, "share": {"low": 0.0, "high": 1.0}}], "solve": {}})
    rows = measure_sensitivity(Model(module), recipe, context, samples=200)
    linears = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    assert [(row.group, row.strength) for row in rows] == [(g, s) for g in linears for s in (0.0, 0.5, 1.0)]
    assert {row.n for row in rows} == {200}
    nothing = [row for row in rows if row.strength == 0.0]
    assert {row.loss for row in nothing} == {0.0}
    everything = [row for row in rows if row.strength == 1.0]
    assert all(row.loss > 0.5 for row in everything), "without any weight of a layer the classes are guessed"


def test_rows_that_are_known_are_not_measured_again(trained) -> None:
    module, context = trained
    recipe = Recipe.parse({"passes": [{**FADE, "share": 0.8}]})
    kept: list[list] = []

    def keep(rows) -> None:
        kept.append(list(rows))
        if len(rows) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_sensitivity(Model(module), recipe, context, samples=50, keep=keep)
    known = [dataclasses.replace(row, reason="known") for row in kept[-1]]
    rows = measure_sensitivity(
        Model(module), recipe, context, samples=50, known=known, keep=lambda all_: kept.append([*all_])
    )
    assert [len(one) for one in kept] == [1, 2, *range(3, len(rows) + 1)]
    assert [row.reason for row in rows] == ["known"] * 3 + [""] * (len(rows) - 3)
    whole = measure_sensitivity(Model(module), recipe, context, samples=50)
    assert [dataclasses.replace(row, reason="") for row in rows] == whole


def test_a_fixed_strength_is_measured_at_its_half_too(trained) -> None:
    module, context = trained
    rows = measure_sensitivity(Model(module), Recipe.parse({"passes": [{**FADE, "share": 0.8}]}), context, samples=50)
    assert sorted({row.strength for row in rows}) == [0.4, 0.8]


def test_passes_that_only_train_are_left_out_and_those_on_the_file_where_they_are_not_asked_for(trained) -> None:
    module, context = trained
    recipe = Recipe.parse({"passes": ["fine_tune", "quantize", "entropy_code"]})
    assert measure_sensitivity(Model(module), recipe, context) == []
    linears = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    rows = measure_sensitivity(Model(module), recipe, context, samples=50, files=True)
    assert [(row.stage, row.group, row.strength) for row in rows] == [("quantize", group, None) for group in linears]
    assert all(row.loss is not None for row in rows)


def test_layers_of_the_file_are_quantized_alone_where_a_pass_on_it_has_an_open_field(trained) -> None:
    module, context = trained
    linears = [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    bits = {"kind": "quantize_weights", "bits": {"choice": [2, 8]}}
    rows = measure_sensitivity(Model(module), Recipe.parse({"passes": [bits], "solve": {}}), context, samples=200)
    assert [(row.group, row.strength, row.reason) for row in rows] == [(g, s, "") for g in linears for s in (2.0, 8.0)]
    assert all(abs(row.loss) < 0.05 for row in rows if row.strength == 8.0)
    worst = max((row for row in rows if row.loss is not None), key=lambda row: row.loss or 0.0)
    assert worst.strength == 2.0, "two bits cost some layer more than eight cost any"
    method = {"kind": "quantize", "method": {"choice": ["minmax", "mse"]}}
    rows = measure_sensitivity(Model(module), Recipe.parse({"passes": [method], "solve": {}}), context, samples=200)
    assert [(row.group, row.strength, row.reason) for row in rows] == [(group, None, "") for group in linears]


def test_coupled_groups_of_pruning_are_measured_without_training(context_of) -> None:
    net, context = context_of("plain_cnn")
    heard = []
    context = dataclasses.replace(context, listener=heard.append)
    recipe = Recipe.parse({"passes": [{"kind": "structured_prune", "ratio": {"low": 0.2, "high": 0.6}}], "solve": {}})
    rows = measure_sensitivity(Model(net), recipe, context, samples=50)
    whole = sum(parameter.numel() for parameter in net.parameters())
    strongest = [row for row in rows if row.strength == 0.6]
    assert len(strongest) >= 2
    assert all(row.params < whole for row in strongest)
    assert len({row.params for row in strongest}) > 1
    names = {event.name for event in heard}
    assert "compress.epoch" not in names
    assert "compress.sensitivity" in names


def bearing(group: str, strength: float, loss: float | None) -> Bearing:
    return Bearing(stage="p", group=group, field="ratio", strength=strength, score=None, loss=loss, params=None, n=9)


def test_a_strength_is_hopeless_when_most_groups_alone_lose_too_much() -> None:
    rows = [bearing("a", 0.2, 0.0), bearing("b", 0.2, 0.9), bearing("c", 0.2, 0.1)]
    rows += [bearing("a", 0.6, 0.1), bearing("b", 0.6, 0.9), bearing("c", 0.6, 0.8)]
    assert hopeless_from(rows, stage="p", hopeless=0.5) == 0.6
    assert hopeless_from(rows, stage="p", hopeless=0.95) is None
    assert hopeless_from(rows, stage="other", hopeless=0.5) is None
    assert hopeless_from(rows, stage="p", hopeless=0.5, falling=True) == 0.6
    assert fragile_groups(rows, stage="p", hopeless=0.5) == ["b"]


def test_a_range_is_bearable_up_to_where_the_loss_between_two_measured_strengths_is_too_much() -> None:
    rows = [bearing("a", 0.2, 0.1), bearing("b", 0.2, 0.1), bearing("a", 0.6, 0.9), bearing("b", 0.6, 0.9)]
    assert bearable_until(rows, stage="p", limit=0.6, hopeless=0.5) == pytest.approx(0.4)
    assert bearable_until(rows, stage="p", limit=0.2, hopeless=0.5, falling=True) == 0.6, "it was the mild one, and bad"
    assert bearable_until(rows, stage="p", limit=0.2, hopeless=0.05) is None


def test_a_row_survives_a_round_trip() -> None:
    row = bearing("a", 0.2, None)
    assert Bearing.from_json(row.to_json()) == row
